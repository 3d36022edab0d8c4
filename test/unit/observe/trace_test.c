/* The ring of records, what a record shows while a request runs and after, and the access log line. */
#include "observe/trace.h"

#include "unit.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"

static const char *const stage_names[] = { "head", "forward", "relay" };
#define STAGES COUNT_OF(stage_names)
#define WALL_NS (INT64_C(1760000000) * NS_PER_S + 7 * NS_PER_MS)

static const struct trace_facts no_facts = { .prompt_tokens = -1,
	                                         .cached_tokens = -1,
	                                         .output_tokens = -1,
	                                         .first_token_ns = -1,
	                                         .predicted_ns = -1,
	                                         .retry_after_ns = -1 };

static struct trace *new_trace(uint32_t capacity)
{
	struct trace *trace;
	ck_error_is(trace_new(capacity, stage_names, STAGES, &trace), OK);
	return trace;
}

/* The record as parsed JSON; *text keeps what the nodes point into. */
static void find(struct trace *trace, const char *id, struct bytes *text, struct json *json)
{
	bytes_clear(text);
	ck_assert_msg(trace_find(trace, span_of(id), text), "%s", id);
	ck_assert_msg(json_parse(json, text->data, text->len, 8, NULL) == OK, "%s", bytes_text(text));
}

static void ck_member(const struct json *json, uint32_t node, const char *name, const char *wanted)
{
	const uint32_t member = json_get(json, node, name);
	ck_assert_msg(member != JSON_NONE, "%s is missing", name);
	ck_span_is(json_raw(json, member), wanted);
}

START_TEST(an_open_record_and_a_closed_one)
{
	struct trace *trace = new_trace(4);
	struct bytes text = { 0 }, line = { 0 };
	struct json json = { 0 };
	const int64_t begin_ns = clock_now_ns();
	const struct trace_handle handle = trace_begin(trace, SPAN("req-1"), begin_ns, WALL_NS);
	trace_event(trace, handle, TRACE_HEAD, begin_ns + 1500 * NS_PER_US, 321, 0);
	trace_event(trace, handle, TRACE_ADMITTED, begin_ns + 2 * NS_PER_MS, 3, 40);
	trace_stage(trace, handle, 0, 2 * NS_PER_MS);
	trace_stage(trace, handle, 2, NS_PER_MS);
	trace_stage(trace, handle, 2, NS_PER_MS / 2);
	trace_stage(trace, handle, STAGES, NS_PER_MS);
	ck_assert_int_eq(trace_stage_ns(trace, handle, 2), 1500 * NS_PER_US);
	ck_assert_int_eq(trace_stage_ns(trace, handle, STAGES), 0);
	find(trace, "req-1", &text, &json);
	ck_member(&json, JSON_ROOT, "request", "\"req-1\"");
	ck_member(&json, JSON_ROOT, "time", "\"2025-10-09T08:53:20.007Z\"");
	ck_member(&json, JSON_ROOT, "open", "true");
	ck_member(&json, JSON_ROOT, "stages_ms", "{\"head\":2.000,\"relay\":1.500}");
	const uint32_t events = json_get(&json, JSON_ROOT, "events");
	ck_assert_uint_eq(json.nodes[events].count, 2);
	const uint32_t first = json_first(&json, events);
	ck_member(&json, first, "at_ms", "1.500");
	ck_member(&json, first, "event", "\"HEAD\"");
	ck_member(&json, first, "text", "\"head complete, 321 headers\"");
	ck_member(&json, json_next(&json, events, first), "text",
	          "\"admitted behind 3 tickets; first token predicted in 40 ms\"");
	trace_end(trace, handle, begin_ns + 10 * NS_PER_MS, &no_facts, &line);
	find(trace, "req-1", &text, &json);
	ck_member(&json, JSON_ROOT, "open", "false");
	ck_member(&json, JSON_ROOT, "total_ms", "10.000");
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "pool"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "prompt_tokens"), JSON_NONE);
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "engine"), JSON_NONE);
	json_fini(&json);
	bytes_fini(&text);
	bytes_fini(&line);
	trace_free(&trace);
	trace_free(&trace);
}
END_TEST

START_TEST(the_access_log_line_has_all_facts)
{
	struct trace *trace = new_trace(1);
	struct bytes line = { 0 }, text = { 0 };
	struct json json = { 0 };
	const struct trace_facts facts = {
		.route = SPAN("a\"b\xff"),
		.pool = "small",
		.replica = "small-0",
		.tenant = "shop\n",
		.outcome = "ok",
		.traceparent = SPAN("00-1-2-01"),
		.status = 200,
		.streamed = true,
		.is_repeat = true,
		.class = "batch",
		.rung = "output-256",
		.attempts = 2,
		.retry_after_ns = 1500 * NS_PER_US,
		.paused_ns = 2 * NS_PER_MS,
		.prompt_tokens = 0,
		.cached_tokens = 1,
		.output_tokens = 2,
		.first_token_ns = 1234567,
		.predicted_ns = 0,
		.engine = { true, 1 * NS_PER_MS, 2 * NS_PER_MS, 3 * NS_PER_MS, 4 * NS_PER_MS },
	};
	const struct trace_handle handle = trace_begin(trace, SPAN("id \"1\""), 100, WALL_NS);
	trace_stage(trace, handle, 1, NS_PER_MS);
	trace_end(trace, handle, 100 + NS_PER_S, &facts, &line);
	ck_error_is(json_parse(&json, line.data, line.len, 8, NULL), OK);
	ck_member(&json, JSON_ROOT, "request", "\"id \\\"1\\\"\"");
	ck_member(&json, JSON_ROOT, "total_ms", "1000.000");
	ck_member(&json, JSON_ROOT, "route", "\"a\\\"b\xef\xbf\xbd\"");
	ck_member(&json, JSON_ROOT, "tenant", "\"shop\\n\"");
	ck_member(&json, JSON_ROOT, "status", "200");
	ck_member(&json, JSON_ROOT, "streamed", "true");
	ck_member(&json, JSON_ROOT, "class", "\"batch\"");
	ck_member(&json, JSON_ROOT, "rung", "\"output-256\"");
	ck_member(&json, JSON_ROOT, "repeat", "true");
	ck_member(&json, JSON_ROOT, "attempts", "2");
	ck_member(&json, JSON_ROOT, "retry_after_ms", "1.500");
	ck_member(&json, JSON_ROOT, "paused_ms", "2.000");
	ck_member(&json, JSON_ROOT, "prompt_tokens", "0");
	ck_member(&json, JSON_ROOT, "first_token_ms", "1.235");
	ck_member(&json, JSON_ROOT, "predicted_first_token_ms", "0.000");
	ck_member(&json, JSON_ROOT, "engine",
	          "{\"tokenize_ms\":1.000,\"queue_ms\":2.000,\"prefill_ms\":3.000,\"decode_ms\":4.000}");
	ck_member(&json, JSON_ROOT, "stages_ms", "{\"forward\":1.000}");
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "events"), JSON_NONE);
	ck_assert_ptr_null(memchr(line.data, '\n', line.len));
	/* The record says the same. */
	find(trace, "id \"1\"", &text, &json);
	ck_member(&json, JSON_ROOT, "replica", "\"small-0\"");
	json_fini(&json);
	bytes_fini(&text);
	bytes_fini(&line);
	trace_free(&trace);
}
END_TEST

START_TEST(the_ring_comes_round)
{
	struct trace *trace = new_trace(3);
	struct trace_handle handles[5];
	struct bytes text = { 0 };
	struct json json = { 0 };
	for (int i = 0; i < 5; i++) {
		const char id[2] = { (char)('a' + i), '\0' };
		handles[i] = trace_begin(trace, span_of(id), 0, WALL_NS);
		trace_stage(trace, handles[i], 0, (i + 1) * NS_PER_MS);
	}
	/* a and b lost their places to d and e: nothing of theirs lands there. */
	trace_event(trace, handles[0], TRACE_DRAINED, 1, 0, 0);
	trace_stage(trace, handles[0], 0, NS_PER_S);
	ck_assert_int_eq(trace_stage_ns(trace, handles[0], 0), 0);
	trace_end(trace, handles[1], 9, &no_facts, &text);
	ck_assert_uint_eq(text.len, 0);
	ck_assert(!trace_find(trace, SPAN("a"), &text));
	ck_assert(!trace_find(trace, SPAN("b"), &text));
	ck_assert_uint_eq(text.len, 0);
	ck_assert_int_eq(trace_stage_ns(trace, handles[3], 0), 4 * NS_PER_MS);
	find(trace, "d", &text, &json);
	ck_member(&json, JSON_ROOT, "events", "[]");
	ck_member(&json, JSON_ROOT, "open", "true");
	find(trace, "c", &text, &json);
	/* "No record" is a handle, too. */
	trace_event(trace, (struct trace_handle){ 0 }, TRACE_HEAD, 1, 0, 0);
	ck_assert_int_eq(trace_stage_ns(trace, (struct trace_handle){ 0 }, 0), 0);
	json_fini(&json);
	bytes_fini(&text);
	trace_free(&trace);
}
END_TEST

START_TEST(the_newest_of_an_id_is_found)
{
	struct trace *trace = new_trace(3);
	struct bytes text = { 0 };
	struct json json = { 0 };
	struct trace_handle handle = { 0 };
	/* The newest is the last, then the first, then the middle one of the ring. */
	for (int i = 0; i < 8; i++) {
		handle = trace_begin(trace, SPAN("same"), 0, WALL_NS);
		trace_stage(trace, handle, 1, i * NS_PER_MS + NS_PER_MS);
		char wanted[40];
		snprintf(wanted, sizeof(wanted), "{\"forward\":%d.000}", i + 1);
		find(trace, "same", &text, &json);
		ck_member(&json, JSON_ROOT, "stages_ms", wanted);
	}
	ck_assert(!trace_find(trace, SPAN("sam"), &text));
	ck_assert(!trace_find(trace, SPAN(""), &text));
	json_fini(&json);
	bytes_fini(&text);
	trace_free(&trace);
}
END_TEST

START_TEST(more_events_than_fit_are_counted)
{
	struct trace *trace = new_trace(1);
	struct bytes text = { 0 };
	struct json json = { 0 };
	const struct trace_handle handle = trace_begin(trace, SPAN("x"), 0, WALL_NS);
	for (int i = 0; i < TRACE_EVENTS_MAX; i++)
		trace_event(trace, handle, TRACE_PAUSED, i, i, 0);
	find(trace, "x", &text, &json);
	ck_assert_uint_eq(json_get(&json, JSON_ROOT, "events_dropped"), JSON_NONE);
	for (int i = 0; i < 5; i++)
		trace_event(trace, handle, TRACE_RESUMED, i, 0, 0);
	find(trace, "x", &text, &json);
	ck_assert_uint_eq(json.nodes[json_get(&json, JSON_ROOT, "events")].count, TRACE_EVENTS_MAX);
	ck_member(&json, JSON_ROOT, "events_dropped", "5");
	json_fini(&json);
	bytes_fini(&text);
	trace_free(&trace);
}
END_TEST

START_TEST(long_ids_are_cut_and_still_found)
{
	struct trace *trace = new_trace(2);
	struct bytes text = { 0 };
	char id[300];
	memset(id, 'i', sizeof(id));
	const struct trace_handle handle = trace_begin(trace, (struct span){ id, sizeof(id) }, 0, WALL_NS);
	ck_assert(handle.sequence != 0);
	ck_assert(trace_find(trace, (struct span){ id, sizeof(id) }, &text));
	ck_assert(trace_find(trace, (struct span){ id, TRACE_ID_BYTES - 1 }, &text));
	ck_assert(!trace_find(trace, (struct span){ id, TRACE_ID_BYTES - 2 }, &text));
	bytes_fini(&text);
	trace_free(&trace);
}
END_TEST

static bool format_is_safe(const char *format)
{
	int numbers = 0;
	for (const char *at = format; (at = strchr(at, '%'));) {
		if (strncmp(at, "%lld", 4) == 0) {
			numbers++;
			at += 4;
		} else if (strncmp(at, "%%", 2) == 0) {
			at += 2;
		} else {
			return false;
		}
	}
	return numbers <= 2;
}

START_TEST(the_table_is_sound)
{
	static const struct {
		const char *name;
		const char *format;
	} rows[] = {
#define TRACE_EVENT(name, format) { #name, format },
#include "observe/events.def"
#undef TRACE_EVENT
	};
	ck_assert_uint_eq(COUNT_OF(rows), TRACE_EVENT_KINDS);
	ck_assert_uint_lt(TRACE_EVENT_KINDS, 256);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ck_assert_msg(format_is_safe(rows[i].format), "%s: %s", rows[i].name, rows[i].format);
		ck_assert_msg(strlen(rows[i].format) > 5, "%s", rows[i].name);
		for (const char *at = rows[i].name; *at; at++)
			ck_assert_msg(isupper(*at) || *at == '_', "%s", rows[i].name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(rows[j].name, rows[i].name);
	}
	ck_assert(!format_is_safe("%s") && !format_is_safe("%d") && !format_is_safe("100%"));
	ck_assert(!format_is_safe("%lld %lld %lld") && format_is_safe("%lld%% of %lld"));
}
END_TEST

static void *look(void *argument)
{
	for (int i = 0; i < 200; i++) {
		struct bytes text = { 0 };
		if (trace_find(argument, SPAN("shared"), &text)) {
			struct json json = { 0 };
			ck_error_is(json_parse(&json, text.data, text.len, 8, NULL), OK);
			json_fini(&json);
		}
		bytes_fini(&text);
	}
	return NULL;
}

/* Its loop writes, another thread looks. */
START_TEST(a_look_from_another_thread)
{
	struct trace *trace = new_trace(4);
	struct bytes line = { 0 };
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, look, trace), 0);
	for (int i = 0; i < 2000; i++) {
		const struct trace_handle handle = trace_begin(trace, SPAN("shared"), clock_now_ns(), WALL_NS);
		trace_event(trace, handle, TRACE_FIRST_TOKEN, clock_now_ns(), 1, 2);
		trace_stage(trace, handle, 1, 5);
		bytes_clear(&line);
		trace_end(trace, handle, clock_now_ns(), &no_facts, &line);
	}
	pthread_join(thread, NULL);
	bytes_fini(&line);
	trace_free(&trace);
}
END_TEST

START_TEST(the_newest_finished_ones)
{
	struct trace *trace = new_trace(4);
	struct bytes log = { 0 };
	struct bytes lines = { 0 };
	int64_t begins[8];
	ck_assert_uint_eq(trace_finished(trace, begins, COUNT_OF(begins)), 0);
	for (int i = 0; i < 6; i++) {
		char id[8];
		snprintf(id, sizeof(id), "r%d", i);
		struct trace_handle handle = trace_begin(trace, span_of(id), 0, WALL_NS + i * NS_PER_S);
		trace_stage(trace, handle, 1, 5 * NS_PER_MS);
		bytes_clear(&log);
		if (i != 4)
			trace_end(trace, handle, 7 * NS_PER_MS, &no_facts, &log);
	}
	/* r2, r3 and r5: the ring holds four, and r4 is open. */
	ck_assert_uint_eq(trace_finished(trace, begins, COUNT_OF(begins)), 3);
	ck_assert_uint_eq(trace_finished(trace, begins, 2), 2);
	trace_write_since(trace, WALL_NS + 3 * NS_PER_S, &lines);
	ck_assert_ptr_nonnull(strstr(bytes_text(&lines), "\"r3\""));
	ck_assert_ptr_nonnull(strstr(bytes_text(&lines), bytes_text(&log)));
	ck_assert_ptr_null(strstr(bytes_text(&lines), "\"r2\""));
	ck_assert_ptr_null(strstr(bytes_text(&lines), "\"r4\""));
	ck_assert_int_eq(lines.data[lines.len - 1], '\n');
	bytes_fini(&lines);
	bytes_fini(&log);
	trace_free(&trace);
}
END_TEST

UNIT_MAIN("observe/trace", the_newest_finished_ones, an_open_record_and_a_closed_one, the_access_log_line_has_all_facts,
          the_ring_comes_round, the_newest_of_an_id_is_found, more_events_than_fit_are_counted,
          long_ids_are_cut_and_still_found, the_table_is_sound, a_look_from_another_thread)
