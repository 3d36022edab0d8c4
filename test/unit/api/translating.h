/* OpenAI requests through Anthropic's translation, for its tests. */
#ifndef PENSTOCK_TEST_API_TRANSLATING_H
#define PENSTOCK_TEST_API_TRANSLATING_H

#include "unit.h"

#include <string.h>

#include "api/anthropic.h"

#define DEPTH_MAX 64

struct translated {
	struct arena arena;
	struct api_request request;
	struct api_fault fault;
	struct bytes body; /* for Anthropic */
	enum error error;
};

/* The whole way of a request: read, checked, written. */
static inline void translate(struct translated *translated, struct span text, int64_t max_tokens)
{
	const struct anthropic_settings settings = { .model = "claude", .max_tokens = max_tokens };
	*translated = (struct translated){ 0 };
	arena_init(&translated->arena, 0);
	translated->error =
		api_request_read(&translated->request, API_CHAT, text, DEPTH_MAX, &translated->arena, &translated->fault);
	if (!translated->error)
		translated->error = anthropic_check_request(&translated->request, &translated->arena, &translated->fault);
	if (!translated->error)
		translated->error =
			anthropic_write_request(&translated->request, &settings, &translated->body, &translated->fault);
}

static inline void translated_fini(struct translated *translated)
{
	api_request_fini(&translated->request);
	arena_fini(&translated->arena);
	bytes_fini(&translated->body);
}

/* `members` behind the model, and exactly what becomes of all of it. */
static inline void must_become(const char *members, int64_t max_tokens, const char *wanted)
{
	struct translated translated;
	struct bytes text = { 0 };
	bytes_printf(&text, "{\"model\":\"m\",%s}", members);
	translate(&translated, bytes_span(&text), max_tokens);
	ck_assert_msg(translated.error == OK, "%s: %s", members, translated.fault.message);
	ck_assert_msg(span_is(bytes_span(&translated.body), wanted), "%s\nbecame %s\nwanted %s", members,
	              bytes_text(&translated.body), wanted);
	translated_fini(&translated);
	bytes_fini(&text);
}

static inline void must_refuse_members(const char *members, const char *param)
{
	struct translated translated;
	struct bytes text = { 0 };
	bytes_printf(&text, "{\"model\":\"m\",%s}", members);
	translate(&translated, bytes_span(&text), 0);
	ck_assert_msg(translated.error != OK, "%s was accepted", members);
	ck_assert_int_eq(translated.fault.status, 400);
	ck_assert_msg(strcmp(translated.fault.param, param) == 0, "%s: param %s, wanted %s", members,
	              translated.fault.param, param);
	ck_assert_msg(strlen(translated.fault.message) > 10, "%s: %s", members, translated.fault.message);
	translated_fini(&translated);
	bytes_fini(&text);
}

#endif
