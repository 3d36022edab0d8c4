/* Callbacks of the call to a replica, on the request's loop: they note what has come and wake the request; its stage decides. */
#include "stages/upstream.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "stages/desk.h"
#include "stages/pipeline.h"
#include "stages/services.h"

#define EVENT_BYTES_MAX (64 * 1024 * 1024)
/* A refusal's body; more of it is not worth relaying. */
#define REFUSAL_BYTES_MAX (64 * 1024)
/* Control hears of progress every so many tokens. */
#define PROGRESS_TOKENS 32

void upstream_init(struct upstream *upstream)
{
	sse_init(&upstream->sse, EVENT_BYTES_MAX);
	upstream->prompt_tokens = upstream->cached_tokens = upstream->output_tokens = -1;
}

void upstream_fini(struct upstream *upstream)
{
	http_call_cancel(&upstream->call);
	sse_fini(&upstream->sse);
	bytes_fini(&upstream->head);
	bytes_fini(&upstream->out);
}

/* ---- what the engine says ---- */

static int64_t number_of(const struct json *json, const char *name)
{
	int64_t value = -1;
	uint32_t node = json_get(json, JSON_ROOT, name);
	return node != JSON_NONE && json_int64(json, node, &value) == OK ? value : -1;
}

/* The engine's account of an answer: exact tokens, its own times. */
static void take_account(struct upstream *upstream, struct span data)
{
	struct json json = { 0 };
	if (json_parse(&json, data.at, data.len, 4, NULL) == OK) {
		upstream->prompt_tokens = number_of(&json, "prompt_tokens");
		upstream->cached_tokens = number_of(&json, "cached_tokens");
		upstream->output_tokens = number_of(&json, "output_tokens");
		upstream->engine = (struct trace_engine){
			.known = true,
			.tokenize_ns = number_of(&json, "tokenize_ns"),
			.queue_ns = number_of(&json, "queue_ns"),
			.prefill_ns = number_of(&json, "prefill_ns"),
			.decode_ns = number_of(&json, "decode_ns"),
		};
	}
	json_fini(&json);
}

static void note_first_token(struct request *request)
{
	struct services *services = request->services;
	if (request->upstream.has_first_token)
		return;
	request->upstream.has_first_token = true;
	request->first_token_ns = clock_now_ns() - request->begin_ns;
	trace_event(services->trace, request->trace, TRACE_FIRST_TOKEN, clock_now_ns(), request->first_token_ns / NS_PER_MS,
	            request->predicted_ns / NS_PER_MS);
	metric_observe_ns(services->metrics, METRIC_time_to_first_token_seconds, request->route_label, 0,
	                  request->first_token_ns);
	desk_add(services->desk,
	         &(struct event){ .kind = EVENT_FIRST_TOKEN, .request = request->ref, .ticket = request->ticket });
}

static void note_progress(struct request *request)
{
	if (++request->upstream.events % PROGRESS_TOKENS)
		return;
	desk_add(request->services->desk, &(struct event){
										  .kind = EVENT_PROGRESS,
										  .request = request->ref,
										  .ticket = request->ticket,
										  .output_tokens = request->upstream.events,
									  });
}

/* Events of the hop stay here; everything else goes to the client byte for byte. */
static void take_event(struct request *request, const struct sse_event *event)
{
	struct upstream *upstream = &request->upstream;
	if (span_is(event->name, "penstock")) {
		take_account(upstream, event->data);
	} else if (span_is(event->name, "first_token")) {
		note_first_token(request);
	} else if (span_is(event->name, "answer")) {
		bytes_append_span(&upstream->out, event->data);
		upstream->has_content = true;
		upstream->is_done = true;
	} else if (event->is_comment) {
		return;
	} else if (span_starts_with(event->data, SPAN("{\"error\""))) {
		upstream->has_error_event = true;
	} else if (span_is(event->data, "[DONE]")) {
		bytes_append_span(&upstream->out, event->raw);
		upstream->is_done = true;
	} else {
		note_first_token(request);
		note_progress(request);
		upstream->has_content = true;
		bytes_append_span(&upstream->out, event->raw);
	}
}

/* ---- the call ---- */

static void on_head(void *owner, const struct http_head *head)
{
	struct request *request = owner;
	struct span type = http_header_value(head, "content-type");
	request->upstream.status = head->status;
	request->upstream.is_events = span_starts_with(type, SPAN("text/event-stream"));
	trace_event(request->services->trace, request->trace, TRACE_UPSTREAM_HEAD, clock_now_ns(), head->status, 0);
}

static void take_events(struct request *request, struct span data)
{
	struct upstream *upstream = &request->upstream;
	while (data.len && !upstream->has_error_event) {
		bool complete = false;
		struct sse_event event;
		enum error error = sse_feed(&upstream->sse, &data.at, &data.len, &complete, &event);
		if (error) {
			upstream->error = error;
			http_call_cancel(&upstream->call);
			upstream->has_ended = true;
			return;
		}
		if (complete)
			take_event(request, &event);
	}
}

static void on_body(void *owner, struct span data)
{
	struct request *request = owner;
	struct upstream *upstream = &request->upstream;
	if (upstream->is_events && upstream->status == 200)
		take_events(request, data);
	else if (upstream->out.len + data.len <= REFUSAL_BYTES_MAX)
		bytes_append_span(&upstream->out, data);
	pipeline_wake(request, WAKE_READY);
}

static void on_end(void *owner, enum error why)
{
	struct request *request = owner;
	request->upstream.call = NULL;
	request->upstream.has_ended = true;
	request->upstream.error = why;
	trace_event(request->services->trace, request->trace, TRACE_UPSTREAM_END, clock_now_ns(), why, 0);
	pipeline_wake(request, WAKE_READY);
}

static const struct http_call_events call_events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };

/* FNV-1a (Fowler, Noll, Vo) in the 31 bits that the header carries; 0 is those without a key. */
static uint32_t name_salt(const char *name)
{
	uint32_t hash = UINT32_C(2166136261);
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT32_C(16777619);
	hash &= INT32_MAX;
	return hash ? hash : 1;
}

static void write_head(struct request *request, size_t body_len)
{
	struct bytes *head = &request->upstream.head;
	int64_t left_ns = max_ll(request->deadline_ns - clock_now_ns(), 0);
	bytes_printf(head,
	             "POST %s HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
	             "x-request-id: %.*s\r\ntraceparent: %.*s\r\nx-penstock-events: 1\r\nx-penstock-deadline-ms: %lld\r\n"
	             "x-penstock-expected-tokens: %u\r\n",
	             endpoint_row(request->endpoint)->path, body_len, (int)request->id.len, request->id.at,
	             (int)request->traceparent.len, request->traceparent.at, (long long)(left_ns / NS_PER_MS),
	             request->output_tokens_high);
	/* Tenants share no prefixes: not even by their times could one tell what another asked. */
	if (request->key)
		bytes_printf(head, "x-penstock-class: %u\r\nx-penstock-cache-salt: %u\r\n", (unsigned)request->key->class,
		             name_salt(request->key->name));
	if (request->output_tokens_max)
		bytes_printf(head, "x-penstock-max-output: %u\r\n", request->output_tokens_max);
	if (request->route->shape_max_prompt)
		bytes_printf(head, "x-penstock-max-prompt: %lld\r\n", (long long)request->route->shape_max_prompt);
	bytes_append_text(head, "\r\n");
}

enum error upstream_start(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	struct span body = http_exchange_body(request->exchange);
	upstream->is_started = true;
	write_head(request, body.len);
	if (!bytes_ok(&upstream->head))
		return ERROR_MEMORY;
	return http_call_start(request->services->replicas[request->replica], bytes_span(&upstream->head), body,
	                       &call_events, request, &upstream->call);
}
