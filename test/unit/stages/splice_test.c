/* Edits of a JSON body: what is not edited stays byte for byte, whatever the edits are. */
#include "stages/splice.h"

#include <string.h>

#include "unit.h"

struct spliced {
	struct json json;
	struct bytes store;
	struct bytes text;
	struct splice splice;
};

static void begin(struct spliced *spliced, const char *body)
{
	*spliced = (struct spliced){ 0 };
	ck_error_is(json_parse(&spliced->json, body, strlen(body), 16, NULL), OK);
	splice_init(&spliced->splice, span_of(body), &spliced->store);
}

/* The pieces together; the whole must be JSON again. */
static void expect(struct spliced *spliced, const char *wanted)
{
	struct span pieces[HTTP_REQUEST_PIECES_MAX];
	unsigned count = splice_finish(&spliced->splice, pieces);
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_gt(pieces[i].len, 0);
		bytes_append_span(&spliced->text, pieces[i]);
	}
	ck_span_is(bytes_span(&spliced->text), wanted);
	struct json again = { 0 };
	ck_error_is(json_parse(&again, spliced->text.data, spliced->text.len, 16, NULL), OK);
	json_fini(&again);
	json_fini(&spliced->json);
	bytes_fini(&spliced->store);
	bytes_fini(&spliced->text);
}

static uint32_t member(const struct spliced *spliced, const char *name)
{
	return json_get(&spliced->json, JSON_ROOT, name);
}

START_TEST(nothing_is_edited)
{
	struct spliced spliced;
	begin(&spliced, " {\"a\" : 1.0 } ");
	expect(&spliced, " {\"a\" : 1.0 } ");
}
END_TEST

START_TEST(values_are_replaced_in_place)
{
	struct spliced spliced;
	begin(&spliced, "{\"x\":0.70,\"model\" : \"a\\u0062\", \"n\":12345678901234567890}");
	splice_replace(&spliced.splice, &spliced.json, member(&spliced, "model"), SPAN("Qwen/\"3\""), true);
	expect(&spliced, "{\"x\":0.70,\"model\" : \"Qwen/\\\"3\\\"\", \"n\":12345678901234567890}");
}
END_TEST

START_TEST(edits_come_in_any_order)
{
	struct spliced spliced;
	begin(&spliced, "{\"a\":1,\"b\":2,\"c\":{\"d\":3}}");
	splice_member(&spliced.splice, &spliced.json, JSON_ROOT, SPAN("\"e\":4"));
	splice_replace(&spliced.splice, &spliced.json, member(&spliced, "b"), SPAN("true"), false);
	splice_member(&spliced.splice, &spliced.json, member(&spliced, "c"), SPAN("\"f\":5"));
	splice_replace(&spliced.splice, &spliced.json, member(&spliced, "a"), SPAN("null"), false);
	expect(&spliced, "{\"a\":null,\"b\":true,\"c\":{\"d\":3,\"f\":5},\"e\":4}");
}
END_TEST

START_TEST(members_are_added_one_behind_the_other)
{
	struct spliced spliced;
	begin(&spliced, "{ }");
	splice_member(&spliced.splice, &spliced.json, JSON_ROOT, SPAN("\"a\":1"));
	splice_member(&spliced.splice, &spliced.json, JSON_ROOT, SPAN("\"b\":2"));
	expect(&spliced, "{ \"a\":1,\"b\":2}");
	begin(&spliced, "{\"z\":{}}");
	splice_member(&spliced.splice, &spliced.json, member(&spliced, "z"), SPAN("\"a\":1"));
	splice_member(&spliced.splice, &spliced.json, JSON_ROOT, SPAN("\"b\":2"));
	expect(&spliced, "{\"z\":{\"a\":1},\"b\":2}");
}
END_TEST

UNIT_MAIN("stages/splice", nothing_is_edited, values_are_replaced_in_place, edits_come_in_any_order,
          members_are_added_one_behind_the_other)
