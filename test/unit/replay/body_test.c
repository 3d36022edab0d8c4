/* Requests as bytes: sizes, shared parts that are the same word for word, and the thread that builds them. */
#include "workloads.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "replay/builder.h"

static const char trace[] =
	"{\"timestamp\": 0, \"input_length\": 1536, \"output_length\": 5, \"hash_ids\": [7, 8, 9]}\n"
	"{\"timestamp\": 1000, \"input_length\": 1200, \"output_length\": 6, \"hash_ids\": [7, 8, 1]}\n"
	"{\"timestamp\": 2000, \"input_length\": 700, \"output_length\": 7}\n"
	"{\"timestamp\": 3000, \"input_length\": 700, \"output_length\": 7}\n";

static struct url url;

static struct body_settings settings_of(void)
{
	ck_error_is(url_parse(SPAN("http://127.0.0.1:9"), &url), OK);
	return (struct body_settings){ .url = &url, .model = "a\"b", .is_stream = true, .bytes_per_token = 4.4, .seed = 1 };
}

/* The prompt's text, from valid JSON. */
static struct span text_of(struct json *json, const struct body *body)
{
	const struct span content = body_content(body);
	ck_error_is(json_parse(json, content.at, content.len, 8, NULL), OK);
	const uint32_t messages = json_get(json, JSON_ROOT, "messages");
	const uint32_t node = json_get(json, json_first(json, messages), "content");
	const struct span raw = json_raw(json, node);
	return (struct span){ raw.at + 1, raw.len - 2 };
}

START_TEST(shares_what_ids_say)
{
	struct workload *workload = read_text(trace, NULL);
	const struct body_settings settings = settings_of();
	struct body bodies[4];
	struct json json[4] = { { 0 } };
	struct span texts[4];
	for (size_t i = 0; i < 4; i++) {
		ck_error_is(body_build(&settings, workload, i, &bodies[i]), OK);
		texts[i] = text_of(&json[i], &bodies[i]);
		ck_assert_uint_eq(texts[i].len, bodies[i].text_len);
		const double wanted = 4.4 * workload->rows[i].prompt_tokens;
		ck_assert_double_eq_tol((double)texts[i].len, wanted, 4);
		/* The head's length is the body's. */
		char line[64];
		snprintf(line, sizeof(line), "content-length: %zu\r\n\r\n", bodies[i].body_len);
		ck_assert_ptr_nonnull(memmem(body_head(&bodies[i]).at, body_head(&bodies[i]).len, line, strlen(line)));
	}
	const size_t shared = 2 * (size_t)(512 * 4.4);
	ck_assert(memcmp(texts[0].at, texts[1].at, shared) == 0);
	ck_assert(memcmp(texts[0].at + shared, texts[1].at + shared, 100) != 0);
	/* Without ids nothing is shared, and a second run of the seed asks the same. */
	ck_assert(memcmp(texts[2].at, texts[3].at, 100) != 0);
	struct body again;
	ck_error_is(body_build(&settings, workload, 2, &again), OK);
	ck_assert(again.body_len == bodies[2].body_len && memcmp(again.memory, bodies[2].memory, again.body_len) == 0);
	body_fini(&again);
	for (size_t i = 0; i < 4; i++) {
		body_fini(&bodies[i]);
		json_fini(&json[i]);
	}
	workload_free(&workload);
}
END_TEST

static void take_one(struct builder *builder, struct body *body)
{
	const struct timespec pause = { 0, 1000000 };
	for (int i = 0; i < 20000 && !builder_take(builder, body); i++)
		nanosleep(&pause, NULL);
	ck_assert_ptr_nonnull(body->memory);
}

START_TEST(builds_the_rest_with_what_was_learned)
{
	struct workload *workload = read_text(trace, NULL);
	const struct body_settings settings = settings_of();
	struct builder *builder = NULL;
	struct body body = { 0 };
	ck_error_is(builder_new(&settings, workload, 3, &builder), OK);
	builder_wait_full(builder);
	for (size_t i = 0; i < 3; i++) {
		take_one(builder, &body);
		body_fini(&body);
	}
	ck_assert(!builder_take(builder, &body)); /* the gate is shut */
	builder_open_gate(builder, 2);
	take_one(builder, &body);
	ck_assert_uint_eq(body.text_len, 1400);
	body_fini(&body);
	builder_free(&builder);
	/* What nobody takes is freed with it. */
	ck_error_is(builder_new(&settings, workload, 0, &builder), OK);
	builder_open_gate(builder, 0);
	builder_wait_full(builder);
	builder_free(&builder);
	workload_free(&workload);
}
END_TEST

UNIT_MAIN("replay/body", shares_what_ids_say, builds_the_rest_with_what_was_learned)
