/* Anthropic's whole answers and errors as OpenAI's. */
#include "api/anthropic_parts.h"

#define ERROR_DEPTH 16
/* Sums of three of them are far from overflowing; nobody counts so far. */
#define TOKENS_MAX (INT64_C(1) << 48)

bool anthropic_is_error(const struct json *json)
{
	return span_is(anthropic_inner(json, json_get(json, JSON_ROOT, "type")), "error");
}

const char *anthropic_finish_reason(struct span stop_reason)
{
	static const struct {
		const char *there;
		const char *here;
	} reasons[] = {
		{ "end_turn", "stop" },          { "stop_sequence", "stop" },  { "pause_turn", "stop" },
		{ "max_tokens", "length" },      { "tool_use", "tool_calls" }, { "model_context_window_exceeded", "length" },
		{ "refusal", "content_filter" },
	};
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (span_is(stop_reason, reasons[i].there))
			return reasons[i].here;
	}
	return "stop";
}

/* ---- usage ---- */

int64_t anthropic_tokens(const struct json *json, uint32_t usage, const char *name)
{
	int64_t value = -1;
	uint32_t node = anthropic_member(json, usage, name);
	if (node == JSON_NONE || json_int64(json, node, &value) != OK || value < 0 || value > TOKENS_MAX)
		return -1;
	return value;
}

int64_t anthropic_prompt_tokens(int64_t input, int64_t cache_read, int64_t cache_write)
{
	if (input < 0)
		return -1;
	return input + (cache_read > 0 ? cache_read : 0) + (cache_write > 0 ? cache_write : 0);
}

void anthropic_write_usage(const struct anthropic_usage *usage, struct bytes *out)
{
	const char *comma = "{";
	if (usage->prompt < 0 && usage->output < 0) {
		bytes_append_text(out, "null");
		return;
	}
	if (usage->prompt >= 0) {
		bytes_printf(out, "%s\"prompt_tokens\":%lld", comma, (long long)usage->prompt);
		comma = ",";
	}
	if (usage->output >= 0) {
		bytes_printf(out, "%s\"completion_tokens\":%lld", comma, (long long)usage->output);
		comma = ",";
	}
	if (usage->prompt >= 0 && usage->output >= 0)
		bytes_printf(out, ",\"total_tokens\":%lld", (long long)(usage->prompt + usage->output));
	if (usage->cached >= 0)
		bytes_printf(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%lld}", (long long)usage->cached);
	bytes_append_byte(out, '}');
}

/* ---- whole answers ---- */

void anthropic_write_start(const struct json *json, uint32_t message, const char *object, int64_t created,
                           struct bytes *out)
{
	bool is_root = message == JSON_ROOT;
	uint32_t id = is_root ? json_get(json, JSON_ROOT, "id") : anthropic_member(json, message, "id");
	uint32_t model = is_root ? json_get(json, JSON_ROOT, "model") : anthropic_member(json, message, "model");
	struct span none = SPAN("\"\"");
	bytes_append_text(out, "{\"id\":");
	bytes_append_span(out, anthropic_has_type(json, id, JSON_STRING) ? json_raw(json, id) : none);
	bytes_printf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object, (long long)created);
	bytes_append_span(out, anthropic_has_type(json, model, JSON_STRING) ? json_raw(json, model) : none);
}

/* All blocks' texts of a kind as one string; whether there was one. */
static bool write_joined(const struct json *json, uint32_t content, const char *type, const char *name,
                         struct bytes *out)
{
	bool has_any = false;
	for (uint32_t block = json_first(json, content); block != JSON_NONE; block = json_next(json, content, block)) {
		uint32_t text = json_get(json, block, type); /* named as its block's type */
		if (!span_is(anthropic_inner_member(json, block, "type"), type) || !anthropic_has_type(json, text, JSON_STRING))
			continue;
		if (!has_any)
			bytes_printf(out, "%s\"", name);
		bytes_append_span(out, anthropic_inner(json, text));
		has_any = true;
	}
	if (has_any)
		bytes_append_byte(out, '"');
	return has_any;
}

/* `,"tool_calls":[...]`, where there are any. */
static bool write_calls(const struct json *json, uint32_t content, struct bytes *out)
{
	unsigned count = 0;
	for (uint32_t block = json_first(json, content); block != JSON_NONE; block = json_next(json, content, block)) {
		uint32_t id = json_get(json, block, "id");
		uint32_t name = json_get(json, block, "name");
		uint32_t input = json_get(json, block, "input");
		if (!span_is(anthropic_inner_member(json, block, "type"), "tool_use") ||
		    !anthropic_has_type(json, id, JSON_STRING) || !anthropic_has_type(json, name, JSON_STRING))
			continue;
		bytes_append_text(out, count++ ? ",{\"id\":" : ",\"tool_calls\":[{\"id\":");
		bytes_append_span(out, json_raw(json, id));
		bytes_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
		bytes_append_span(out, json_raw(json, name));
		bytes_append_text(out, ",\"arguments\":");
		json_write_string(out, anthropic_has_type(json, input, JSON_OBJECT) ? json_raw(json, input) : SPAN("{}"));
		bytes_append_text(out, "}}");
	}
	if (count)
		bytes_append_byte(out, ']');
	return count > 0;
}

static void read_usage(const struct json *json, uint32_t usage, struct anthropic_usage *out)
{
	out->cached = anthropic_tokens(json, usage, "cache_read_input_tokens");
	out->prompt = anthropic_prompt_tokens(anthropic_tokens(json, usage, "input_tokens"), out->cached,
	                                      anthropic_tokens(json, usage, "cache_creation_input_tokens"));
	out->output = anthropic_tokens(json, usage, "output_tokens");
}

enum error anthropic_write_answer(const struct json *message, int64_t created, struct bytes *out,
                                  struct anthropic_usage *usage)
{
	uint32_t content = json_get(message, JSON_ROOT, "content");
	struct span type = anthropic_inner(message, json_get(message, JSON_ROOT, "type"));
	struct span stop_reason = anthropic_inner(message, json_get(message, JSON_ROOT, "stop_reason"));
	if (!span_is(type, "message") || !anthropic_has_type(message, content, JSON_ARRAY))
		return ERROR_SYNTAX;
	anthropic_write_start(message, JSON_ROOT, "chat.completion", created, out);
	bytes_append_text(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"refusal\":null");
	(void)write_joined(message, content, "thinking", ",\"reasoning_content\":", out);
	bool has_calls = write_calls(message, content, out);
	/* An answer of calls alone has no content; one of nothing at all has an empty one. */
	if (!write_joined(message, content, "text", ",\"content\":", out))
		bytes_append_text(out, has_calls ? ",\"content\":null" : ",\"content\":\"\"");
	bytes_printf(out,
	             "},\"logprobs\":null,\"finish_reason\":\"%s\"}],\"usage\":", anthropic_finish_reason(stop_reason));
	read_usage(message, json_get(message, JSON_ROOT, "usage"), usage);
	anthropic_write_usage(usage, out);
	bytes_append_byte(out, '}');
	return bytes_ok(out) ? OK : ERROR_MEMORY;
}

/* ---- errors ---- */

enum error anthropic_write_error(struct span body, struct bytes *out)
{
	struct json json = { 0 };
	enum error error = json_parse(&json, body.at, body.len, ERROR_DEPTH, NULL);
	uint32_t fault = error ? JSON_NONE : json_get(&json, JSON_ROOT, "error");
	uint32_t message = error ? JSON_NONE : anthropic_member(&json, fault, "message");
	uint32_t type = error ? JSON_NONE : anthropic_member(&json, fault, "type");
	if (!error && !anthropic_has_type(&json, message, JSON_STRING))
		error = ERROR_SYNTAX;
	if (!error) {
		/* It has no codes; clients that shorten a conversation look for this one. */
		bool is_too_long = span_starts_with(anthropic_inner(&json, message), SPAN("prompt is too long"));
		bytes_append_text(out, "{\"error\":{\"message\":");
		bytes_append_span(out, json_raw(&json, message));
		bytes_append_text(out, ",\"type\":");
		bytes_append_span(out, anthropic_has_type(&json, type, JSON_STRING) ? json_raw(&json, type)
		                                                                    : SPAN("\"invalid_request_error\""));
		bytes_append_text(out, ",\"param\":null,\"code\":");
		bytes_append_text(out, is_too_long ? "\"context_length_exceeded\"}}" : "null}}");
	}
	json_fini(&json);
	return error;
}
