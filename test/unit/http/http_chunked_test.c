/* Chunked bodies: the payload, what is refused, the limits, and any split. */
#include "http/http_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "unit.h"

#define DATA "7\r\nabcdefg\r\n"
#define END "0\r\n\r\n"

static const struct chunked_case {
	struct span text;
	const char *payload; /* NULL = refused */
} cases[] = {
	{ SPAN(END), "" },
	{ SPAN(DATA END), "abcdefg" },
	{ SPAN("1\r\na\r\n02\r\nbc\r\n00\r\n\r\n"), "abc" },
	{ SPAN("00000000000000A\r\n0123456789\r\n" END), "0123456789" },
	{ SPAN("a\r\n0123456789\r\n" END), "0123456789" },
	{ SPAN("2\r\n\r\n\r\n" END), "\r\n" },
	{ SPAN("7;a=b\r\nabcdefg\r\n0;c\r\n\r\n"), "abcdefg" },
	{ SPAN("7;a=\"b;c\" ; d\t\r\nabcdefg\r\n" END), "abcdefg" },
	{ SPAN("7;\r\nabcdefg\r\n" END), "abcdefg" },
	{ SPAN(DATA "0\r\nX-A: b\r\nX-B:\r\n\r\n"), "abcdefg" },
	/* ---- sizes ---- */
	{ SPAN("0x7\r\nabcdefg\r\n" END), NULL },
	{ SPAN("+7\r\nabcdefg\r\n" END), NULL },
	{ SPAN("-7\r\nabcdefg\r\n" END), NULL },
	{ SPAN(" 7\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7 \r\nabcdefg\r\n" END), NULL },
	{ SPAN("7\t\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7 ;a\r\nabcdefg\r\n" END), NULL },
	{ SPAN("g\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7_\r\nabcdefg\r\n" END), NULL },
	{ SPAN("\r\nabcdefg\r\n" END), NULL },
	{ SPAN(";a\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7,7\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7\0\r\nabcdefg\r\n" END), NULL },
	{ SPAN("1000000000000007\r\nabcdefg\r\n" END), NULL },
	{ SPAN("10000000000000007\r\nabcdefg\r\n" END), NULL }, /* 2^64 + 7 */
	{ SPAN("0000000000000007\r\nabcdefg\r\n" END), NULL },
	/* ---- line ends ---- */
	{ SPAN("7\nabcdefg\n0\n\n"), NULL },
	{ SPAN("7\nabcdefg\r\n" END), NULL },
	{ SPAN("7\rabcdefg\r\n" END), NULL },
	{ SPAN("7\r\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7\r\nabcdefg\n" END), NULL },
	{ SPAN("7\r\nabcdefg\r" END), NULL },
	{ SPAN("7\r\nabcdefg" END), NULL },
	{ SPAN("7\r\nabcdefgh\r\n" END), NULL },
	{ SPAN("7\r\nabcdef\r\n" END), NULL },
	{ SPAN("7;a\nabcdefg\r\n" END), NULL },
	{ SPAN("7;a\rb\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7;a\0b\r\nabcdefg\r\n" END), NULL },
	{ SPAN("7;\x7f\r\nabcdefg\r\n" END), NULL },
	{ SPAN(DATA "0\n\r\n"), NULL },
	{ SPAN(DATA "0\r\n\n"), NULL },
	{ SPAN(DATA "0\r\n\r\r\n"), NULL },
	{ SPAN(DATA "\r\n" END), NULL },
	/* ---- trailers ---- */
	{ SPAN(DATA "0\r\nX: a\n\r\n"), NULL },
	{ SPAN(DATA "0\r\nX: a\rb\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\nX: a\0\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\nX : a\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\n: a\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\n X: a\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\nX: a\r\n b\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\nX\r\n\r\n"), NULL },
	{ SPAN(DATA "0\r\nGET / HTTP/1.1\r\n\r\n"), NULL },
};

/* Decodes in pieces: the first of `cut` bytes, the others of `step`. Every piece is a copy of its exact size. */
static enum http_result decode(struct span text, size_t cut, size_t step, struct bytes *payload, size_t *used)
{
	struct http_chunked chunked;
	http_chunked_init(&chunked);
	enum http_result result = HTTP_MORE;
	*used = 0;
	for (size_t end = cut; result == HTTP_MORE; end = end + step < text.len ? end + step : text.len) {
		const size_t len = end - *used;
		char *copy = malloc(len == 0 ? 1 : len);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, text.at + *used, len);
		size_t done = 0;
		do {
			size_t taken;
			struct span piece;
			struct http_fault fault = { 0 };
			result = http_chunked_feed(&chunked, copy + done, len - done, &taken, &piece, &fault);
			ck_assert_uint_le(taken, len - done);
			ck_assert(piece.len == 0 || (piece.at >= copy + done && piece.at + piece.len <= copy + done + taken));
			ck_assert(result != HTTP_BAD || (fault.status == 400 && fault.text != NULL));
			bytes_append_span(payload, piece);
			done += taken;
		} while (result == HTTP_MORE && done < len);
		free(copy);
		*used += done;
		if (end == text.len)
			break;
	}
	return result;
}

START_TEST(the_table_of_bodies)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bytes payload = { 0 };
		size_t used;
		const enum http_result result = decode(cases[i].text, cases[i].text.len, 1, &payload, &used);
		ck_assert_msg(result == (cases[i].payload != NULL ? HTTP_DONE : HTTP_BAD), "row %zu: %.*s: %d", i,
		              (int)cases[i].text.len, cases[i].text.at, result);
		if (cases[i].payload != NULL) {
			ck_assert_str_eq(bytes_text(&payload), cases[i].payload);
			ck_assert_uint_eq(used, cases[i].text.len);
		}
		bytes_fini(&payload);
	}
}
END_TEST

START_TEST(no_split_changes_a_body)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bytes whole = { 0 }, parts = { 0 };
		size_t whole_used, parts_used;
		const enum http_result wanted = decode(cases[i].text, cases[i].text.len, 1, &whole, &whole_used);
		for (size_t cut = 0; cut <= cases[i].text.len; cut++) {
			/* Two pieces; and byte by byte at the end. */
			const bool bytewise = cut == cases[i].text.len;
			bytes_clear(&parts);
			const enum http_result result =
				decode(cases[i].text, bytewise ? 0 : cut, bytewise ? 1 : cases[i].text.len, &parts, &parts_used);
			ck_assert_msg(result == wanted, "row %zu cut at %zu", i, cut);
			ck_assert_uint_eq(parts_used, whole_used);
			ck_assert(span_equal(bytes_span(&parts), bytes_span(&whole)));
		}
		bytes_fini(&whole);
		bytes_fini(&parts);
	}
}
END_TEST

START_TEST(every_prefix_wants_more)
{
	static const char text[] = "7;a=b\r\nabcdefg\r\n3\r\nxyz\r\n0\r\nX: y\r\n\r\n";
	struct bytes payload = { 0 };
	size_t used;
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		bytes_clear(&payload);
		ck_assert_int_eq(decode((struct span){ text, len }, len, 1, &payload, &used), HTTP_MORE);
		ck_assert_uint_eq(used, len);
	}
	bytes_fini(&payload);
}
END_TEST

START_TEST(bytes_after_the_end_are_left_alone)
{
	struct bytes payload = { 0 };
	size_t used;
	static const struct span text = SPAN(DATA END "GET / HTTP/1.1\r\n");
	ck_assert_int_eq(decode(text, text.len, 1, &payload, &used), HTTP_DONE);
	ck_assert_uint_eq(used, sizeof(DATA END) - 1);
	bytes_fini(&payload);
}
END_TEST

START_TEST(done_and_bad_stay_what_they_are)
{
	struct http_chunked chunked;
	struct http_fault fault;
	struct span piece;
	size_t used;
	http_chunked_init(&chunked);
	ck_assert_int_eq(http_chunked_feed(&chunked, END, 5, &used, &piece, &fault), HTTP_DONE);
	ck_assert_int_eq(http_chunked_feed(&chunked, "x", 1, &used, &piece, &fault), HTTP_DONE);
	ck_assert_uint_eq(used, 0);
	ck_assert_int_eq(http_chunked_feed(&chunked, NULL, 0, &used, &piece, &fault), HTTP_DONE);
	http_chunked_init(&chunked);
	ck_assert_int_eq(http_chunked_feed(&chunked, "x", 1, &used, &piece, &fault), HTTP_BAD);
	ck_assert_int_eq(http_chunked_feed(&chunked, "7\r\n", 3, &used, &piece, &fault), HTTP_BAD);
	ck_assert_uint_eq(used, 0);
}
END_TEST

/* "7;xxx\r\nabcdefg\r\n0\r\n\r\n" with a size line of `line` bytes. */
static enum http_result decode_extension(size_t line)
{
	struct bytes text = { 0 }, payload = { 0 };
	bytes_append_text(&text, "7;");
	while (text.len < line)
		bytes_append_byte(&text, 'x');
	bytes_append_text(&text, "\r\nabcdefg\r\n" END);
	size_t used;
	const enum http_result result = decode(bytes_span(&text), text.len, 1, &payload, &used);
	bytes_fini(&text);
	bytes_fini(&payload);
	return result;
}

/* Trailers of `size` bytes, all line ends counted. */
static enum http_result decode_trailers(size_t size)
{
	struct bytes text = { 0 }, payload = { 0 };
	bytes_append_text(&text, "0\r\n");
	while (text.len < 3 + size - 2 - 2 - 100)
		bytes_append_text(&text, "X: y\r\n");
	bytes_append_text(&text, "Z:");
	while (text.len < 3 + size - 4)
		bytes_append_byte(&text, 'z');
	bytes_append_text(&text, "\r\n\r\n");
	ck_assert_uint_eq(text.len, 3 + size);
	size_t used;
	const enum http_result result = decode(bytes_span(&text), text.len, 1, &payload, &used);
	bytes_fini(&text);
	bytes_fini(&payload);
	return result;
}

START_TEST(extensions_and_trailers_have_limits)
{
	ck_assert_int_eq(decode_extension(256), HTTP_DONE);
	ck_assert_int_eq(decode_extension(257), HTTP_BAD);
	ck_assert_int_eq(decode_extension(20000), HTTP_BAD);
	ck_assert_int_eq(decode_trailers(8192), HTTP_DONE);
	ck_assert_int_eq(decode_trailers(8193), HTTP_BAD);
	ck_assert_int_eq(decode_trailers(100000), HTTP_BAD);
}
END_TEST

START_TEST(the_largest_size_is_taken)
{
	struct http_chunked chunked;
	struct http_fault fault;
	struct span piece;
	size_t used;
	http_chunked_init(&chunked);
	static const char text[] = "fffffffffffffff\r\nab";
	ck_assert_int_eq(http_chunked_feed(&chunked, text, sizeof(text) - 1, &used, &piece, &fault), HTTP_MORE);
	ck_span_is(piece, "ab");
	ck_assert_uint_eq(chunked.chunk_left, UINT64_C(0xfffffffffffffff) - 2);
}
END_TEST

UNIT_MAIN("http/http_chunked", the_table_of_bodies, no_split_changes_a_body, every_prefix_wants_more,
          bytes_after_the_end_are_left_alone, done_and_bad_stay_what_they_are, extensions_and_trailers_have_limits,
          the_largest_size_is_taken)
