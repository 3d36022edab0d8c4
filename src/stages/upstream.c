/* Callbacks of the call to a replica, on the request's loop: they note what has come and wake the request; its stage decides. */
#include "stages/upstream.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "config/config_pool.h"
#include "stages/affinity.h"
#include "stages/desk.h"
#include "stages/pipeline.h"
#include "stages/services.h"

/* An answer may hold a picture or a sound; more in one event is no answer. */
#define EVENT_BYTES_MAX (16 * 1024 * 1024)
/* A refusal's body; more of it is not worth relaying. */
#define REFUSAL_BYTES_MAX (64 * 1024)
/* Events that may be held back until the first with content. */
#define HELD_BYTES_MAX (1024 * 1024)
#define WHOLE_BYTES_MAX (64 * 1024 * 1024)
/* Control hears of progress every so many tokens. */
#define PROGRESS_TOKENS 32
#define RETRY_AFTER_MAX_S 86400

void upstream_init(struct upstream *upstream)
{
	sse_init(&upstream->sse, EVENT_BYTES_MAX);
	upstream->prompt_tokens = upstream->cached_tokens = upstream->output_tokens = -1;
}

void upstream_fini(struct upstream *upstream)
{
	http_call_cancel(&upstream->call);
	sse_fini(&upstream->sse);
	json_fini(&upstream->json);
	bytes_fini(&upstream->head);
	bytes_fini(&upstream->splices);
	bytes_fini(&upstream->out);
	bytes_fini(&upstream->refusal);
}

void upstream_abandon(struct upstream *upstream)
{
	http_call_cancel(&upstream->call);
	upstream->is_started = false;
}

/* ---- for the dialects ---- */

int64_t upstream_number(const struct json *json, uint32_t node, const char *name)
{
	int64_t value = -1;
	uint32_t member = json_get(json, node, name);
	return member != JSON_NONE && json_int64(json, member, &value) == OK ? value : -1;
}

void upstream_note_client_token(struct request *request)
{
	request->first_token_ns = request_now_ns(request) - request->begin_ns;
	metric_observe_ns(request->services->metrics, METRIC_time_to_first_token_seconds, request->route_label, 0,
	                  request->first_token_ns);
}

void upstream_note_first_token(struct request *request)
{
	struct services *services = request->services;
	if (request->upstream.has_first_token)
		return;
	request->upstream.has_first_token = true;
	if (!request->has_checks)
		upstream_note_client_token(request);
	trace_event(services->trace, request->trace, TRACE_FIRST_TOKEN, request_now_ns(request),
	            (request_now_ns(request) - request->begin_ns) / NS_PER_MS, request->predicted_ns / NS_PER_MS);
	desk_add(services->desk,
	         &(struct event){ .kind = EVENT_FIRST_TOKEN, .request = request->ref, .ticket = request->ticket });
}

void upstream_note_content(struct request *request)
{
	upstream_note_first_token(request);
	request->upstream.has_content = true;
	if (++request->upstream.events % PROGRESS_TOKENS)
		return;
	desk_add(request->services->desk, &(struct event){
										  .kind = EVENT_PROGRESS,
										  .request = request->ref,
										  .ticket = request->ticket,
										  .output_tokens = request->upstream.events,
									  });
}

void upstream_note_error(struct request *request, struct span data)
{
	struct upstream *upstream = &request->upstream;
	upstream->has_error_event = true;
	upstream->error_failure = FAILURE_SERVER;
	bytes_clear(&upstream->refusal);
	bytes_append(&upstream->refusal, data.at, data.len < REFUSAL_BYTES_MAX ? data.len : REFUSAL_BYTES_MAX);
}

void upstream_write_forwarded(const struct request *request, struct bytes *head)
{
	const struct string_list *names = &request->config->pools[request->pool].upstream_forward_headers;
	const struct http_head *client = http_exchange_head(request->exchange);
	for (size_t i = 0; i < names->count; i++) {
		struct span value = http_header_value(client, names->items[i]);
		if (value.at)
			bytes_printf(head, "%s: %.*s\r\n", names->items[i], (int)value.len, value.at);
	}
}

/* ---- the call ---- */

/* Seconds; a date is not worth a parser: the engines send none. */
static int64_t retry_after_ns(const struct http_head *head)
{
	uint64_t seconds = 0;
	if (span_to_u64(http_header_value(head, "retry-after"), RETRY_AFTER_MAX_S, &seconds) != OK)
		return 0;
	return (int64_t)seconds * NS_PER_S;
}

static bool has_type(struct span value, struct span type)
{
	return value.len >= type.len && span_equal_nocase((struct span){ value.at, type.len }, type);
}

static void on_head(void *owner, const struct http_head *head)
{
	struct request *request = owner;
	struct upstream *upstream = &request->upstream;
	struct span type = http_header_value(head, "content-type");
	struct span encoding = http_header_value(head, "content-encoding");
	upstream->status = head->status;
	upstream->is_events = has_type(type, SPAN("text/event-stream"));
	bool is_whole = upstream->dialect->take_whole && !request->api.stream && has_type(type, SPAN("application/json"));
	upstream->is_other = (!upstream->is_events && !is_whole) || (encoding.len && !span_is(encoding, "identity"));
	upstream->retry_after_ns = retry_after_ns(head);
	trace_event(request->services->trace, request->trace, TRACE_UPSTREAM_HEAD, request_now_ns(request), head->status,
	            0);
}

static void take_events(struct request *request, struct span data)
{
	struct upstream *upstream = &request->upstream;
	while (data.len && !upstream->has_error_event && !upstream->is_broken) {
		bool complete = false;
		struct sse_event event;
		if (sse_feed(&upstream->sse, &data.at, &data.len, &complete, &event) != OK)
			upstream->is_broken = true;
		else if (complete)
			upstream->dialect->take_event(request, &event);
	}
	if (!upstream->has_first_token && upstream->out.len > HELD_BYTES_MAX)
		upstream->is_broken = true;
}

static void on_body(void *owner, struct span data)
{
	struct request *request = owner;
	struct upstream *upstream = &request->upstream;
	bool is_answer = upstream->status == 200 && !upstream->is_other;
	if (is_answer && upstream->is_events) {
		take_events(request, data);
	} else if (is_answer) {
		bytes_append_span(&upstream->out, data);
		upstream->is_broken |= upstream->out.len > WHOLE_BYTES_MAX || !bytes_ok(&upstream->out);
	} else if (upstream->refusal.len + data.len <= REFUSAL_BYTES_MAX) {
		bytes_append_span(&upstream->refusal, data);
	}
}

/* Events of one read go on together. A whole answer, or a refusal, is looked at when it has all come. */
static void on_batch(void *owner)
{
	struct request *request = owner;
	if (request->upstream.is_events || request->upstream.is_broken)
		pipeline_wake(request, WAKE_READY);
}

static void on_end(void *owner, enum error why)
{
	struct request *request = owner;
	struct upstream *upstream = &request->upstream;
	upstream->call = NULL;
	upstream->has_ended = true;
	upstream->error = why;
	bool is_answer = why == OK && upstream->status == 200 && !upstream->is_other && !upstream->is_broken;
	if (is_answer && upstream->is_events && upstream->dialect->take_end)
		upstream->dialect->take_end(request);
	if (is_answer && !upstream->is_events && upstream->dialect->take_whole)
		upstream->dialect->take_whole(request);
	if (why == OK && upstream->status != 200 && upstream->dialect->take_refusal)
		upstream->dialect->take_refusal(request);
	trace_event(request->services->trace, request->trace, TRACE_UPSTREAM_END, request_now_ns(request), why, 0);
	pipeline_wake(request, WAKE_READY);
}

static const struct http_call_events call_events = {
	.on_head = on_head, .on_body = on_body, .on_batch = on_batch, .on_end = on_end
};

/* ---- attempts ---- */

static const struct dialect *dialect_of(const struct pool_config *pool)
{
	if (!config_pool_is_upstream(pool))
		return &dialect_engine;
	return pool->upstream_kind == UPSTREAM_ANTHROPIC ? &dialect_anthropic : &dialect_openai;
}

static void forget_attempt(struct upstream *upstream)
{
	http_call_cancel(&upstream->call);
	sse_fini(&upstream->sse);
	bytes_clear(&upstream->head);
	bytes_clear(&upstream->splices);
	bytes_clear(&upstream->out);
	bytes_clear(&upstream->refusal);
	upstream->status = 0;
	upstream->retry_after_ns = 0;
	upstream->events = 0;
	upstream->is_events = upstream->is_other = upstream->is_done = upstream->is_broken = false;
	upstream->has_content = upstream->has_first_token = upstream->has_finish_reason = false;
	upstream->has_error_event = upstream->has_ended = false;
	upstream->error = OK;
	upstream->prompt_tokens = upstream->cached_tokens = upstream->output_tokens = -1;
	upstream->sent = (struct http_request){ 0 };
	upstream->state = NULL;
}

enum error upstream_start(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	forget_attempt(upstream);
	upstream->dialect = dialect_of(&request->config->pools[request->pool]);
	upstream->is_started = true;
	upstream->attempts++;
	affinity_note(request);
	upstream->dialect->write_request(request);
	if (!bytes_ok(&upstream->head) || !bytes_ok(&upstream->splices))
		return ERROR_MEMORY;
	upstream->sent.head = bytes_span(&upstream->head);
	upstream->sent.connect_ns = request->route->timeouts_connect;
	upstream->error = http_call_start(request->services->replicas[request->replica], &upstream->sent, &call_events,
	                                  request, &upstream->call);
	upstream->has_ended = upstream->error != OK; /* a name without an address, say: as if the connection had failed */
	return OK;
}

static enum failure failure_of_status(int status)
{
	if (status == 429)
		return FAILURE_RATE;
	if (status == 503 || status == 529)
		return FAILURE_BUSY;
	if (status == 504)
		return FAILURE_SILENT;
	/* 401 and 403 are about our key there, 3xx about our URL: neither is the client's doing. */
	bool is_ours = status < 400 || status >= 500 || status == 401 || status == 403 || status == 407 || status == 408;
	return is_ours ? FAILURE_SERVER : FAILURE_NONE;
}

static enum failure failure_of_end(enum error error)
{
	switch (error) {
	case ERROR_REFUSED:
	case ERROR_NOT_FOUND:
	case ERROR_PERMISSION:
	case ERROR_TLS:
	case ERROR_ADDRESS_FORBIDDEN:
	case ERROR_TIMEOUT: /* only connecting has a clock of its own */
		return FAILURE_CONNECT;
	case ERROR_SYNTAX:
		return FAILURE_BROKEN;
	case ERROR_LIMIT:
	case ERROR_MEMORY:
		return FAILURE_LOCAL;
	default:
		return FAILURE_RESET;
	}
}

enum failure upstream_failure(const struct upstream *upstream)
{
	if (upstream->has_error_event)
		return upstream->error_failure;
	if (upstream->is_broken)
		return FAILURE_BROKEN;
	if (!upstream->has_ended)
		return FAILURE_NONE;
	if (upstream->error)
		return failure_of_end(upstream->error);
	if (upstream->status != 200)
		return failure_of_status(upstream->status);
	return upstream->is_other || !upstream->has_first_token ? FAILURE_BROKEN : FAILURE_NONE;
}
