/* Our own engine's dialect: it always answers in server-sent events, a stream's chunks as they are, or a whole answer as one event; events of the hop's own
 * tell of the first token and, at the end, its account. */
#include "base/clock.h"
#include "base/macros.h"
#include "stages/services.h"
#include "stages/pipeline.h"
#include "stages/splice.h"

/* FNV-1a (Fowler, Noll, Vo) in the 31 bits that the header carries; 0 is those without a key. */
static uint32_t name_salt(const char *name)
{
	uint32_t hash = UINT32_C(2166136261);
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT32_C(16777619);
	hash &= INT32_MAX;
	return hash ? hash : 1;
}

static void write_request(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	struct bytes *head = &upstream->head;
	struct splice splice;
	splice_init(&splice, http_exchange_body(request->exchange), &upstream->splices);
	if (request->trim.count)
		splice_cut(&splice, request->trim.at, request->trim.len);
	int64_t left_ns = max_ll(request->deadline_ns - request_now_ns(request), 0);
	bytes_printf(head,
	             "POST %s HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
	             "x-request-id: %.*s\r\ntraceparent: %.*s\r\nx-penstock-events: 1\r\nx-penstock-deadline-ms: %lld\r\n"
	             "x-penstock-expected-tokens: %u\r\n",
	             endpoint_row(request->endpoint)->path, splice.body.len - request->trim.len, (int)request->id.len,
	             request->id.at, (int)request->traceparent.len, request->traceparent.at,
	             (long long)(left_ns / NS_PER_MS), request->output_tokens_high);
	/* Tenants share no prefixes: not even by their times could one tell what another asked. */
	if (request->key)
		bytes_printf(head, "x-penstock-class: %u\r\nx-penstock-cache-salt: %u\r\n", (unsigned)request->key->class,
		             name_salt(request->key->name));
	if (request->output_tokens_max)
		bytes_printf(head, "x-penstock-max-output: %u\r\n", request->output_tokens_max);
	if (request->route->shape_max_prompt)
		bytes_printf(head, "x-penstock-max-prompt: %lld\r\n", (long long)request->route->shape_max_prompt);
	bytes_append_text(head, "\r\n");
	upstream->sent.body_pieces = splice_finish(&splice, upstream->sent.body);
}

/* The engine's account of an answer: exact tokens, its own times. */
static void take_account(struct upstream *upstream, struct span data)
{
	struct json *json = &upstream->json;
	if (json_parse(json, data.at, data.len, 4, NULL) != OK)
		return;
	upstream->prompt_tokens = upstream_number(json, JSON_ROOT, "prompt_tokens");
	upstream->cached_tokens = upstream_number(json, JSON_ROOT, "cached_tokens");
	upstream->output_tokens = upstream_number(json, JSON_ROOT, "output_tokens");
	upstream->engine = (struct trace_engine){
		.known = true,
		.tokenize_ns = upstream_number(json, JSON_ROOT, "tokenize_ns"),
		.queue_ns = upstream_number(json, JSON_ROOT, "queue_ns"),
		.prefill_ns = upstream_number(json, JSON_ROOT, "prefill_ns"),
		.decode_ns = upstream_number(json, JSON_ROOT, "decode_ns"),
	};
}

/* Events of the hop stay here; everything else goes to the client byte for byte. */
static void take_event(struct request *request, const struct sse_event *event)
{
	struct upstream *upstream = &request->upstream;
	if (span_is(event->name, "penstock")) {
		take_account(upstream, event->data);
	} else if (span_is(event->name, "first_token")) {
		upstream_note_first_token(request);
	} else if (span_is(event->name, "answer")) {
		bytes_append_span(&upstream->out, event->data);
		upstream->has_content = true;
		upstream->is_done = true;
	} else if (event->is_comment) {
		return;
	} else if (span_starts_with(event->data, SPAN("{\"error\""))) {
		upstream_note_error(request, event->data);
	} else if (span_is(event->data, "[DONE]")) {
		bytes_append_span(&upstream->out, event->raw);
		upstream->is_done = true;
	} else {
		upstream_note_content(request);
		bytes_append_span(&upstream->out, event->raw);
	}
}

const struct dialect dialect_engine = { .write_request = write_request, .take_event = take_event };
