/* What is written is JSON, and reads back as what it was. */
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

START_TEST(strings_are_escaped)
{
	static const struct {
		struct span text;
		const char *wanted;
	} rows[] = {
		{ SPAN(""), "\"\"" },
		{ { 0 }, "\"\"" },
		{ SPAN("plain text, long enough for a whole block"), "\"plain text, long enough for a whole block\"" },
		{ SPAN("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
		{ SPAN("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"" },
		{ SPAN("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"" },
		{ SPAN("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		/* One replacement for each longest prefix of a character. */
		{ SPAN("\xff"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SPAN("\xe2\x82"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\xe2\x82(x"), "\"\xef\xbf\xbd(x\"" },
		{ SPAN("\xf0\x9f\x98"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\xf0\x9f\x98\xf0\x9f\x98\x80"), "\"\xef\xbf\xbd\xf0\x9f\x98\x80\"" },
		{ SPAN("\xf4\x8f\xbf"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SPAN("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SPAN("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SPAN("\xc3"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\xc3\n"), "\"\xef\xbf\xbd\\n\"" },
	};
	struct bytes out = { 0 };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bytes_clear(&out);
		json_write_string(&out, rows[i].text);
		ck_assert_msg(span_is(bytes_span(&out), rows[i].wanted), "row %zu: %s", i, bytes_text(&out));
	}
	bytes_fini(&out);
}
END_TEST

/* Random text of every kind of character; returns its bytes. */
static size_t random_text(struct random *random, char *text, size_t size)
{
	static const char *const pieces[] = {
		"a", " ", "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "0123456789abcdef"
	};
	size_t len = 0;
	const uint64_t count = random_below(random, 40);
	for (uint64_t i = 0; i < count; i++) {
		const struct span piece = span_of(pieces[random_below(random, COUNT_OF(pieces))]);
		if (len + piece.len > size)
			break;
		memcpy(text + len, piece.at, piece.len);
		len += piece.len;
	}
	return len;
}

START_TEST(written_strings_read_back)
{
	struct random random;
	random_seed(&random, 7);
	struct bytes out = { 0 };
	struct json json = { 0 };
	struct arena arena;
	arena_init(&arena, 0);
	char text[1024];
	for (int round = 0; round < 3000; round++) {
		const size_t len = random_text(&random, text, sizeof(text));
		bytes_clear(&out);
		json_write_string(&out, (struct span){ text, len });
		ck_assert(bytes_ok(&out));
		ck_error_is(json_parse(&json, out.data, out.len, 1, NULL), OK);
		struct span back;
		ck_error_is(json_string(&json, JSON_ROOT, &arena, &back), OK);
		ck_assert(span_equal(back, (struct span){ text, len }));
	}
	arena_fini(&arena);
	json_fini(&json);
	bytes_fini(&out);
}
END_TEST

START_TEST(any_bytes_become_a_valid_string)
{
	struct random random;
	random_seed(&random, 8);
	struct bytes out = { 0 };
	struct json json = { 0 };
	char text[64];
	for (int round = 0; round < 20000; round++) {
		const size_t len = random_below(&random, sizeof(text) + 1);
		for (size_t i = 0; i < len; i++)
			text[i] = (char)random_u64(&random);
		bytes_clear(&out);
		json_write_string(&out, (struct span){ text, len });
		if (json_parse(&json, out.data, out.len, 1, NULL) != OK)
			ck_abort_msg("round %d", round);
	}
	json_fini(&json);
	bytes_fini(&out);
}
END_TEST

START_TEST(doubles_are_short)
{
	static const struct {
		double value;
		const char *wanted;
	} rows[] = {
		{ 0, "0" },
		{ -0.0, "-0" },
		{ 1, "1" },
		{ -1.5, "-1.5" },
		{ 0.1, "0.1" },
		{ 0.7, "0.7" },
		{ 1e20, "1e20" },
		{ 1e-7, "1e-7" },
		{ 123456789012, "123456789012" },
		{ 9007199254740991, "9007199254740991" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ DBL_MAX, "1.7976931348623157e308" },
		{ DBL_MIN, "2.2250738585072014e-308" },
		{ 0x1p-1074, "5e-324" },
		{ INFINITY, "null" },
		{ -INFINITY, "null" },
		{ NAN, "null" },
	};
	struct bytes out = { 0 };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bytes_clear(&out);
		json_write_double(&out, rows[i].value);
		ck_assert_str_eq(bytes_text(&out), rows[i].wanted);
	}
	bytes_fini(&out);
}
END_TEST

START_TEST(written_doubles_read_back)
{
	struct random random;
	random_seed(&random, 9);
	struct bytes out = { 0 };
	struct json json = { 0 };
	for (int round = 0; round < 20000; round++) {
		const uint64_t bits = random_u64(&random);
		double value;
		memcpy(&value, &bits, sizeof(value));
		if (!isfinite(value))
			continue;
		bytes_clear(&out);
		json_write_double(&out, value);
		ck_error_is(json_parse(&json, out.data, out.len, 1, NULL), OK);
		double back = 0;
		ck_error_is(json_double(&json, JSON_ROOT, &back), OK);
		ck_assert(memcmp(&back, &value, sizeof(back)) == 0);
	}
	json_fini(&json);
	bytes_fini(&out);
}
END_TEST

UNIT_MAIN("base/json_write", strings_are_escaped, written_strings_read_back, any_bytes_become_a_valid_string,
          doubles_are_short, written_doubles_read_back)
