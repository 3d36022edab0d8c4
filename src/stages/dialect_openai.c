/* OpenAI's dialect, as vLLM, SGLang, llama-server, hosted APIs and other Penstocks speak it. Requests are the client's own bytes with splices (the model's
 * name, stream_options, a cap); answers go through byte for byte, each event looked at once: is it JSON, is it content, an error, the end, the usage? */
#include <stdio.h>

#include "base/macros.h"
#include "stages/pipeline.h"
#include "stages/services.h"
#include "stages/splice.h"

/* An ordinary head fits. */
#define HEAD_BYTES 512
#define EVENT_DEPTH 32

static const struct pool_config *pool_of(const struct request *request)
{
	return &request->config->pools[request->pool];
}

/* Engines of the operator's own, where a request's id and trace help to find it again; others' are told neither. */
static bool is_own(const struct pool_config *pool)
{
	return pool->upstream_kind != UPSTREAM_OPENAI && pool->upstream_kind != UPSTREAM_ANTHROPIC;
}

/* ---- the request ---- */

/* A member that is there, be it null, is replaced: two of a name could be read either way. */
static void set_member(struct splice *splice, const struct json *json, const char *name, struct span value)
{
	uint32_t node = json_get(json, JSON_ROOT, name);
	if (node != JSON_NONE) {
		splice_replace(splice, json, node, value, false);
		return;
	}
	char member[96];
	int len = snprintf(member, sizeof(member), "\"%s\":%.*s", name, (int)value.len, value.at);
	splice_member(splice, json, JSON_ROOT, (struct span){ member, (size_t)len });
}

/* Usage is always asked for: what nobody counted can't be settled. */
static void ask_for_usage(struct splice *splice, const struct json *json)
{
	uint32_t options = json_get(json, JSON_ROOT, "stream_options");
	uint32_t asked = json_get(json, options, "include_usage");
	if (options == JSON_NONE || json_type(json, options) != JSON_OBJECT)
		set_member(splice, json, "stream_options", SPAN("{\"include_usage\":true}"));
	else if (asked == JSON_NONE)
		splice_member(splice, json, options, SPAN("\"include_usage\":true"));
	else if (json_type(json, asked) != JSON_TRUE)
		splice_replace(splice, json, asked, SPAN("true"), false);
}

static void cap_output(struct splice *splice, const struct request *request)
{
	const struct json *json = &request->api.json;
	bool has_old = json_get(json, JSON_ROOT, "max_tokens") != JSON_NONE;
	bool has_new = json_get(json, JSON_ROOT, "max_completion_tokens") != JSON_NONE;
	bool wants_new = request->endpoint == ENDPOINT_CHAT && !is_own(pool_of(request));
	char number[24];
	int len = snprintf(number, sizeof(number), "%u", request->output_tokens_max);
	struct span value = { number, (size_t)len };
	if (has_old || (!has_new && !wants_new))
		set_member(splice, json, "max_tokens", value);
	if (has_new || (!has_old && wants_new))
		set_member(splice, json, "max_completion_tokens", value);
}

static void splice_body(struct request *request)
{
	const struct pool_config *pool = pool_of(request);
	const struct api_request *api = &request->api;
	struct splice splice;
	splice_init(&splice, api->body, &request->upstream.splices);
	if (*pool->upstream_model)
		splice_replace(&splice, &api->json, api->model_node, span_of(pool->upstream_model), true);
	if (request->trim.count)
		splice_cut(&splice, request->trim.at, request->trim.len);
	if (api->stream)
		ask_for_usage(&splice, &api->json);
	bool is_capped = request->output_tokens_max && (int64_t)request->output_tokens_max != api->max_tokens;
	if (is_capped)
		cap_output(&splice, request);
	request->upstream.sent.body_pieces = splice_finish(&splice, request->upstream.sent.body);
}

static void write_request(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	const struct pool_config *pool = pool_of(request);
	const struct url *url = fleet_url(request->services->fleet, request->replica);
	size_t len = 0;
	splice_body(request);
	for (unsigned i = 0; i < upstream->sent.body_pieces; i++)
		len += upstream->sent.body[i].len;
	struct bytes *head = &upstream->head;
	bytes_reserve(head, HEAD_BYTES);
	bytes_append_literal(head, "POST ");
	bytes_append_text(head, url->path);
	bytes_append_text(head, endpoint_row(request->endpoint)->path);
	bytes_append_literal(head, " HTTP/1.1\r\nhost: ");
	bytes_append_text(head, url->authority);
	bytes_append_literal(head, "\r\nuser-agent: penstock\r\ncontent-type: application/json\r\naccept: ");
	bytes_append_text(head, request->api.stream ? "text/event-stream" : "application/json");
	bytes_append_literal(head, "\r\ncontent-length: ");
	bytes_append_number(head, (int64_t)len);
	if (*pool->upstream_key) {
		bytes_append_literal(head, "\r\nauthorization: Bearer ");
		bytes_append_text(head, pool->upstream_key);
	}
	if (is_own(pool)) {
		bytes_append_literal(head, "\r\nx-request-id: ");
		bytes_append_span(head, request->id);
		bytes_append_literal(head, "\r\ntraceparent: ");
		bytes_append_span(head, request->traceparent);
	}
	bytes_append_literal(head, "\r\n");
	upstream_write_forwarded(request, head);
	bytes_append_literal(head, "\r\n");
}

/* ---- the answer ---- */

/* An explicit 0 is 0; what is missing stays unknown. */
static void take_usage(struct upstream *upstream, uint32_t usage)
{
	const struct json *json = &upstream->json;
	upstream->prompt_tokens = upstream_number(json, usage, "prompt_tokens");
	upstream->output_tokens = upstream_number(json, usage, "completion_tokens");
	uint32_t details = json_get(json, usage, "prompt_tokens_details");
	upstream->cached_tokens = upstream_number(json, details, "cached_tokens");
	if (upstream->output_tokens < 0 && upstream->prompt_tokens >= 0 &&
	    json_get(json, usage, "total_tokens") != JSON_NONE)
		upstream->output_tokens =
			upstream_number(json, usage, "total_tokens") - upstream->prompt_tokens; /* embeddings */
}

static bool is_filled(const struct json *json, uint32_t node)
{
	if (node == JSON_NONE)
		return false;
	struct span raw = json_raw(json, node);
	enum json_type type = json_type(json, node);
	return (type == JSON_STRING && raw.len > 2) || (type == JSON_ARRAY && json->nodes[node].count > 0) ||
	       (type == JSON_OBJECT && json->nodes[node].count > 0);
}

/* Whether a choice holds something that a user would see; notes the end of the answer. */
static bool look_at_choice(struct upstream *upstream, uint32_t choice)
{
	static const char *const seen[] = { "content", "tool_calls", "reasoning_content", "reasoning",
		                                "refusal", "audio",      "function_call" };
	const struct json *json = &upstream->json;
	uint32_t finish = json_get(json, choice, "finish_reason");
	if (finish != JSON_NONE && json_type(json, finish) == JSON_STRING)
		upstream->has_finish_reason = true;
	if (is_filled(json, json_get(json, choice, "text")))
		return true;
	uint32_t delta = json_get(json, choice, "delta");
	for (size_t i = 0; i < COUNT_OF(seen) && delta != JSON_NONE; i++) {
		if (is_filled(json, json_get(json, delta, seen[i])))
			return true;
	}
	return false;
}

/* What an error in the middle of a stream looks like: OpenAI's, and older vLLMs'. */
static bool is_error(const struct json *json)
{
	uint32_t error = json_get(json, JSON_ROOT, "error");
	if (error != JSON_NONE && json_type(json, error) != JSON_NULL)
		return true;
	uint32_t object = json_get(json, JSON_ROOT, "object");
	return object != JSON_NONE && span_equal(json_raw(json, object), SPAN("\"error\""));
}

static void take_chunk(struct request *request, const struct sse_event *event)
{
	struct upstream *upstream = &request->upstream;
	struct json *json = &upstream->json;
	uint32_t choices = json_get(json, JSON_ROOT, "choices");
	uint32_t usage = json_get(json, JSON_ROOT, "usage");
	uint32_t first = choices == JSON_NONE ? JSON_NONE : json_first(json, choices);
	bool has_content = false;
	for (uint32_t choice = first; choice != JSON_NONE; choice = json_next(json, choices, choice))
		has_content |= look_at_choice(upstream, choice);
	bool has_usage = usage != JSON_NONE && json_type(json, usage) == JSON_OBJECT;
	if (has_usage)
		take_usage(upstream, usage);
	/* An answer without a word is one, too: its end is its first token. */
	if (has_content || (upstream->has_finish_reason && !upstream->has_first_token))
		upstream_note_content(request);
	bool is_for_us = has_usage && first == JSON_NONE && !request->api.include_usage;
	if (!is_for_us)
		bytes_append_span(&upstream->out, event->raw);
}

static void take_event(struct request *request, const struct sse_event *event)
{
	struct upstream *upstream = &request->upstream;
	if (event->is_comment) {
		/* Their keep-alives; ours go out by our own clock. Behind the first token they are part of the stream. */
		if (upstream->has_first_token && !upstream->is_done)
			bytes_append_span(&upstream->out, event->raw);
		return;
	}
	if (upstream->is_done)
		return;
	if (span_is(event->data, "[DONE]")) {
		bytes_append_span(&upstream->out, event->raw);
		upstream->is_done = upstream->has_first_token;
		upstream->is_broken = !upstream->has_first_token;
		return;
	}
	if (json_parse(&upstream->json, event->data.at, event->data.len, EVENT_DEPTH, NULL) != OK ||
	    json_type(&upstream->json, JSON_ROOT) != JSON_OBJECT)
		upstream->is_broken = true;
	else if (is_error(&upstream->json) || span_is(event->name, "error"))
		upstream_note_error(request, event->data);
	else
		take_chunk(request, event);
}

/* Some leave [DONE] out: a stream whose answer said why it ends, and that ended by its framing, is whole. */
static void take_end(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	if (upstream->is_done || !upstream->has_finish_reason || sse_pending(&upstream->sse))
		return;
	bytes_append_text(&upstream->out, "data: [DONE]\n\n");
	upstream->is_done = true;
}

static void take_whole(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	struct json *json = &upstream->json;
	if (json_parse(json, upstream->out.data, upstream->out.len, EVENT_DEPTH, NULL) != OK ||
	    json_type(json, JSON_ROOT) != JSON_OBJECT) {
		upstream->is_broken = true;
	} else if (is_error(json)) {
		upstream_note_error(request, bytes_span(&upstream->out));
	} else {
		uint32_t usage = json_get(json, JSON_ROOT, "usage");
		if (usage != JSON_NONE && json_type(json, usage) == JSON_OBJECT)
			take_usage(upstream, usage);
		upstream_note_first_token(request);
		upstream->is_done = true;
	}
}

const struct dialect dialect_openai = {
	.write_request = write_request,
	.take_event = take_event,
	.take_whole = take_whole,
	.take_end = take_end,
};
