/* Framing of event streams: line ends, fields, limits, and any split of the bytes. */
#include "http/sse.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "unit.h"

/* Every event as "name|data\n" or "comment\n", the raw bytes one after the other, and how it ended. */
struct reading {
	struct bytes events;
	struct bytes raw;
	enum error error;
	size_t pending;
};

static void note_event(struct reading *reading, const struct sse_event *event)
{
	bytes_append_span(&reading->raw, event->raw);
	if (event->is_comment) {
		ck_assert_uint_eq(event->data.len + event->name.len, 0);
		bytes_append_text(&reading->events, "comment\n");
		return;
	}
	bytes_append_span(&reading->events, event->name);
	bytes_append_byte(&reading->events, '|');
	bytes_append_span(&reading->events, event->data);
	bytes_append_byte(&reading->events, '\n');
}

/* Reads in pieces: the first of `cut` bytes, the others of `step`; every piece a copy of its exact size. */
static void read_stream(struct span text, size_t cut, size_t step, size_t limit, struct reading *reading)
{
	struct sse sse;
	sse_init(&sse, limit);
	*reading = (struct reading){ 0 };
	size_t done = 0;
	for (size_t end = cut; reading->error == OK; end = end + step < text.len ? end + step : text.len) {
		const size_t len = end - done;
		char *copy = malloc(len == 0 ? 1 : len);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, text.at + done, len);
		const char *data = copy;
		size_t left = len;
		bool complete = true;
		while (complete && reading->error == OK) {
			struct sse_event event;
			reading->error = sse_feed(&sse, &data, &left, &complete, &event);
			ck_assert(data + left == copy + len);
			if (complete)
				note_event(reading, &event);
		}
		ck_assert(left == 0 || reading->error != OK);
		free(copy);
		done = end;
		if (end == text.len)
			break;
	}
	reading->pending = sse_pending(&sse);
	if (reading->error == OK)
		bytes_append_span(&reading->raw, (struct span){ sse.raw.data, sse.completed ? 0 : sse.raw.len });
	sse_fini(&sse);
}

static void reading_fini(struct reading *reading)
{
	bytes_fini(&reading->events);
	bytes_fini(&reading->raw);
}

#define BOM "\xef\xbb\xbf"

static const struct sse_case {
	const char *text;
	const char *events;
	size_t pending;
} cases[] = {
	{ "", "", 0 },
	{ "data: a\n\n", "|a\n", 0 },
	{ "data: a\n\ndata: b\n\n", "|a\n|b\n", 0 },
	{ "data: a\r\n\r\ndata: b\r\n\r\n", "|a\n|b\n", 0 },
	{ "data: a\r\rdata: b\r\r", "|a\n|b\n", 0 },
	{ "data: [DONE]\r\n\r\n", "|[DONE]\n", 0 },
	/* ---- fields ---- */
	{ "data:a\n\n", "|a\n", 0 },
	{ "data:  a\n\n", "| a\n", 0 },
	{ "data:\ta\n\n", "|\ta\n", 0 },
	{ "data\n\n", "|\n", 0 },
	{ "data:\n\n", "|\n", 0 },
	{ "data: \n\n", "|\n", 0 },
	{ "data: a:b: c\n\n", "|a:b: c\n", 0 },
	{ "event: e\ndata: a\n\n", "e|a\n", 0 },
	{ "data: a\nevent: e\nevent: f\n\n", "f|a\n", 0 },
	{ "event: e\n\n", "e|\n", 0 },
	{ "event\n\n", "|\n", 0 },
	{ "Data: a\n\n", "comment\n", 0 },
	{ " data: a\n\n", "comment\n", 0 },
	{ "data : a\n\n", "comment\n", 0 },
	{ "datax: a\n\n", "comment\n", 0 },
	{ "id: 7\nretry: 10\n\n", "comment\n", 0 },
	{ "id: 7\ndata: a\n\n", "|a\n", 0 },
	{ "data: h\xc3\xa9 \xff\n\n", "|h\xc3\xa9 \xff\n", 0 },
	/* ---- several data lines ---- */
	{ "data: a\ndata: b\n\n", "|a\nb\n", 0 },
	{ "data: a\r\ndata\r\ndata: c\r\n\r\n", "|a\n\nc\n", 0 },
	{ "data\ndata\n\n", "|\n\n", 0 },
	{ "data: a\n: between\ndata: b\n\ndata: c\n\n", "|a\nb\n|c\n", 0 },
	/* ---- comments and blank lines ---- */
	{ ": ping\n\n", "comment\n", 0 },
	{ ":\n\ndata: a\n\n", "comment\n|a\n", 0 },
	{ ": x\ndata: a\n\n", "|a\n", 0 },
	{ "\n", "comment\n", 0 },
	{ "\n\ndata: a\n\n\n", "comment\ncomment\n|a\ncomment\n", 0 },
	{ "\r\ndata: a\r\n\r\n", "comment\n|a\n", 0 },
	/* ---- mixed line ends ---- */
	{ "data: a\r\n\ndata: b\n\r\n", "|a\n|b\n", 0 },
	{ "data: a\rdata: b\ndata: c\r\n\r\n", "|a\nb\nc\n", 0 },
	{ "data: a\n\rdata: b\n\n", "|a\n|b\n", 0 },
	{ "data: a\r\r\ndata: b\n\n", "|a\n|b\n", 0 }, /* the LF is the CR's, and comes with the next event */
	{ "data: a\r\r\n", "|a\n", 0 },
	{ "data: a\r\r\n\n", "|a\ncomment\n", 0 },
	{ "data: a\r\r\rdata: b\r\r", "|a\ncomment\n|b\n", 0 },
	{ "data: a\r\r\r\ndata: b\r\r", "|a\ncomment\n|b\n", 0 },
	/* ---- a byte order mark ---- */
	{ BOM "data: a\n\n", "|a\n", 0 },
	{ BOM "\ndata: a\n\n", "comment\n|a\n", 0 },
	{ BOM "\r\rdata: a\r\r", "comment\ncomment\n|a\n", 0 },
	{ BOM BOM "data: a\n\n", "comment\n", 0 },
	{ "data: a\n\n" BOM "data: b\n\n", "|a\ncomment\n", 0 },
	{ "\n" BOM "data: b\n\n", "comment\ncomment\n", 0 },
	{ ": x\n" BOM "data: b\n\n", "comment\n", 0 },
	{ "\xef\xbb"
	  "data: a\n\n",
	  "comment\n", 0 },
	/* ---- cut streams ---- */
	{ "data: a", "", 7 },
	{ "data: a\n", "", 8 },
	{ "data: a\n\ndata", "|a\n", 4 },
	{ "data: a\n\n: ", "|a\n", 2 },
	{ "data: a\n\n\r", "|a\n", 0 },
	{ "data: a\r\n\r", "", 10 },
	{ "data: a\r\r\nx", "|a\n", 1 },
};

START_TEST(the_table_of_streams)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct reading reading;
		const struct span text = span_of(cases[i].text);
		read_stream(text, text.len, 1, 1000, &reading);
		ck_error_is(reading.error, OK);
		ck_assert_msg(span_is(bytes_span(&reading.events), cases[i].events), "row %zu: %s: %s", i, cases[i].text,
		              bytes_text(&reading.events));
		ck_assert_msg(reading.pending == cases[i].pending, "row %zu: %s: %zu pending", i, cases[i].text,
		              reading.pending);
		ck_assert(span_equal(bytes_span(&reading.raw), text));
		reading_fini(&reading);
	}
}
END_TEST

static void ck_split_invariant(struct span text, size_t limit)
{
	struct reading whole, parts;
	read_stream(text, text.len, 1, limit, &whole);
	for (size_t cut = 0; cut <= text.len; cut++) {
		const bool bytewise = cut == text.len;
		read_stream(text, bytewise ? 0 : cut, bytewise ? 1 : text.len, limit, &parts);
		ck_error_is(parts.error, whole.error);
		ck_assert(span_equal(bytes_span(&parts.events), bytes_span(&whole.events)));
		ck_assert(span_equal(bytes_span(&parts.raw), bytes_span(&whole.raw)));
		ck_assert(parts.error != OK || parts.pending == whole.pending);
		reading_fini(&parts);
	}
	reading_fini(&whole);
}

START_TEST(no_split_changes_a_stream)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		ck_split_invariant(span_of(cases[i].text), 1000);
	ck_split_invariant(SPAN("data: \0a\n\n"), 1000);
}
END_TEST

START_TEST(every_event_comes_out_with_its_own_bytes)
{
	struct sse sse;
	sse_init(&sse, 1000);
	const char *data = ": a\r\n\r\nevent: e\r\ndata: b\r\n\r\n\n";
	size_t len = strlen(data);
	static const char *const wanted[] = { ": a\r\n\r\n", "event: e\r\ndata: b\r\n\r\n", "\n" };
	struct sse_event event;
	bool complete;
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		ck_error_is(sse_feed(&sse, &data, &len, &complete, &event), OK);
		ck_assert(complete);
		ck_span_is(event.raw, wanted[i]);
	}
	ck_error_is(sse_feed(&sse, &data, &len, &complete, &event), OK);
	ck_assert(!complete);
	sse_fini(&sse);
}
END_TEST

START_TEST(an_event_over_the_limit_ends_the_stream)
{
	static const struct {
		const char *text;
		enum error error;
	} rows[] = {
		{ "data: 12\n\n", OK },
		{ "data: a\n\ndata: 12\n\ndata: b\n\n", OK },
		{ "data: 123\n\n", ERROR_LIMIT },
		{ "data: 1\r\n\r\n", ERROR_LIMIT },
		{ "data: a\n\ndata: 12345678\n\n", ERROR_LIMIT },
		{ "data: 12345", ERROR_LIMIT },
		{ ":\n:\n:\n:\n:\n:\n", ERROR_LIMIT },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct reading reading;
		const struct span text = span_of(rows[i].text);
		read_stream(text, text.len, 1, 10, &reading);
		ck_error_is(reading.error, rows[i].error);
		reading_fini(&reading);
		ck_split_invariant(text, 10);
	}
	struct sse sse;
	sse_init(&sse, 5);
	const char *data = "123456";
	size_t len = 6;
	struct sse_event event;
	bool complete;
	ck_error_is(sse_feed(&sse, &data, &len, &complete, &event), ERROR_LIMIT);
	data = "\n\n";
	len = 2;
	ck_error_is(sse_feed(&sse, &data, &len, &complete, &event), ERROR_LIMIT);
	ck_assert(!complete);
	sse_fini(&sse);
}
END_TEST

UNIT_MAIN("http/sse", the_table_of_streams, no_split_changes_a_stream, every_event_comes_out_with_its_own_bytes,
          an_event_over_the_limit_ends_the_stream)
