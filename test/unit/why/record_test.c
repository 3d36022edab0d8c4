/* Lines of the access log, whole and broken, and the window. */
#include "lines.h"

START_TEST(a_line_as_the_gateway_writes_it)
{
	static const char line[] =
		"{\"time\":\"2026-11-25T13:40:09.776Z\",\"request\":\"req_5\",\"total_ms\":84.324,\"outcome\":\"completed\","
		"\"status\":200,"
		"\"route\":\"assistant\",\"pool\":\"small\",\"replica\":\"small/"
		"0\",\"class\":\"standard\",\"rung\":\"max_output\",\"streamed\":true,"
		"\"repeat\":true,\"attempts\":2,\"retry_after_ms\":5.5,\"paused_ms\":7.25,\"prompt_tokens\":17,\"cached_"
		"tokens\":4,"
		"\"output_tokens\":13,\"first_token_ms\":21.056,\"engine\":{\"tokenize_ms\":0.5,\"queue_ms\":0.25,\"prefill_"
		"ms\":20.5,"
		"\"decode_ms\":62.5},\"stages_ms\":{\"head\":0.5,\"forward\":21.25,\"relay\":62,\"new\":0.25}}";
	struct records records = { 0 };
	ck_error_is(records_add_line(&records, span_of(line)), OK);
	ck_assert_uint_eq(records.count, 1);
	const struct record *record = &records.items[0];
	ck_assert_double_eq(record->begin_ms, 1795614009776.0);
	ck_assert_str_eq(record->id, "req_5");
	ck_assert_str_eq(record->replica, "small/0");
	ck_assert_str_eq(record->rung, "max_output");
	ck_assert_int_eq(record->attempts, 2);
	ck_assert(record->repeat && record->streamed && record->has_engine);
	ck_assert_float_eq(record->paused_ms, 7.25f);
	ck_assert_float_eq(record->prefill_ms, 20.5f);
	ck_assert_int_eq(record->cached_tokens, 4);
	ck_assert_float_eq(record->stages_ms[records_stage(&records, "forward")], 21.25f);
	ck_assert_float_eq(record->stages_ms[records_stage(&records, "new")], 0.25f);
	ck_assert_uint_eq(records_stage(&records, "post"), RECORD_STAGES_MAX);
	ck_assert_ptr_eq(records_text(&records, SPAN("assistant")), record->route);
	records_fini(&records);
}
END_TEST

START_TEST(other_lines_are_skipped_and_counted)
{
	static const char text[] =
		"{\"time\":\"2026-11-25T13:40:09.776Z\",\"level\":\"info\",\"what\":\"hello\"}\n"
		"ready: http://127.0.0.1:8080\n\n{\"total_ms\":1\n[]\n"
		"{\"time\":\"yesterday\",\"request\":\"a\",\"total_ms\":1,\"outcome\":\"completed\",\"stages_ms\":{}}\n"
		"{\"time\":\"2026-11-25T13:40:09Z\",\"request\":\"a\",\"total_ms\":1,\"outcome\":\"completed\",\"stages_ms\":{}"
		"}";
	struct records records = { 0 };
	ck_error_is(records_add_text(&records, span_of(text)), OK);
	ck_assert_uint_eq(records.count, 1);
	ck_assert_uint_eq(records.skipped, 5);
	records_fini(&records);
}
END_TEST

START_TEST(the_window_ends_with_the_last_request)
{
	struct bytes log = { 0 };
	struct records records = { 0 };
	write_log(&log, 100, NULL);
	ck_error_is(records_add_text(&records, bytes_span(&log)), OK);
	records_sort(&records, 10000);
	ck_assert_uint_ge(records.count, 19);
	ck_assert_uint_le(records.count, 22);
	records_fini(&records);
	bytes_fini(&log);
}
END_TEST

START_TEST(parts_add_up)
{
	struct bytes log = { 0 };
	struct found found;
	write_log(&log, 60, NULL);
	find_in(&log, NULL, &found);
	for (size_t i = 0; i < found.view.count; i++) {
		double sum = 0;
		for (enum part part = 0; part < PARTS; part++)
			sum += view_part_ms(&found.view, found.view.served[i].record, part);
		ck_assert_double_eq_tol(sum, (double)found.view.served[i].record->total_ms, 0.1);
	}
	found_fini(&found);
	bytes_fini(&log);
}
END_TEST

START_TEST(words_and_json)
{
	struct bytes log = { 0 };
	struct bytes out = { 0 };
	struct records records = { 0 };
	struct json json = { 0 };
	bool answered;
	struct report_options options = { .route = NULL };
	write_log(&log, 60, NULL);
	append_line(&log, &(struct line){ .at = 1, .route = "other \\\"x\\\"" }, 99);
	ck_error_is(records_add_text(&records, bytes_span(&log)), OK);
	records_sort(&records, 0);
	ck_error_is(report_write(&records, NULL, &options, &answered, &out), OK);
	ck_assert(answered);
	ck_assert_msg(strstr(bytes_text(&out), "nothing stands out"), "%s", bytes_text(&out));
	ck_assert_msg(strstr(bytes_text(&out), "20 are needed"), "%s", bytes_text(&out));
	bytes_clear(&out);
	options.as_json = true;
	ck_error_is(report_write(&records, NULL, &options, &answered, &out), OK);
	ck_assert_msg(json_parse(&json, out.data, out.len, 16, NULL) == OK, "%s", bytes_text(&out));
	ck_assert_uint_eq(json.nodes[json_get(&json, JSON_ROOT, "routes")].count, 1);
	bytes_clear(&out);
	options.route = "nobody";
	ck_error_is(report_write(&records, NULL, &options, &answered, &out), OK);
	ck_assert(!answered);
	json_fini(&json);
	records_fini(&records);
	bytes_fini(&log);
	bytes_fini(&out);
}
END_TEST

UNIT_MAIN("why/record", a_line_as_the_gateway_writes_it, other_lines_are_skipped_and_counted,
          the_window_ends_with_the_last_request, parts_add_up, words_and_json)
