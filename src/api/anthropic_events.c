/* Anthropic's events as OpenAI's chunks. Nothing is collected but a name: each event becomes its chunks at once. */
#include "api/anthropic_parts.h"

#include <string.h>

void anthropic_stream_init(struct anthropic_stream *stream, int64_t created, bool include_usage, struct arena *arena)
{
	memset(stream, 0, sizeof(*stream));
	stream->created = created;
	stream->include_usage = include_usage;
	stream->arena = arena;
	stream->usage = (struct anthropic_usage){ -1, -1, -1 };
	stream->input_tokens = stream->cache_write_tokens = -1;
}

/* ---- chunks ---- */

static void begin_chunk(const struct anthropic_stream *stream, struct bytes *out)
{
	bytes_append_text(out, "data: ");
	bytes_append_span(out, stream->start);
	bytes_append_text(out, ",\"choices\":[{\"index\":0,\"delta\":{");
}

/* finish_reason: NULL until the last. */
static void end_chunk(const struct anthropic_stream *stream, const char *finish_reason, struct bytes *out)
{
	bytes_append_text(out, "},\"logprobs\":null,\"finish_reason\":");
	if (finish_reason)
		bytes_printf(out, "\"%s\"}]", finish_reason);
	else
		bytes_append_text(out, "null}]");
	bytes_append_text(out, stream->include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

/* One member of the delta, a string as it stands there; nothing where it is empty. */
static enum anthropic_news write_delta(const struct anthropic_stream *stream, const char *name, const struct json *json,
                                       uint32_t text, struct bytes *out)
{
	if (!anthropic_inner(json, text).len)
		return ANTHROPIC_NOTHING;
	begin_chunk(stream, out);
	bytes_printf(out, "\"%s\":", name);
	bytes_append_span(out, json_raw(json, text));
	end_chunk(stream, NULL, out);
	return ANTHROPIC_CONTENT;
}

/* arguments: a JSON string. */
static void write_arguments(const struct anthropic_stream *stream, const struct anthropic_call *call,
                            struct span arguments, struct bytes *out)
{
	begin_chunk(stream, out);
	bytes_printf(out, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", (unsigned)(call - stream->calls));
	bytes_append_span(out, arguments);
	bytes_append_text(out, "}}]");
	end_chunk(stream, NULL, out);
}

/* ---- blocks ---- */

static struct anthropic_call *find_call(struct anthropic_stream *stream, int64_t block)
{
	for (unsigned i = stream->call_count; i > 0; i--) {
		if (stream->calls[i - 1].block == block)
			return &stream->calls[i - 1];
	}
	return NULL;
}

static int64_t block_of(const struct json *json)
{
	int64_t index = -1;
	uint32_t node = json_get(json, JSON_ROOT, "index");
	return node != JSON_NONE && json_int64(json, node, &index) == OK ? index : -1;
}

static enum error begin_call(struct anthropic_stream *stream, const struct json *json, uint32_t block,
                             struct bytes *out)
{
	uint32_t id = json_get(json, block, "id");
	uint32_t name = json_get(json, block, "name");
	uint32_t input = json_get(json, block, "input");
	if (!anthropic_has_type(json, id, JSON_STRING) || !anthropic_has_type(json, name, JSON_STRING) ||
	    block_of(json) < 0 || find_call(stream, block_of(json)))
		return ERROR_SYNTAX;
	if (stream->call_count == ANTHROPIC_CALLS_MAX)
		return ERROR_LIMIT;
	struct anthropic_call *call = &stream->calls[stream->call_count++];
	*call = (struct anthropic_call){ .block = block_of(json) };
	begin_chunk(stream, out);
	bytes_printf(out, "\"tool_calls\":[{\"index\":%u,\"id\":", stream->call_count - 1);
	bytes_append_span(out, json_raw(json, id));
	bytes_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
	bytes_append_span(out, json_raw(json, name));
	bytes_append_text(out, ",\"arguments\":");
	/* Anthropic's own servers start with {} and send the arguments as deltas; others are whole at once. */
	call->is_whole = anthropic_has_type(json, input, JSON_OBJECT) && json_first(json, input) != JSON_NONE;
	call->has_arguments = call->is_whole;
	json_write_string(out, call->is_whole ? json_raw(json, input) : (struct span){ 0 });
	bytes_append_text(out, "}}]");
	end_chunk(stream, NULL, out);
	return OK;
}

static enum error take_block_start(struct anthropic_stream *stream, const struct json *json, struct bytes *out,
                                   enum anthropic_news *news)
{
	uint32_t block = json_get(json, JSON_ROOT, "content_block");
	struct span type = anthropic_inner_member(json, block, "type");
	if (span_is(type, "tool_use")) {
		*news = ANTHROPIC_CONTENT;
		return begin_call(stream, json, block, out);
	}
	if (span_is(type, "text"))
		*news = write_delta(stream, "content", json, json_get(json, block, "text"), out);
	else if (span_is(type, "thinking"))
		*news = write_delta(stream, "reasoning_content", json, json_get(json, block, "thinking"), out);
	return OK;
}

static enum anthropic_news take_arguments(struct anthropic_stream *stream, const struct json *json, uint32_t delta,
                                          struct bytes *out)
{
	/* The provider's own tools have inputs, too: their blocks are in no list. */
	struct anthropic_call *call = find_call(stream, block_of(json));
	uint32_t text = json_get(json, delta, "partial_json");
	if (!call || call->is_whole || !anthropic_inner(json, text).len)
		return ANTHROPIC_NOTHING;
	write_arguments(stream, call, json_raw(json, text), out);
	call->has_arguments = true;
	return ANTHROPIC_CONTENT;
}

static enum anthropic_news take_delta(struct anthropic_stream *stream, const struct json *json, struct bytes *out)
{
	uint32_t delta = json_get(json, JSON_ROOT, "delta");
	struct span type = anthropic_inner_member(json, delta, "type");
	if (span_is(type, "text_delta"))
		return write_delta(stream, "content", json, json_get(json, delta, "text"), out);
	if (span_is(type, "thinking_delta"))
		return write_delta(stream, "reasoning_content", json, json_get(json, delta, "thinking"), out);
	if (span_is(type, "input_json_delta"))
		return take_arguments(stream, json, delta, out);
	return ANTHROPIC_NOTHING;
}

/* A call of a function without parameters has no deltas; clients parse the arguments, and "" is no JSON. */
static void end_call(struct anthropic_stream *stream, struct anthropic_call *call, struct bytes *out)
{
	if (!call || call->is_whole)
		return;
	if (!call->has_arguments)
		write_arguments(stream, call, SPAN("\"{}\""), out);
	call->has_arguments = call->is_whole = true;
}

/* ---- messages ---- */

/* Totals so far: what an event doesn't say stays as it was. */
static void take_usage(struct anthropic_stream *stream, const struct json *json, uint32_t usage)
{
	const struct {
		const char *name;
		int64_t *value;
	} counts[] = {
		{ "input_tokens", &stream->input_tokens },
		{ "cache_creation_input_tokens", &stream->cache_write_tokens },
		{ "cache_read_input_tokens", &stream->usage.cached },
		{ "output_tokens", &stream->usage.output },
	};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		int64_t value = anthropic_tokens(json, usage, counts[i].name);
		if (value >= 0)
			*counts[i].value = value;
	}
	stream->usage.prompt =
		anthropic_prompt_tokens(stream->input_tokens, stream->usage.cached, stream->cache_write_tokens);
}

static enum error take_message_start(struct anthropic_stream *stream, const struct json *json, struct bytes *out)
{
	uint32_t message = json_get(json, JSON_ROOT, "message");
	struct bytes start = { 0 };
	if (stream->start.len || !anthropic_has_type(json, message, JSON_OBJECT))
		return ERROR_SYNTAX;
	anthropic_write_start(json, message, "chat.completion.chunk", stream->created, &start);
	char *copy = bytes_ok(&start) ? arena_copy_text(stream->arena, bytes_span(&start)) : NULL;
	stream->start = copy ? (struct span){ copy, start.len } : (struct span){ 0 };
	bytes_fini(&start);
	if (!copy)
		return ERROR_MEMORY;
	take_usage(stream, json, json_get(json, message, "usage"));
	begin_chunk(stream, out);
	bytes_append_text(out, "\"role\":\"assistant\",\"content\":\"\"");
	end_chunk(stream, NULL, out);
	return OK;
}

static enum anthropic_news take_message_delta(struct anthropic_stream *stream, const struct json *json)
{
	uint32_t delta = json_get(json, JSON_ROOT, "delta");
	uint32_t usage = json_get(json, JSON_ROOT, "usage");
	struct span reason = anthropic_inner_member(json, delta, "stop_reason");
	if (reason.len)
		stream->finish_reason = anthropic_finish_reason(reason);
	take_usage(stream, json, usage);
	return ANTHROPIC_USAGE;
}

/* Why it ends is said only here, where it is sure that nothing is missing. */
static void take_message_stop(struct anthropic_stream *stream, struct bytes *out)
{
	for (unsigned i = 0; i < stream->call_count; i++)
		end_call(stream, &stream->calls[i], out);
	begin_chunk(stream, out);
	end_chunk(stream, stream->finish_reason ? stream->finish_reason : "stop", out);
	if (stream->include_usage) {
		bytes_append_text(out, "data: ");
		bytes_append_span(out, stream->start);
		bytes_append_text(out, ",\"choices\":[],\"usage\":");
		anthropic_write_usage(&stream->usage, out);
		bytes_append_text(out, "}\n\n");
	}
	bytes_append_text(out, "data: [DONE]\n\n");
	stream->is_done = true;
}

static enum error take_within(struct anthropic_stream *stream, struct span type, const struct json *json,
                              struct bytes *out, enum anthropic_news *news)
{
	if (span_is(type, "content_block_start"))
		return take_block_start(stream, json, out, news);
	if (span_is(type, "content_block_delta")) {
		*news = take_delta(stream, json, out);
	} else if (span_is(type, "content_block_stop")) {
		end_call(stream, find_call(stream, block_of(json)), out);
	} else if (span_is(type, "message_delta")) {
		*news = take_message_delta(stream, json);
	} else if (span_is(type, "message_stop")) {
		take_message_stop(stream, out);
		*news = ANTHROPIC_DONE;
	}
	return OK;
}

enum error anthropic_stream_take(struct anthropic_stream *stream, const struct json *json, struct bytes *out,
                                 enum anthropic_news *news)
{
	static const char *const within[] = { "content_block_start", "content_block_delta", "content_block_stop",
		                                  "message_delta", "message_stop" };
	struct span type = anthropic_inner(json, json_get(json, JSON_ROOT, "type"));
	enum error error = OK;
	bool is_within = false;
	*news = ANTHROPIC_NOTHING;
	if (!type.len)
		return ERROR_SYNTAX;
	if (stream->is_done)
		return OK;
	for (size_t i = 0; i < sizeof(within) / sizeof(within[0]); i++)
		is_within |= span_is(type, within[i]);
	if (span_is(type, "error"))
		*news = ANTHROPIC_FAILED;
	else if (span_is(type, "ping"))
		*news = ANTHROPIC_PING;
	else if (span_is(type, "message_start"))
		error = take_message_start(stream, json, out);
	else if (is_within)
		error = stream->start.len ? take_within(stream, type, json, out, news) : ERROR_SYNTAX;
	if (!error && !bytes_ok(out))
		error = ERROR_MEMORY;
	return error;
}
