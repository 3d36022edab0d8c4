/* Text that goes out: stop strings and characters, however tokens cut them. */
#include "engine/generation.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/random.h"

struct writer {
	struct generation *generation;
	struct bytes shown;
	bool stopped;
};

static void writer_init(struct writer *writer, const char *const *stops, size_t count)
{
	struct bytes body = { 0 };
	*writer = (struct writer){ 0 };
	ck_error_is(generation_new(&body, &writer->generation), OK);
	for (size_t i = 0; i < count; i++)
		writer->generation->stops[writer->generation->stop_count++] = span_of(stops[i]);
}

static bool is_whole_utf8(struct span text)
{
	struct bytes json = { 0 };
	json_write_string(&json, text);
	const bool is_whole = !memmem(json.data, json.len, "\xef\xbf\xbd", 3);
	bytes_fini(&json);
	return is_whole;
}

/* What a client sees after this token. */
static void take(struct writer *writer)
{
	struct bytes *ready = &writer->generation->ready.text;
	bytes_append_span(&writer->shown, bytes_span(ready));
	bytes_clear(ready);
}

static void add(struct writer *writer, const char *text, size_t len)
{
	if (!writer->stopped)
		writer->stopped = generation_add_text(writer->generation, (struct span){ text, len });
	take(writer);
}

static void writer_end(struct writer *writer, const char *wanted, bool stopped, const char *what)
{
	generation_flush_text(writer->generation);
	take(writer);
	ck_assert_msg(span_is(bytes_span(&writer->shown), wanted), "%s: shown \"%s\", wanted \"%s\"", what,
	              bytes_text(&writer->shown), wanted);
	ck_assert_msg(writer->stopped == stopped, "%s", what);
	bytes_fini(&writer->shown);
	generation_free(NULL, &writer->generation);
	ck_assert_ptr_null(writer->generation);
}

/* In two tokens and in three, cut everywhere. */
static void check_splits(const char *text, const char *const *stops, size_t stop_count, const char *wanted,
                         bool stopped)
{
	const size_t len = strlen(text);
	for (size_t first = 0; first <= len; first++) {
		for (size_t second = first; second <= len; second++) {
			struct writer writer;
			writer_init(&writer, stops, stop_count);
			add(&writer, text, first);
			add(&writer, text + first, second - first);
			add(&writer, text + second, len - second);
			writer_end(&writer, wanted, stopped, text);
		}
	}
}

START_TEST(stop_strings_at_every_split)
{
	static const struct {
		const char *text;
		const char *stops[3];
		const char *wanted;
		bool stopped;
	} rows[] = {
		{ "hello STOP world", { "STOP" }, "hello ", true },
		{ "hello STO world", { "STOP" }, "hello STO world", false },
		{ "SSTSTOSTOP", { "STOP" }, "SSTSTO", true },
		{ "STOP", { "STOP" }, "", true },
		{ "xSTOPSTOP", { "STOP" }, "x", true },
		{ "a\n\nb", { "\n\n" }, "a", true },
		{ "a\nb\n", { "\n\n" }, "a\nb\n", false },
		{ "one two three", { "two", "three" }, "one ", true },
		{ "one three two", { "two", "three" }, "one ", true },
		{ "aaab", { "aab" }, "a", true },
		{ "aaaaaa", { "aaab" }, "aaaaaa", false },
		{ "x END. y", { "END?", "END!", "END." }, "x ", true },
		{ "caf\xc3\xa9 \xe2\x82\xac!", { "\xe2\x82\xac" }, "caf\xc3\xa9 ", true },
		{ "caf\xc3\xa9 \xe2\x82\xad!", { "\xe2\x82\xac" }, "caf\xc3\xa9 \xe2\x82\xad!", false },
		{ "no stops at all", { NULL }, "no stops at all", false },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t count = 0;
		while (count < 3 && rows[i].stops[count])
			count++;
		check_splits(rows[i].text, rows[i].stops, count, rows[i].wanted, rows[i].stopped);
	}
}
END_TEST

START_TEST(nothing_of_a_stop_string_is_shown_early)
{
	static const char *const stops[] = { "</answer>" };
	static const char text[] = "yes</answer>no";
	struct writer writer;
	writer_init(&writer, stops, 1);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		add(&writer, text + i, 1);
		ck_assert_uint_le(writer.shown.len, 3);
	}
	writer_end(&writer, "yes", true, text);
	/* And what only looked like one comes as soon as that is clear. */
	writer_init(&writer, stops, 1);
	add(&writer, "a</ans", 6);
	ck_span_is(bytes_span(&writer.shown), "a");
	add(&writer, "W", 1);
	ck_span_is(bytes_span(&writer.shown), "a</ansW");
	writer_end(&writer, "a</ansW", false, "a</ansW");
}
END_TEST

START_TEST(characters_come_whole)
{
	static const char text[] = "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\xf0\x9f\x98\x81 \xe4\xb8\xad\xe6\x96\x87 end";
	for (size_t step = 1; step < 6; step++) {
		struct writer writer;
		writer_init(&writer, NULL, 0);
		for (size_t i = 0; i < sizeof(text) - 1; i += step) {
			add(&writer, text + i, min_ll(step, (long long)(sizeof(text) - 1 - i)));
			ck_assert_msg(is_whole_utf8(bytes_span(&writer.shown)), "after byte %zu", i);
			/* At most an unfinished character is held. */
			ck_assert_uint_ge(writer.shown.len + 3, (size_t)min_ll((long long)(i + step), sizeof(text) - 1));
		}
		writer_end(&writer, text, false, text);
	}
}
END_TEST

START_TEST(bytes_that_are_no_characters_pass)
{
	static const char *const rows[] = {
		"\x80",
		"\x80\x80\x80\x80\x80",
		"\xff",
		"a\xff"
		"b",
		"\xc3",
		"\xf0\x9f\x98",
		"\xc3(",
		"\xe2\x82"
		"abc",
		"\xf8\x88\x80\x80\x80",
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_splits(rows[i], NULL, 0, rows[i], false);
}
END_TEST

/* The first stop string that is complete in these bytes, by where it begins; `len` when none is. */
static size_t plain_stop(const char *text, size_t len, const char *const *stops, size_t count)
{
	size_t first = len;
	for (size_t i = 0; i < count; i++) {
		const char *found = memmem(text, len, stops[i], strlen(stops[i]));
		if (found && (size_t)(found - text) < first)
			first = (size_t)(found - text);
	}
	return first;
}

/* Random tokens over a small alphabet, against the plain definition. */
START_TEST(random_texts)
{
	static const char *const stops[] = { "aba", "bb", "\xc3\xa9\x61" };
	static const char *const letters[] = { "a", "b", "\xc3\xa9", "c" };
	struct random random;
	random_seed(&random, 11);
	for (int round = 0; round < 3000; round++) {
		struct writer writer;
		struct bytes text = { 0 };
		bool stopped = false;
		writer_init(&writer, stops, COUNT_OF(stops));
		for (uint64_t i = 1 + random_below(&random, 12); i > 0; i--)
			bytes_append_text(&text, letters[random_below(&random, COUNT_OF(letters))]);
		size_t end = 0;
		for (size_t at = 0; at < text.len && !stopped;) {
			const size_t left = text.len - at;
			const size_t len = 1 + random_below(&random, 4);
			add(&writer, text.data + at, len < left ? len : left);
			at += len < left ? len : left;
			end = plain_stop(text.data, at, stops, COUNT_OF(stops));
			stopped = end < at;
		}
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "%.*s", (int)end, text.data);
		writer_end(&writer, wanted, stopped, bytes_text(&text));
		bytes_fini(&text);
	}
}
END_TEST

UNIT_MAIN("engine/generation", stop_strings_at_every_split, nothing_of_a_stop_string_is_shown_early,
          characters_come_whole, bytes_that_are_no_characters_pass, random_texts)
