/* The report's arithmetic, the promise, the detector, and the course over time. */
#include "workloads.h"

#include <math.h>
#include <string.h>

#include "replay/course.h"
#include "replay/detector.h"
#include "replay/report.h"

#define MS NS_PER_MS

static struct replay_record good(int64_t at_ns, int64_t ttft_ns, int64_t e2e_ns)
{
	return (struct replay_record){ .intended_ns = at_ns,
		                           .eligible_ns = at_ns,
		                           .sent_ns = at_ns + MS / 10,
		                           .first_byte_ns = at_ns + ttft_ns,
		                           .first_token_ns = at_ns + ttft_ns,
		                           .end_ns = at_ns + e2e_ns,
		                           .retry_after_ns = -1,
		                           .predicted_ns = ttft_ns / 2,
		                           .retrieval_ns = -1,
		                           .prompt_asked = 100,
		                           .prompt_tokens = 110,
		                           .output_asked = 20,
		                           .output_tokens = 11,
		                           .status = 200,
		                           .is_counted = true,
		                           .is_ended = true };
}

START_TEST(adds_up)
{
	enum { COUNT = 100 };
	struct replay_record records[COUNT + 4];
	struct run_settings settings = { 0 };
	struct bytes fault = { 0 };
	ck_error_is(goal_parse(SPAN("ttft_p95=95ms,tpot_p50=20ms"), &settings.goal, &fault), OK);
	for (int i = 0; i < COUNT; i++)
		records[i] = good(i * 100 * MS, (i + 1) * MS, (i + 1) * MS + 100 * MS);
	records[COUNT] = good(COUNT * 100 * MS, 0, 5 * MS);
	records[COUNT].outcome = OUTCOME_REFUSED;
	records[COUNT].first_token_ns = -1;
	records[COUNT].retry_after_ns = 2 * NS_PER_S;
	records[COUNT + 1] = records[COUNT];
	records[COUNT + 1].outcome = OUTCOME_CLIENT_FAULT;
	records[COUNT + 2] = good(0, MS, MS);
	records[COUNT + 2].is_counted = false;
	records[COUNT + 3] = records[COUNT];
	records[COUNT + 3].outcome = OUTCOME_CUT;
	struct workload *workload = draw("rate=1,duration=5s", 1);
	struct run_result result = {
		.records = records, .count = COUNT + 4, .sent = COUNT + 4, .rung_count = 1, .elapsed_ns = 11 * NS_PER_S
	};
	const struct replay_inputs inputs = {
		.settings = &settings, .workload = workload, .result = &result, .trace = "t", .target = "u"
	};
	struct replay_summary summary;
	ck_error_is(replay_summarize(&inputs, &summary), OK);
	ck_assert_uint_eq(summary.requests, COUNT + 3);
	ck_assert_uint_eq(summary.warm_up, 1);
	ck_assert_uint_eq(summary.refused, 1);
	ck_assert_uint_eq(summary.failed, 1);
	ck_assert_uint_eq(summary.eligible, COUNT + 2); /* our own fault doesn't count against the promise */
	const struct replay_distribution *ttft = &summary.measures[MEASURE_ttft];
	ck_assert_uint_eq(ttft->count, COUNT);
	ck_assert_int_eq(ttft->ns[PERCENTILE_p50], 50 * MS);
	ck_assert_int_eq(ttft->ns[PERCENTILE_p95], 95 * MS);
	ck_assert_int_eq(ttft->ns[PERCENTILE_p99], 99 * MS);
	ck_assert_int_eq(ttft->ns[PERCENTILE_max], 100 * MS);
	ck_assert_int_eq(summary.measures[MEASURE_ttft_from_sent].ns[PERCENTILE_p50], 50 * MS - MS / 10);
	ck_assert_int_eq(summary.measures[MEASURE_tpot].ns[PERCENTILE_p50],
	                 10 * MS); /* 100 ms over the ten after the first */
	ck_assert_int_eq(summary.measures[MEASURE_refusal].count, 1);
	ck_assert_int_eq(summary.measures[MEASURE_retry_after].ns[PERCENTILE_max], 2 * NS_PER_S);
	/* Refused and cut ones are over every limit: 95 of 102. */
	ck_assert_uint_eq(summary.goals[0].met, 95);
	ck_assert_double_eq_tol(summary.goals[0].attainment, 95.0 / 102, 1e-9);
	ck_assert(!summary.goals[0].is_kept);
	ck_assert(summary.goals[1].is_kept);
	ck_assert(!summary.is_kept);
	ck_assert_int_eq(replay_status(&inputs, &summary), 1);
	ck_assert_int_eq(summary.validity, REPLAY_VALID);
	ck_assert_uint_eq(summary.prompt_real, 110 * COUNT);
	ck_assert_double_eq_tol(summary.prediction_p50, 2, 0.1);
	replay_summary_fini(&summary);
	workload_free(&workload);
	bytes_fini(&fault);
}
END_TEST

START_TEST(tells_a_late_client)
{
	struct replay_record records[10];
	struct run_settings settings = { 0 };
	for (int i = 0; i < 10; i++) {
		records[i] = good(i * MS, MS, 2 * MS);
		records[i].sent_ns = records[i].intended_ns + (i == 9 ? 20 : 2) * MS;
	}
	/* A session that waited for its answer is late, but not by our doing. */
	records[8].sent_ns = records[8].intended_ns + 500 * MS;
	records[8].eligible_ns = records[8].intended_ns + 499 * MS;
	struct workload *workload = draw("rate=1,duration=5s", 1);
	struct run_result result = { .records = records, .count = 10, .sent = 10, .rung_count = 1 };
	const struct replay_inputs inputs = { .settings = &settings, .workload = workload, .result = &result };
	struct replay_summary summary;
	ck_error_is(replay_summarize(&inputs, &summary), OK);
	ck_assert_int_eq(summary.validity, REPLAY_INVALID);
	ck_assert_int_eq(summary.measures[MEASURE_dispatch_delay].ns[PERCENTILE_max], 500 * MS);
	ck_assert_int_eq(summary.measures[MEASURE_schedule_error].ns[PERCENTILE_max], 20 * MS);
	ck_assert_int_eq(replay_status(&inputs, &summary), 1);
	replay_summary_fini(&summary);
	workload_free(&workload);
}
END_TEST

START_TEST(refuses_bad_promises)
{
	static const char *const bad[] = { "ttft",         "ttft_p95",     "ttft_p95=5", "ttft_p95=0s",
		                               "ttft_p101=5s", "speed_p95=1s", "ttft_95=1s", "," };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct goal goal;
		struct bytes fault = { 0 };
		ck_assert_msg(goal_parse(span_of(bad[i]), &goal, &fault) != OK, "%s", bad[i]);
		bytes_fini(&fault);
	}
}
END_TEST

static bool hopeless(double in_flight_growth, double ttft_growth, double ttft_start, unsigned seconds, double failed)
{
	struct detector detector = { 0 };
	struct bytes why = { 0 };
	for (unsigned i = 0; i < seconds; i++) {
		/* Some noise, which a slope must stand out of. */
		const double noise = (double)(i * 7919 % 13) / 13;
		const struct detector_second second = { .in_flight = 10 + 5 * noise + in_flight_growth * i,
			                                    .ttft_s = ttft_start + 0.5 * noise + ttft_growth * i,
			                                    .ended = 10,
			                                    .failed = (uint32_t)(failed * 10) };
		detector_add(&detector, &second);
	}
	const bool is_hopeless = detector_is_hopeless(&detector, &why);
	ck_assert(is_hopeless == (why.len > 0));
	bytes_fini(&why);
	return is_hopeless;
}

START_TEST(sees_what_is_hopeless)
{
	ck_assert(hopeless(2, 0.2, 0.5, 40, 0));
	ck_assert(hopeless(2, 0.2, 0.5, 300, 0));
	ck_assert(!hopeless(2, 0.2, 0.5, 29, 0)); /* too soon to say */
	ck_assert(!hopeless(0, 0, 0.5, 300, 0));
	ck_assert(!hopeless(2, 0, 0.5, 60, 0));       /* more load, as fast as before */
	ck_assert(!hopeless(0, 0.2, 0.5, 60, 0));     /* slower, but nothing piles up */
	ck_assert(!hopeless(0.5, 0.005, 0.1, 60, 0)); /* nobody's crisis yet */
	ck_assert(hopeless(0, 0, 0.1, 40, 0.8));
	ck_assert(!hopeless(0, 0, 0.1, 40, 0.2));
}
END_TEST

START_TEST(follows_the_course)
{
	struct replay_record records[40];
	for (int i = 0; i < 40; i++)
		records[i] = good(i * NS_PER_S, 100 * MS, 2500 * MS);
	struct run_sample samples[2] = { { .at_ns = NS_PER_S, .queue = 3, .rung = -1 },
		                             { .at_ns = 2 * NS_PER_S, .queue = -1, .rung = -1 } };
	const struct run_result result = {
		.records = records, .count = 40, .sent = 40, .samples = samples, .sample_count = 2, .elapsed_ns = 45 * NS_PER_S
	};
	struct course course;
	ck_error_is(course_make(&result, &course), OK);
	ck_assert_uint_eq(course.count, 45);
	ck_assert_double_eq_tol(course.lines[COURSE_OFFERED][10], 1, 1e-9);
	ck_assert_double_eq_tol(course.lines[COURSE_IN_FLIGHT][20], 2, 1e-9);
	ck_assert_double_eq_tol(course.lines[COURSE_IN_FLIGHT][44], 0, 1e-9);
	ck_assert_double_eq_tol(course.lines[COURSE_TTFT_P95][5], 0.1, 1e-9);
	ck_assert(isnan(course.lines[COURSE_TTFT_P95][44]));
	ck_assert(course.has_queue && !course.has_rung);
	course_fini(&course);
}
END_TEST

START_TEST(escapes_its_page)
{
	struct replay_record records[1] = { good(0, MS, 2 * MS) };
	struct run_settings settings = { .body = { .model = "<script>alert(1)</script>&\"" } };
	struct workload *workload = draw("rate=1,duration=5s", 1);
	workload->format = "synthetic";
	struct run_result result = { .records = records, .count = 1, .sent = 1, .rung_count = 1, .elapsed_ns = NS_PER_S };
	const struct replay_inputs inputs = {
		.settings = &settings, .workload = workload, .result = &result, .trace = "<b>", .target = "http://x'"
	};
	struct replay_summary summary;
	struct bytes page = { 0 };
	ck_error_is(replay_summarize(&inputs, &summary), OK);
	replay_write_html(&inputs, &summary, &page);
	ck_assert_ptr_null(strstr(bytes_text(&page), "<script"));
	ck_assert_ptr_null(strstr(bytes_text(&page), "<b>&lt;b>"));
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;"));
	bytes_fini(&page);
	replay_summary_fini(&summary);
	workload_free(&workload);
}
END_TEST

UNIT_MAIN("replay/summary", adds_up, tells_a_late_client, refuses_bad_promises, sees_what_is_hopeless,
          follows_the_course, escapes_its_page)
