/* Anthropic's translation (the first byte says which): a request, a whole answer, an error, or a stream of events, one a line. What is accepted becomes valid
 * JSON, and of a stream whole events. */
#include "api/anthropic.h"

#include "fuzz.h"

#define DEPTH_MAX 64
/* What is put in stands a few levels deeper. */
#define OUT_DEPTH_MAX (2 * DEPTH_MAX + 16)

enum { REQUEST, ANSWER, FAULT, STREAM, KINDS };

static void must_be_object(struct span text)
{
	struct json json = { 0 };
	MUST(json_parse(&json, text.at, text.len, OUT_DEPTH_MAX, NULL) == OK);
	MUST(json_type(&json, JSON_ROOT) == JSON_OBJECT);
	json_fini(&json);
}

static void try_request(struct span text, struct bytes *out, struct arena *arena)
{
	static struct api_request request;
	const struct anthropic_settings settings = { .model = "claude\"", .max_tokens = 0 };
	struct api_fault fault = { 0 };
	enum error error = api_request_read(&request, API_CHAT, text, DEPTH_MAX, arena, &fault);
	if (!error)
		error = anthropic_check_request(&request, arena, &fault);
	if (error) {
		MUST(fault.status == (error == ERROR_MEMORY ? 503 : 400) && fault.message[0]);
		return;
	}
	MUST(anthropic_write_request(&request, &settings, out, &fault) == OK);
	must_be_object(bytes_span(out));
}

static void try_answer(struct span text, struct bytes *out)
{
	struct json json = { 0 };
	struct anthropic_usage usage = { -1, -1, -1 };
	if (json_parse(&json, text.at, text.len, DEPTH_MAX, NULL) == OK && !anthropic_is_error(&json) &&
	    anthropic_write_answer(&json, 7, out, &usage) == OK) {
		must_be_object(bytes_span(out));
		MUST(usage.prompt >= -1 && usage.cached >= -1 && usage.output >= -1);
	}
	json_fini(&json);
}

static void try_error(struct span text, struct bytes *out)
{
	if (anthropic_write_error(text, out) == OK)
		must_be_object(bytes_span(out));
	else
		MUST(out->len == 0);
}

/* data: {...} and a blank line, again and again; [DONE] at the end, and only there. */
static void check_events(struct span out, bool is_done)
{
	bool has_done = false;
	while (out.len) {
		MUST(!has_done && span_starts_with(out, SPAN("data: ")));
		const size_t end = span_find(out, '\n');
		MUST(end + 1 < out.len && out.at[end + 1] == '\n');
		const struct span data = { out.at + 6, end - 6 };
		has_done = span_is(data, "[DONE]");
		if (!has_done)
			must_be_object(data);
		out = (struct span){ out.at + end + 2, out.len - end - 2 };
	}
	MUST(has_done == is_done);
}

static void try_stream(struct span text, bool include_usage, struct bytes *out, struct arena *arena)
{
	struct anthropic_stream stream;
	struct json json = { 0 };
	enum anthropic_news news = ANTHROPIC_NOTHING;
	enum error error = OK;
	anthropic_stream_init(&stream, 7, include_usage, arena);
	while (text.len && !error) {
		const size_t len = span_find(text, '\n');
		if (json_parse(&json, text.at, len, DEPTH_MAX, NULL) == OK) {
			error = anthropic_stream_take(&stream, &json, out, &news);
			MUST(error || news != ANTHROPIC_DONE || stream.is_done);
		}
		const size_t taken = len < text.len ? len + 1 : len;
		text = (struct span){ text.at + taken, text.len - taken };
	}
	check_events(bytes_span(out), stream.is_done);
	json_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes out = { 0 };
	struct arena arena;
	if (size == 0)
		return 0;
	char *text = exact_copy(data + 1, size - 1);
	const struct span span = { text, size - 1 };
	arena_init(&arena, 0);
	switch (data[0] % KINDS) {
	case REQUEST:
		try_request(span, &out, &arena);
		break;
	case ANSWER:
		try_answer(span, &out);
		break;
	case FAULT:
		try_error(span, &out);
		break;
	default:
		try_stream(span, data[0] & KINDS, &out, &arena);
		break;
	}
	bytes_fini(&out);
	arena_fini(&arena);
	free(text);
	return 0;
}
