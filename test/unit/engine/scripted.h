/* The scripted engine, and generations prepared on it. */
#ifndef PENSTOCK_TEST_ENGINE_SCRIPTED_H
#define PENSTOCK_TEST_ENGINE_SCRIPTED_H

#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "config/config.h"
#include "engine/generation.h"

/* What the scripted engine says, over and over. */
static const char *const script_words[] = { "one",  " two",   " three", " four", " five",
	                                        " six", " seven", " eight", " nine", " ten" };

static inline bool script_progress(void *owner, float ratio)
{
	(void)owner;
	(void)ratio;
	return true;
}

/* Instant, unless a request says otherwise; 10 tokens an answer. short_context: cells of each sequence of the short lane, 0 for none. */
static inline struct engine *script_open_lanes(int64_t context, int64_t sequences, int64_t short_context)
{
	const struct pool_config settings = {
		.engine_kind = 1,
		.engine_context = context,
		.engine_sequences = sequences,
		.engine_short_context = short_context,
		.engine_scripted_tokens = 10,
		.engine_scripted_fail_after = -1,
		.engine_scripted_stall_after = -1,
	};
	struct engine *engine = NULL;
	struct bytes fault = { 0 };
	ck_error_is(scripted_engine_ops.open(&settings, script_progress, NULL, &engine, &fault), OK);
	ck_error_is(engine->ops->warm_up(engine), OK);
	bytes_fini(&fault);
	return engine;
}

static inline struct engine *script_open(int64_t context, int64_t sequences)
{
	return script_open_lanes(context, sequences, 0);
}

/* fields: raw JSON members after the model and the prompt, such as ",\"stream\":true". */
static inline struct generation *script_generation(struct engine *engine, enum api_endpoint endpoint,
                                                   const char *fields)
{
	struct generation *generation;
	struct api_fault refusal;
	struct bytes body = { 0 }, fault = { 0 };
	bytes_printf(&body, "{\"model\":\"m\",%s%s}",
	             endpoint == API_CHAT ? "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]" : "\"prompt\":\"a\"",
	             fields);
	ck_error_is(generation_new(&body, &generation), OK);
	ck_assert_uint_eq(body.len, 0);
	ck_assert_msg(api_request_parse(&generation->request, endpoint, bytes_span(&generation->body), 16,
	                                &generation->arena, &refusal) == OK,
	              "%s: %s", fields, refusal.message);
	generation->deadline_ns = NS_NEVER;
	ck_error_is(engine->ops->prepare(engine, generation, &fault), OK);
	bytes_fini(&fault);
	return generation;
}

/* The text of the first `count` tokens. The caller ends it. */
static inline struct bytes script_text(size_t count)
{
	struct bytes text = { 0 };
	for (size_t i = 0; i < count; i++)
		bytes_append_text(&text, script_words[i % COUNT_OF(script_words)]);
	return text;
}

#endif
