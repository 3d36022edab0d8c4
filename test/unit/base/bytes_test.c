/* Spans compare and read numbers; buffers grow, and remember a failure. */
#include "base/bytes.h"

#include <string.h>

#include "base/macros.h"
#include "unit.h"

START_TEST(spans_compare)
{
	ck_assert(span_equal(SPAN("abc"), span_of("abc")));
	ck_assert(!span_equal(SPAN("abc"), SPAN("abd")));
	ck_assert(!span_equal(SPAN("abc"), SPAN("ab")));
	ck_assert(span_equal((struct span){ 0 }, SPAN("")));
	ck_assert(span_equal(span_of(NULL), SPAN("")));
	ck_assert(span_is(SPAN("abc"), "abc"));
	ck_assert(span_equal_nocase(SPAN("Content-Length"), SPAN("cONTENT-lENGTH")));
	ck_assert(!span_equal_nocase(SPAN("a"), SPAN("b")));
	ck_assert(!span_equal_nocase(SPAN("a"), SPAN("aa")));
	/* Differ by the case bit alone, and are not letters. */
	ck_assert(!span_equal_nocase(SPAN("@["), SPAN("`{")));
	ck_assert(!span_equal_nocase(SPAN("\xc1"), SPAN("\xe1")));
	ck_assert(span_starts_with(SPAN("Bearer x"), SPAN("Bearer ")));
	ck_assert(span_starts_with(SPAN("x"), SPAN("")));
	ck_assert(span_starts_with((struct span){ 0 }, (struct span){ 0 }));
	ck_assert(!span_starts_with(SPAN("Bear"), SPAN("Bearer")));
}
END_TEST

START_TEST(spans_trim_and_find)
{
	ck_span_is(span_trim(SPAN(" \t a b\t ")), "a b");
	ck_span_is(span_trim(SPAN(" \t ")), "");
	ck_span_is(span_trim(SPAN("\na\r")), "\na\r");
	ck_span_is(span_trim((struct span){ 0 }), "");
	ck_assert_uint_eq(span_find(SPAN("a:b:c"), ':'), 1);
	ck_assert_uint_eq(span_find(SPAN("abc"), ':'), 3);
	ck_assert_uint_eq(span_find((struct span){ 0 }, ':'), 0);
}
END_TEST

START_TEST(spans_read_as_numbers)
{
	static const struct {
		const char *text;
		uint64_t max;
		enum error error;
		uint64_t value;
	} rows[] = {
		{ "0", UINT64_MAX, OK, 0 },
		{ "007", UINT64_MAX, OK, 7 },
		{ "18446744073709551615", UINT64_MAX, OK, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, ERROR_RANGE, 0 },
		{ "99999999999999999999999", UINT64_MAX, ERROR_RANGE, 0 },
		{ "10", 10, OK, 10 },
		{ "11", 10, ERROR_RANGE, 0 },
		{ "", 10, ERROR_SYNTAX, 0 },
		{ "+7", 10, ERROR_SYNTAX, 0 },
		{ "-1", 10, ERROR_SYNTAX, 0 },
		{ "7 ", 10, ERROR_SYNTAX, 0 },
		{ " 7", 10, ERROR_SYNTAX, 0 },
		{ "0x7", 10, ERROR_SYNTAX, 0 },
		{ "99999999999999999999x", 10, ERROR_SYNTAX, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t value = 4711;
		ck_error_is(span_to_u64(span_of(rows[i].text), rows[i].max, &value), rows[i].error);
		ck_assert_uint_eq(value, rows[i].error == OK ? rows[i].value : 4711);
	}
}
END_TEST

START_TEST(buffers_grow)
{
	struct bytes bytes = { 0 };
	ck_assert_str_eq(bytes_text(&bytes), "");
	ck_assert_uint_eq(bytes_span(&bytes).len, 0);
	for (int i = 0; i < 10000; i++)
		bytes_append_byte(&bytes, (char)('a' + i % 26));
	ck_assert(bytes_ok(&bytes));
	ck_assert_uint_eq(bytes.len, 10000);
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(bytes.data[i], 'a' + i % 26);
	ck_assert_uint_eq(strlen(bytes_text(&bytes)), 10000);
	ck_assert_uint_eq(bytes.len, 10000);
	bytes_fini(&bytes);
	ck_assert_ptr_null(bytes.data);
	bytes_append_text(&bytes, "again");
	ck_assert_str_eq(bytes_text(&bytes), "again");
	bytes_fini(&bytes);
}
END_TEST

START_TEST(buffers_append_every_kind)
{
	struct bytes bytes;
	bytes_init(&bytes);
	bytes_append(&bytes, NULL, 0);
	bytes_append_span(&bytes, (struct span){ 0 });
	bytes_append_text(&bytes, NULL);
	ck_assert_ptr_null(bytes.data);
	bytes_append(&bytes, "a\0b", 3);
	bytes_append_span(&bytes, SPAN("c"));
	bytes_printf(&bytes, "%d-%s", 42, "x");
	ck_assert_uint_eq(bytes.len, 8);
	ck_assert_int_eq(memcmp(bytes.data, "a\0bc42-x", 8), 0);
	bytes_consume(&bytes, 0);
	bytes_consume(&bytes, 3);
	ck_assert_str_eq(bytes_text(&bytes), "c42-x");
	bytes_consume(&bytes, 1000);
	ck_assert_uint_eq(bytes.len, 0);
	bytes_fini(&bytes);
}
END_TEST

START_TEST(formatting_grows_past_the_room)
{
	struct bytes bytes;
	bytes_init(&bytes);
	char long_text[1000];
	memset(long_text, 'z', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	/* Every length around the edge of the first 64 bytes, and one far over it. */
	for (int len = 0; len < 999; len++) {
		bytes_clear(&bytes);
		bytes_printf(&bytes, "%.*s|", len, long_text);
		ck_assert_uint_eq(bytes.len, (size_t)len + 1);
		ck_assert_int_eq(bytes.data[len], '|');
		if (len == 70)
			bytes_fini(&bytes);
	}
	bytes_fini(&bytes);
}
END_TEST

START_TEST(a_failure_sticks_until_cleared)
{
	struct bytes bytes;
	bytes_init(&bytes);
	bytes_append_text(&bytes, "kept");
	ck_assert(!bytes_reserve(&bytes, SIZE_MAX));
	ck_assert(!bytes_ok(&bytes));
	bytes_append_text(&bytes, "ignored");
	bytes_printf(&bytes, "ignored");
	ck_assert(!bytes_reserve(&bytes, 1));
	ck_assert_uint_eq(bytes.len, 4);
	ck_assert_str_eq(bytes_text(&bytes), "");
	bytes_clear(&bytes);
	ck_assert(bytes_ok(&bytes));
	bytes_append_text(&bytes, "new");
	ck_assert_str_eq(bytes_text(&bytes), "new");
	ck_assert(!bytes_reserve(&bytes, SIZE_MAX / 2));
	bytes_fini(&bytes);
	ck_assert(bytes_ok(&bytes));
}
END_TEST

UNIT_MAIN("base/bytes", spans_compare, spans_trim_and_find, spans_read_as_numbers, buffers_grow,
          buffers_append_every_kind, formatting_grows_past_the_room, a_failure_sticks_until_cleared)
