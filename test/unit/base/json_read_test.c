/* Looking up members, decoding strings, reading numbers. */
#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/macros.h"
#include "unit.h"

static void parse(struct json *json, const char *text)
{
	ck_error_is(json_parse(json, text, strlen(text), 16, NULL), OK);
}

START_TEST(members_are_found_by_key)
{
	struct json json = { 0 };
	parse(&json, "{\"a\":1,\"bb\":{\"a\":2},\"\":3,\"a\":4,\"\\u0062\\n\\ud83d\\ude00\":5,\"c\":[6]}");
	ck_span_is(json_raw(&json, json_get(&json, JSON_ROOT, "a")), "1");
	const uint32_t inner = json_get(&json, JSON_ROOT, "bb");
	ck_assert_int_eq(json_type(&json, inner), JSON_OBJECT);
	ck_span_is(json_raw(&json, json_get(&json, inner, "a")), "2");
	ck_span_is(json_raw(&json, json_get(&json, JSON_ROOT, "")), "3");
	ck_span_is(json_raw(&json, json_get(&json, JSON_ROOT, "b\n\xf0\x9f\x98\x80")), "5");
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "b"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "b\n"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "b\n\xf0\x9f\x98\x80z"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "A"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, json_get(&json, JSON_ROOT, "c"), "a"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, json_get(&json, JSON_ROOT, "a"), "a"), JSON_NONE);
	parse(&json, "{}");
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "a"), JSON_NONE);
	json_fini(&json);
}
END_TEST

START_TEST(scalars_and_empty_containers_have_no_children)
{
	static const char *const texts[] = { "null", "true", "false", "1", "\"a\"", "[]", "{}" };
	static const enum json_type types[] = { JSON_NULL,   JSON_TRUE,  JSON_FALSE, JSON_NUMBER,
		                                    JSON_STRING, JSON_ARRAY, JSON_OBJECT };
	struct json json = { 0 };
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		parse(&json, texts[i]);
		ck_assert_int_eq(json_type(&json, JSON_ROOT), types[i]);
		ck_assert_uint_eq(json_first(&json, JSON_ROOT), JSON_NONE);
	}
	json_fini(&json);
}
END_TEST

START_TEST(strings_decode)
{
	static const struct {
		const char *text;
		struct span wanted;
	} rows[] = {
		{ "\"\"", SPAN("") },
		{ "\"plain\"", SPAN("plain") },
		{ "\"h\xc3\xa9\"", SPAN("h\xc3\xa9") },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", SPAN("\"\\/\b\f\n\r\t") },
		{ "\"a\\u0041\\u007Fb\"", SPAN("aA\x7f"
		                               "b") },
		{ "\"\\u0000x\"", SPAN("\0x") },
		{ "\"\\u0080\\u07ff\\u0800\\uFFFF\"", SPAN("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf") },
		{ "\"\\uD800\\uDC00\\udbff\\udfff\"", SPAN("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf") },
		{ "\"\\ud83d\"", SPAN("\xef\xbf\xbd") },
		{ "\"\\ude00\"", SPAN("\xef\xbf\xbd") },
		{ "\"\\ud83dx\"", SPAN("\xef\xbf\xbdx") },
		{ "\"\\ud83d\\n\"", SPAN("\xef\xbf\xbd\n") },
		{ "\"\\ud83d\\u0041\"", SPAN("\xef\xbf\xbd"
		                             "A") },
		{ "\"\\ud83d\\ud83d\\ude00\"", SPAN("\xef\xbf\xbd\xf0\x9f\x98\x80") },
		{ "\"\\ude00\\ud83d\"", SPAN("\xef\xbf\xbd\xef\xbf\xbd") },
	};
	struct json json = { 0 };
	struct arena arena;
	arena_init(&arena, 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		parse(&json, rows[i].text);
		struct span decoded;
		ck_error_is(json_string(&json, JSON_ROOT, &arena, &decoded), OK);
		ck_assert_msg(span_equal(decoded, rows[i].wanted), "row %zu: %s", i, rows[i].text);
		const bool is_borrowed = decoded.at == rows[i].text + 1;
		ck_assert_msg(is_borrowed || decoded.at[decoded.len] == '\0', "row %zu", i);
		ck_assert_uint_eq(is_borrowed, strchr(rows[i].text, '\\') == NULL);
	}
	arena_fini(&arena);
	json_fini(&json);
}
END_TEST

START_TEST(strings_fail_by_type_or_memory)
{
	struct json json = { 0 };
	struct arena arena;
	arena_init(&arena, 16);
	struct span decoded = { 0 };
	parse(&json, "5");
	ck_error_is(json_string(&json, JSON_ROOT, &arena, &decoded), ERROR_SYNTAX);
	parse(&json, "\"\\n34567890123456\"");
	ck_error_is(json_string(&json, JSON_ROOT, &arena, &decoded), ERROR_MEMORY);
	parse(&json, "\"not escaped, so the arena is not asked\"");
	ck_error_is(json_string(&json, JSON_ROOT, &arena, &decoded), OK);
	arena_fini(&arena);
	json_fini(&json);
}
END_TEST

START_TEST(doubles_read)
{
	static const struct {
		const char *text;
		enum error error;
		double value;
	} rows[] = {
		{ "0", OK, 0 },
		{ "-0.0", OK, 0 },
		{ "0.7", OK, 0.7 },
		{ "-12.5e-1", OK, -1.25 },
		{ "1e308", OK, 1e308 },
		{ "1e-400", OK, 0 },
		{ "5e-324", OK, 0x1p-1074 },
		{ "9007199254740993", OK, 9007199254740992.0 },
		{ "1e309", ERROR_RANGE, 0 },
		{ "-1e999999999999", ERROR_RANGE, 0 },
		{ "\"1\"", ERROR_SYNTAX, 0 },
		{ "null", ERROR_SYNTAX, 0 },
		{ "[1]", ERROR_SYNTAX, 0 },
	};
	struct json json = { 0 };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		parse(&json, rows[i].text);
		double value = 0;
		ck_error_is(json_double(&json, JSON_ROOT, &value), rows[i].error);
		ck_assert_msg(value == rows[i].value, "row %zu: %s is %g", i, rows[i].text, value);
	}
	/* Longer than the buffer on the stack, and ended by the text's end alone. */
	char text[400];
	memset(text, '0', sizeof(text));
	text[1] = '.';
	text[399] = '7';
	ck_error_is(json_parse(&json, text, sizeof(text), 1, NULL), OK);
	double value = 1;
	ck_error_is(json_double(&json, JSON_ROOT, &value), OK);
	ck_assert(value == 0);
	text[2] = '5';
	ck_error_is(json_double(&json, JSON_ROOT, &value), OK);
	ck_assert(value == 0.5);
	json_fini(&json);
}
END_TEST

START_TEST(integers_read)
{
	static const struct {
		const char *text;
		enum error error;
		int64_t value;
	} rows[] = {
		{ "0", OK, 0 },
		{ "-0", OK, 0 },
		{ "0.000", OK, 0 },
		{ "0e99999999999999999999", OK, 0 },
		{ "0e-99999999999999999999", OK, 0 },
		{ "7", OK, 7 },
		{ "-7", OK, -7 },
		{ "5.0", OK, 5 },
		{ "5e0", OK, 5 },
		{ "5E+3", OK, 5000 },
		{ "1.5e1", OK, 15 },
		{ "0.05e2", OK, 5 },
		{ "100e-2", OK, 1 },
		{ "120.00e-1", OK, 12 },
		{ "1000000000000000000000e-21", OK, 1 },
		{ "0.000000000000000000000001e24", OK, 1 },
		{ "9007199254740993", OK, 9007199254740993 },
		{ "9223372036854775807", OK, INT64_MAX },
		{ "9223372036854775807.0", OK, INT64_MAX },
		{ "-9223372036854775808", OK, INT64_MIN },
		{ "9223372036854775808", ERROR_RANGE, 0 },
		{ "-9223372036854775809", ERROR_RANGE, 0 },
		{ "18446744073709551616", ERROR_RANGE, 0 },
		{ "1e19", ERROR_RANGE, 0 },
		{ "1e999999999999999999999999", ERROR_RANGE, 0 },
		{ "123456789012345678901234567890", ERROR_RANGE, 0 },
		{ "1.5", ERROR_SYNTAX, 0 },
		{ "1e-1", ERROR_SYNTAX, 0 },
		{ "1e-99999999999999999999", ERROR_SYNTAX, 0 },
		{ "10.05e1", ERROR_SYNTAX, 0 },
		{ "\"5\"", ERROR_SYNTAX, 0 },
		{ "true", ERROR_SYNTAX, 0 },
	};
	struct json json = { 0 };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		parse(&json, rows[i].text);
		int64_t value = 4711;
		const enum error error = json_int64(&json, JSON_ROOT, &value);
		ck_assert_msg(error == rows[i].error, "row %zu: %s: %s", i, rows[i].text, error_text(error));
		ck_assert_int_eq(value, error == OK ? rows[i].value : 4711);
	}
	json_fini(&json);
}
END_TEST

UNIT_MAIN("base/json_read", members_are_found_by_key, scalars_and_empty_containers_have_no_children, strings_decode,
          strings_fail_by_type_or_memory, doubles_read, integers_read)
