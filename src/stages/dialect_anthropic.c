/* Anthropic's Messages API, for clients that speak OpenAI's: everything is translated (src/api/anthropic.h). The parse stage has refused what can't be, so that a
 * request that comes here can be sent. */
#include <stdio.h>

#include "api/anthropic.h"
#include "base/clock.h"
#include "stages/pipeline.h"
#include "stages/services.h"

/* A tool's input may be as deep as a request's arguments, and stands two deeper. */
#define ANSWER_DEPTH 72

static int64_t wall_s(void)
{
	return clock_wall_ns() / NS_PER_S;
}

/* ---- the request ---- */

static void write_body(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	const struct anthropic_settings settings = {
		.model = request->config->pools[request->pool].upstream_model,
		.max_tokens = request->output_tokens_max,
	};
	struct api_fault fault = { 0 };
	/* Only memory can be missing: marked, so that the attempt is not begun. */
	if (anthropic_write_request(&request->api, &settings, &upstream->splices, &fault) != OK)
		upstream->splices.failed = true;
	upstream->sent.body[0] = bytes_span(&upstream->splices);
	upstream->sent.body_pieces = 1;
}

static void start_state(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	if (!request->api.stream)
		return;
	upstream->state = arena_alloc(&request->arena, sizeof(struct anthropic_stream));
	if (upstream->state)
		anthropic_stream_init(upstream->state, wall_s(), request->api.include_usage, &request->arena);
	else
		upstream->splices.failed = true;
}

static void write_request(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	const struct pool_config *pool = &request->config->pools[request->pool];
	const struct url *url = fleet_url(request->services->fleet, request->replica);
	struct bytes *head = &upstream->head;
	write_body(request);
	start_state(request);
	bytes_printf(head,
	             "POST %s/v1/messages HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock\r\ncontent-type: "
	             "application/json\r\naccept: %s\r\nanthropic-version: " ANTHROPIC_VERSION
	             "\r\ncontent-length: %zu\r\n",
	             url->path, url->authority, request->api.stream ? "text/event-stream" : "application/json",
	             upstream->splices.len);
	if (*pool->upstream_key)
		bytes_printf(head, "x-api-key: %s\r\n", pool->upstream_key);
	upstream_write_forwarded(request, head);
	bytes_append_text(head, "\r\n");
}

/* ---- the answer ---- */

static void take_usage(struct upstream *upstream, const struct anthropic_usage *usage)
{
	upstream->prompt_tokens = usage->prompt;
	upstream->cached_tokens = usage->cached;
	upstream->output_tokens = usage->output;
}

/* An error event in a 200 says by its type what a status would have said. */
static void take_error(struct request *request, struct span data)
{
	struct upstream *upstream = &request->upstream;
	uint32_t error = json_get(&upstream->json, JSON_ROOT, "error");
	uint32_t type = error == JSON_NONE ? JSON_NONE : json_get(&upstream->json, error, "type");
	struct span text = type == JSON_NONE ? (struct span){ 0 } : json_raw(&upstream->json, type);
	upstream_note_error(request, data);
	if (span_is(text, "\"overloaded_error\""))
		upstream->error_failure = FAILURE_BUSY;
	else if (span_is(text, "\"rate_limit_error\""))
		upstream->error_failure = FAILURE_RATE;
}

static void take_news(struct request *request, enum anthropic_news news, struct span data)
{
	struct upstream *upstream = &request->upstream;
	const struct anthropic_stream *stream = upstream->state;
	switch (news) {
	case ANTHROPIC_NOTHING:
		break;
	case ANTHROPIC_PING:
		/* Theirs keep the client waiting, too; before the first token ours do, by our own clock. */
		if (upstream->has_first_token)
			bytes_append_text(&upstream->out, ": ping\n\n");
		break;
	case ANTHROPIC_CONTENT:
		upstream_note_content(request);
		break;
	case ANTHROPIC_USAGE:
		take_usage(upstream, &stream->usage);
		break;
	case ANTHROPIC_DONE:
		/* An answer without a word is one, too: its end is its first token. */
		if (!upstream->has_first_token)
			upstream_note_content(request);
		take_usage(upstream, &stream->usage);
		upstream->has_finish_reason = upstream->is_done = true;
		break;
	case ANTHROPIC_FAILED:
		take_error(request, data);
		break;
	}
}

static void take_event(struct request *request, const struct sse_event *event)
{
	struct upstream *upstream = &request->upstream;
	struct json *json = &upstream->json;
	enum anthropic_news news = ANTHROPIC_NOTHING;
	if (event->is_comment || upstream->is_done)
		return;
	if (!upstream->state || json_parse(json, event->data.at, event->data.len, ANSWER_DEPTH, NULL) != OK ||
	    anthropic_stream_take(upstream->state, json, &upstream->out, &news) != OK)
		upstream->is_broken = true;
	else
		take_news(request, news, event->data);
}

/* The request is sent by now: where its body was, the translation is made. */
static void take_whole(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	struct json *json = &upstream->json;
	struct anthropic_usage usage = { -1, -1, -1 };
	if (json_parse(json, upstream->out.data, upstream->out.len, ANSWER_DEPTH, NULL) != OK) {
		upstream->is_broken = true;
		return;
	}
	if (anthropic_is_error(json)) {
		take_error(request, bytes_span(&upstream->out));
		return;
	}
	bytes_clear(&upstream->splices);
	if (anthropic_write_answer(json, wall_s(), &upstream->splices, &usage) != OK) {
		upstream->is_broken = true;
		return;
	}
	struct bytes answer = upstream->splices;
	upstream->splices = upstream->out;
	upstream->out = answer;
	take_usage(upstream, &usage);
	upstream_note_first_token(request);
	upstream->is_done = true;
}

static void take_refusal(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	struct bytes body = { 0 };
	if (anthropic_write_error(bytes_span(&upstream->refusal), &body) != OK && upstream->status < 500) {
		char message[64];
		snprintf(message, sizeof(message), "The upstream answered with status %d.", upstream->status);
		api_write_error_text(&body, api_error_type(upstream->status), NULL, message);
	}
	if (body.len && bytes_ok(&body)) {
		bytes_fini(&upstream->refusal);
		upstream->refusal = body;
	} else {
		bytes_fini(&body);
	}
}

const struct dialect dialect_anthropic = {
	.write_request = write_request,
	.take_event = take_event,
	.take_whole = take_whole,
	.take_refusal = take_refusal,
};
