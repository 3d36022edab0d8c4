#include "stages/checks.h"

#include <regex.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/macros.h"
#include "config/config_promise.h"
#include "http/sse.h"

#define DEPTH 64

bool checks_are_promised(const struct route_config *route)
{
	return route->promise_kind == PROMISE_KIND_QUALITY && route->promise_checks.count > 0;
}

/* ---- the words ---- */

/* choices[].message.content, choices[].delta.content or choices[].text. */
static enum error add_choices(const struct json *json, struct arena *arena, struct bytes *text)
{
	uint32_t choices = json_get(json, JSON_ROOT, "choices");
	if (choices == JSON_NONE)
		return OK;
	for (uint32_t choice = json_first(json, choices); choice != JSON_NONE; choice = json_next(json, choices, choice)) {
		struct span words = { 0 };
		uint32_t node = json_get(json, json_get(json, choice, "message"), "content");
		if (node == JSON_NONE)
			node = json_get(json, json_get(json, choice, "delta"), "content");
		if (node == JSON_NONE)
			node = json_get(json, choice, "text");
		if (node == JSON_NONE || json_type(json, node) != JSON_STRING)
			continue;
		enum error error = json_string(json, node, arena, &words);
		if (error)
			return error;
		bytes_append_span(text, words);
	}
	return OK;
}

static enum error add_text(struct json *json, struct span data, struct bytes *text)
{
	struct arena arena;
	enum error error = json_parse(json, data.at, data.len, DEPTH, NULL);
	if (error)
		return error;
	arena_init(&arena, 0);
	error = add_choices(json, &arena, text);
	arena_fini(&arena);
	return error;
}

static enum error add_events(struct json *json, struct span data, struct bytes *text)
{
	struct sse sse;
	enum error error = OK;
	sse_init(&sse, CHECKS_BYTES_MAX);
	while (data.len && !error) {
		bool complete = false;
		struct sse_event event;
		error = sse_feed(&sse, &data.at, &data.len, &complete, &event);
		if (!error && complete && event.data.len && !span_is(event.data, "[DONE]"))
			error = add_text(json, event.data, text);
	}
	sse_fini(&sse);
	return error;
}

enum error checks_text_of(struct span answer, bool is_stream, struct bytes *text)
{
	struct json json = { 0 };
	enum error error = is_stream ? add_events(&json, answer, text) : add_text(&json, answer, text);
	json_fini(&json);
	if (error == OK && !bytes_ok(text))
		return ERROR_MEMORY;
	return error == ERROR_MEMORY ? error : error ? ERROR_SYNTAX : OK;
}

/* ---- the checks ---- */

static bool is_json(struct span text)
{
	struct json json = { 0 };
	struct span trimmed = span_trim(text);
	bool is_good = json_parse(&json, trimmed.at, trimmed.len, DEPTH, NULL) == OK;
	json_fini(&json);
	return is_good;
}

/* [1], [23] */
static bool has_citation(struct span text)
{
	for (size_t i = 0; i + 2 < text.len; i++) {
		size_t end = i + 1;
		while (text.at[i] == '[' && end < text.len && text.at[end] >= '0' && text.at[end] <= '9')
			end++;
		if (end > i + 1 && end < text.len && text.at[end] == ']')
			return true;
	}
	return false;
}

/* A NUL byte ends what the expression sees: words have none. */
static bool is_found(const char *pattern, struct span text)
{
	regex_t regex;
	struct bytes copy = { 0 };
	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	bytes_append_span(&copy, text);
	bool found = bytes_ok(&copy) && regexec(&regex, copy.len ? bytes_text(&copy) : "", 0, NULL, 0) == 0;
	bytes_fini(&copy);
	regfree(&regex);
	return found;
}

static bool passes(const char *entry, struct span text)
{
	struct config_answer_check check;
	if (config_answer_check_read(entry, &check) != OK)
		return false; /* it was checked */
	switch (check.kind) {
	case CONFIG_CHECK_JSON:
		return is_json(text);
	case CONFIG_CHECK_CITE:
		return has_citation(text);
	default:
		return is_found(check.pattern, text);
	}
}

const char *checks_failed(const struct route_config *route, struct span text)
{
	for (size_t i = 0; i < route->promise_checks.count; i++)
		if (!passes(route->promise_checks.items[i], text))
			return route->promise_checks.items[i];
	return NULL;
}
