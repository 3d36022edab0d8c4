/* What the worker writes is what the fleet reads. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "api/load_report.h"
#include "base/json.h"
#include "base/macros.h"

START_TEST(round_trip)
{
	uint64_t number = 1;
	struct load_report report = { .percent = 42, .model = "Qwen/\"x\" \xc3\xa9" };
#define LOAD(name, help) report.name = number++ * 1000003;
#include "api/load_report.def"
#undef LOAD
	report.backlog_tokens = INT64_MAX;
	for (int state = 0; state < ENGINE_STATES; state++) {
		struct bytes text = { 0 };
		struct load_report read;
		report.state = (enum engine_state)state;
		snprintf(report.fault, sizeof(report.fault), "%s", state == ENGINE_FAILED ? "no\nfile" : "");
		load_report_write(&text, &report);
		ck_error_is(load_report_read(bytes_span(&text), &read), OK);
		ck_assert_int_eq(read.state, state);
		ck_assert_uint_eq(read.percent, 42);
		ck_assert_str_eq(read.model, report.model);
		ck_assert_str_eq(read.fault, report.fault);
#define LOAD(name, help) ck_assert_uint_eq(read.name, report.name);
#include "api/load_report.def"
#undef LOAD
		bytes_fini(&text);
	}
}
END_TEST

START_TEST(what_is_missing_odd_or_unknown)
{
	struct load_report read;
	ck_error_is(load_report_read(SPAN("{\"state\":\"ready\"}"), &read), OK);
	ck_assert_uint_eq(read.running, 0);
	ck_assert_str_eq(read.model, "");
	ck_error_is(load_report_read(SPAN(" {\"later\":{\"a\":[1]},\"running\":\"2\",\"waiting\":-3,\"cells\":1.5,"
	                                  "\"steps\":7.0,\"model\":4,\"state\":\"warming\"} "),
	                             &read),
	            OK);
	ck_assert_int_eq(read.state, ENGINE_WARMING);
	ck_assert_uint_eq(read.running, 0);
	ck_assert_uint_eq(read.waiting, 0);
	ck_assert_uint_eq(read.cells, 0);
	ck_assert_uint_eq(read.steps, 7);
	ck_assert_str_eq(read.model, "");
}
END_TEST

START_TEST(texts_that_are_no_report)
{
	static const char *const rows[] = {
		"",
		"{}",
		"[]",
		"null",
		"{\"state\":\"ready\"",
		"{\"state\":1}",
		"{\"state\":null}",
		"{\"state\":\"READY\"}",
		"{\"state\":\"\"}",
		"{\"state\":\"readyx\"}",
		"{\"state\":[\"ready\"]}",
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct load_report read;
		ck_assert_msg(load_report_read(span_of(rows[i]), &read) == ERROR_SYNTAX, "%s", rows[i]);
	}
}
END_TEST

START_TEST(long_texts_are_cut)
{
	struct bytes text = { 0 };
	struct load_report read;
	bytes_append_text(&text, "{\"state\":\"failed\",\"model\":\"");
	for (int i = 0; i < 1000; i++)
		bytes_append_byte(&text, 'm');
	bytes_append_text(&text, "\"}");
	ck_error_is(load_report_read(bytes_span(&text), &read), OK);
	ck_assert_uint_eq(strlen(read.model), sizeof(read.model) - 1);
	bytes_fini(&text);
}
END_TEST

START_TEST(states_have_texts)
{
	ck_assert_str_eq(engine_state_text(ENGINE_STARTING), "starting");
	ck_assert_str_eq(engine_state_text(ENGINE_FAILED), "failed");
	ck_assert_str_eq(engine_state_text(ENGINE_STATES), "unknown");
	/* The help of the table is for people. */
#define LOAD(name, help) ck_assert_uint_gt(strlen(help), 10);
#include "api/load_report.def"
#undef LOAD
}
END_TEST

UNIT_MAIN("api/load_report", round_trip, what_is_missing_odd_or_unknown, texts_that_are_no_report, long_texts_are_cut,
          states_have_texts)
