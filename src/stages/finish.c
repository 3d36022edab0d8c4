/* Runs exactly once for every request, whatever happened: gives back what it holds, settles its tokens, writes its line. */
#include <math.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "stages/cost.h"
#include "stages/desk.h"
#include "stages/kept.h"
#include "stages/pipeline.h"
#include "stages/rung.h"
#include "stages/services.h"

/* Least weight of one answer in what a route remembers: the first ones are a plain mean, later ones a sliding one. */
#define MEMORY_WEIGHT_MIN 0.05
/* An ordinary line of the access log fits. */
#define LINE_BYTES 1024
#define OUTPUT_HIGH 0.9

/* What ended in the middle of an answer, as the replica's doing. */
static enum failure failure_of(const struct request *request)
{
	bool is_its_doing = request->outcome == OUTCOME_upstream_cut || request->outcome == OUTCOME_idle_timeout;
	return is_its_doing ? FAILURE_CUT : FAILURE_NONE;
}

static void give_ticket_back(struct request *request)
{
	const struct upstream *upstream = &request->upstream;
	if (request->ticket == CONTROL_TICKET_NONE)
		return;
	enum event_kind kind = EVENT_FAILED;
	if (request->outcome == OUTCOME_completed)
		kind = EVENT_DONE;
	else if (request->outcome == OUTCOME_client_gone)
		kind = EVENT_GONE;
	desk_add(request->services->desk,
	         &(struct event){
				 .kind = kind,
				 .request = request->ref,
				 .ticket = request->ticket,
				 .failure = kind == EVENT_FAILED ? failure_of(request) : FAILURE_NONE,
				 .prompt_tokens = upstream->prompt_tokens > 0 ? (uint32_t)upstream->prompt_tokens : 0,
				 .output_tokens = upstream->output_tokens > 0 ? (uint32_t)upstream->output_tokens : upstream->events,
			 });
}

/* Before the mean is learned from the same answer: both are asked what they would have said. */
static void remember_cap(struct route_memory *memory, double output, double cap)
{
	double weight = fmax(1.0 / (double)++memory->capped, MEMORY_WEIGHT_MIN);
	if (memory->capped > 1) {
		memory->cap_error += weight * (fabs(memory->cap_share * cap - output) - memory->cap_error);
		memory->mean_error += weight * (fabs(fmin(memory->output_tokens, cap) - output) - memory->mean_error);
	}
	memory->cap_share += weight * (output / cap - memory->cap_share);
}

/* Only whole answers teach: a cut one says nothing about length. */
static void remember(struct request *request)
{
	const struct upstream *upstream = &request->upstream;
	if (request->outcome != OUTCOME_completed || upstream->prompt_tokens <= 0)
		return;
	struct route_memory *memory = &request->services->memory[request->route_label - 1];
	double bytes = (double)request_prompt(request).len;
	double weight = 1.0 / (double)++memory->answers;
	if (weight < MEMORY_WEIGHT_MIN)
		weight = MEMORY_WEIGHT_MIN;
	memory->bytes_per_token += weight * (bytes / (double)upstream->prompt_tokens - memory->bytes_per_token);
	if (!endpoint_row(request->endpoint)->has_output)
		return;
	double output = (double)upstream->output_tokens / (double)max_ll(request->api.n, 1);
	if (request->output_tokens_max)
		remember_cap(memory, output, request->output_tokens_max);
	memory->output_tokens += weight * (output - memory->output_tokens);
	quantile_add(&memory->output_high, OUTPUT_HIGH, output);
}

static void count(struct request *request, int64_t now_ns)
{
	const struct upstream *upstream = &request->upstream;
	struct metrics_shard *metrics = request->services->metrics;
	uint32_t route = request->route_label;
	metric_add(metrics, METRIC_requests_total, route, request->outcome, 1);
	metric_add(metrics, METRIC_repeats_total, route, 0, request->is_repeat);
	kept_count(request, now_ns);
	cost_count(request, now_ns);
	metric_add(metrics, METRIC_client_bytes_total, 0, 0, (int64_t)request->client_bytes);
	metric_observe_ns(metrics, METRIC_request_duration_seconds, route, 0, now_ns - request->begin_ns);
	for (uint32_t i = 0; i < STAGE_COUNT; i++) {
		int64_t spent_ns = request->stage_ns[i];
		metric_add(metrics, METRIC_stage_seconds_total, i, 0, spent_ns);
		if (spent_ns)
			metric_observe_ns(metrics, METRIC_stage_duration_seconds, i, 0, spent_ns);
	}
	if (upstream->prompt_tokens >= 0) {
		metric_add(metrics, METRIC_prompt_tokens_total, route, 0, upstream->prompt_tokens);
		metric_add(metrics, METRIC_cached_tokens_total, route, 0, max_ll(upstream->cached_tokens, 0));
		metric_add(metrics, METRIC_output_tokens_total, route, 0, max_ll(upstream->output_tokens, 0));
	} else if (request->is_dispatched) {
		metric_add(metrics, METRIC_usage_unknown_total, route, 0, 1);
		metric_add(metrics, METRIC_output_tokens_total, route, 0, upstream->events);
	}
}

/* In the order of enum request_class, and of the config's choices. */
static const char *const class_texts[CLASS_COUNT] = { "interactive", "standard", "batch" };

static int64_t paused_ns_of(const struct request *request)
{
	int64_t current_ns = request->is_paused ? request_now_ns(request) - request->paused_since_ns : 0;
	return request->paused_ns + current_ns;
}

static struct trace_facts facts_of(const struct request *request, char rung[RUNG_TEXT_BYTES])
{
	const struct upstream *upstream = &request->upstream;
	return (struct trace_facts){
		.route = request->route ? span_of(request->route->name) : (struct span){ 0 },
		.pool = request->route ? request->config->pools[request->pool].name : NULL,
		.replica = request->is_dispatched ? request->services->replica_names[request->replica] : NULL,
		.tenant = request->key ? request->key->name : NULL,
		.outcome = outcome_texts()[request->outcome],
		.traceparent = request->traceparent,
		.status = request->status,
		.streamed = request->api.stream,
		.class = class_texts[request->key ? request->key->class : CLASS_STANDARD],
		.is_repeat = request->is_repeat,
		.attempts = upstream->attempts,
		.retry_after_ns = request->retry_after_ns,
		.paused_ns = paused_ns_of(request),
		.prompt_tokens = upstream->prompt_tokens,
		.cached_tokens = upstream->cached_tokens,
		.output_tokens = upstream->output_tokens >= 0 || !upstream->events ? upstream->output_tokens : upstream->events,
		.first_token_ns = request->first_token_ns,
		.predicted_ns = request->predicted_ns,
		.predicted_wait_ns = request->predicted_wait_ns,
		.rung = request->route && request->route->promise_ladder.count ? rung_text(request->route, request->rung, rung)
		                                                               : NULL,
		.engine = upstream->engine,
	};
}

/* Ended without an answer that its client can use, and not by the client's own fault. */
static bool has_failed(const struct request *request)
{
	bool is_refused = request->status == 429 || request->status >= 500;
	return is_refused || request->outcome == OUTCOME_client_gone || request->outcome == OUTCOME_upstream_cut ||
	       request->outcome == OUTCOME_idle_timeout;
}

enum verdict stage_finish(struct request *request)
{
	struct services *services = request->services;
	struct bytes line = { 0 };
	bytes_reserve(&line, LINE_BYTES);
	http_call_cancel(&request->upstream.call);
	give_ticket_back(request);
	remember(request);
	if (request->exchange && has_failed(request))
		repeat_note(request);
	request->is_new_unit = cost_is_new_unit(request);
	if (request->exchange)
		http_exchange_end(&request->exchange);
	int64_t now_ns = loop_refresh_now_ns(services->loop);
	request->stage_ns[STAGE_finish] += now_ns - request->stage_since_ns;
	trace_stage(services->trace, request->trace, STAGE_finish, now_ns - request->stage_since_ns);
	count(request, now_ns);
	char rung[RUNG_TEXT_BYTES];
	struct trace_facts facts = facts_of(request, rung);
	trace_end(services->trace, request->trace, now_ns, &facts, &line);
	if (request->config->log_access && bytes_ok(&line) &&
	    line.len) /* none where the client left before its head was whole */
		log_json(bytes_span(&line));
	bytes_fini(&line);
	return NEXT;
}
