/* Each cause is put into a healthy log and must be named, the weightiest of all; a healthy log gives nothing. */
#include "lines.h"

#include "base/file.h"
#include "base/macros.h"

static double at_a_steady_pace(unsigned i)
{
	return i * 190.0;
}

static double in_a_burst(unsigned i)
{
	return i < 50 ? i * 1000.0 : i < 170 ? 50000 + (i - 50) * 10.0 : 52000 + (i - 170) * 1000.0;
}

static double gently(unsigned i)
{
	return i * 400.0;
}

static void slow_client(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->client = i % 12 == 0 ? 4000 : 0;
}

static void long_prompts(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	if (i % 10 != 0)
		return;
	line->prompt = 4000;
	line->prefill = 4000 * 0.5;
}

static void long_outputs(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	if (i % 10 != 0)
		return;
	line->output = 600;
	line->decode = 6000;
}

/* Eight at once every four seconds: each token takes three times as long. */
static void crowded_decode(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->at = i / 16 * 8000.0 + (i % 16 < 8 ? i % 16 * 700.0 : 5600);
	if (i % 16 >= 8)
		line->decode *= 3;
	else
		line->decode *= 0.9;
}

static void crowded_prefill(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->at = i / 16 * 8000.0 + (i % 16 < 8 ? i % 16 * 700.0 : 5600);
	line->decode = 300;
	line->output = 30;
	if (i % 16 >= 8)
		line->prefill *= 8;
}

static void slow_retrieval(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->retrieve = i % 8 == 0 ? 900 : 12;
}

static void slow_replica(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	static const char *const names[] = { "small/0", "small/1", "small/2" };
	line->replica = names[i % 3];
	line->is_opaque = true;
	if (i % 3 == 1) {
		line->upstream += 300;
		line->decode *= 3;
	}
}

static void retries(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	if (i % 9 != 0)
		return;
	line->attempts = 2;
	line->upstream += 1500;
}

static void loop_busy(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->loop = i % 7 == 0 ? 300 : 0.1;
}

static void pool_lag(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->tokenize = i % 7 == 0 ? 300 : 0.3;
}

static void slow_sender(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->arrive = i % 7 == 0 ? 900 : 0.1;
}

static void engine_queue(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->engine_queue = i % 7 == 0 ? 900 : 0;
}

static void slow_upstream(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->is_opaque = true;
	line->upstream = i > 600 ? 800 : 60;
}

static void refusals(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	if (i % 4 != 0)
		return;
	*line = (struct line){ .at = line->at, .arrive = 0.1, .status = 429, .outcome = "queue_full" };
}

static void degraded(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->rung = i % 3 == 0 ? "max_output" : NULL;
}

/* Users wait although few run. */
static void idle_places(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	if (i >= 200 && i < 208)
		line->at = 200 * 500.0, line->queue = 20 + i % 4; /* four at once, once: there are places */
	else if (i % 3 == 0)
		line->queue = 700;
}

static void cold_start(struct line *line, unsigned i, struct random *random)
{
	(void)random;
	line->at = i * 250.0;
	line->replica = i >= 200 && i % 2 ? "small/1" : "small/0";
	line->queue = i >= 150 && i < 200 ? (200 - i) * 250.0 : 0.01;
}

static const struct {
	const char *cause;
	change_line *change;
	const char *sentence; /* a part of it */
} cases[] = {
	{ "slow_client", slow_client, "do not read" },
	{ "long_prompts", long_prompts, "prefill holds" },
	{ "long_outputs", long_outputs, "decode holds" },
	{ "crowded_decode", crowded_decode, "decode takes" },
	{ "crowded_prefill", crowded_prefill, "prefill takes" },
	{ "slow_retrieval", slow_retrieval, "document store" },
	{ "slow_replica", slow_replica, "small/1 takes" },
	{ "retries", retries, "more than one attempt" },
	{ "loop_busy", loop_busy, "loop was busy" },
	{ "pool_lag", pool_lag, "template and tokens" },
	{ "slow_sender", slow_sender, "take long to arrive" },
	{ "engine_queue", engine_queue, "inside the engine" },
	{ "slow_upstream", slow_upstream, "than before" },
	{ "refusals", refusals, "25 % of the requests were refused, most of them as queue_full" },
	{ "degraded", degraded, "degraded by the ladder" },
	{ "idle_places", idle_places, "users waited while only" },
	{ "cold_start", cold_start, "small/1 took its first request" },
};

START_TEST(each_cause_is_named)
{
	struct bytes log = { 0 };
	struct found found;
	write_log(&log, 900, cases[_i].change);
	find_in(&log, NULL, &found);
	ck_assert_str_eq(first_cause(&found), cases[_i].cause);
	const char *sentence = bytes_text(&found.findings[0].sentence);
	ck_assert_msg(strstr(sentence, cases[_i].sentence), "%s", sentence);
	ck_assert_uint_gt(found.findings[0].effect.len, 10);
	ck_assert_uint_gt(found.findings[0].evidence.len, 5);
	found_fini(&found);
	bytes_fini(&log);
}
END_TEST

START_TEST(a_healthy_log_gives_nothing)
{
	struct bytes log = { 0 };
	struct found found;
	write_log(&log, 900, NULL);
	find_in(&log, NULL, &found);
	ck_assert_str_eq(first_cause(&found), "nothing");
	found_fini(&found);
	bytes_clear(&log);
	write_queue(&log, 300, 4, gently, false);
	find_in(&log, NULL, &found);
	ck_assert_str_eq(first_cause(&found), "nothing");
	found_fini(&found);
	bytes_fini(&log);
}
END_TEST

static void check_too_few(bool two_routes)
{
	struct bytes log = { 0 };
	struct found found;
	write_queue(&log, 400, 2, at_a_steady_pace, two_routes);
	find_in(&log, NULL, &found);
	ck_assert_str_eq(first_cause(&found), "too_few_places");
	struct finding *finding = &found.findings[0];
	ck_assert_msg(strstr(bytes_text(&finding->effect), "with 1 more place,"), "%s", bytes_text(&finding->effect));
	ck_assert_double_lt(finding->after_ms, finding->before_ms / 2);
	/* What three places really give. */
	struct bytes other = { 0 };
	struct found better;
	write_queue(&other, 400, 3, at_a_steady_pace, two_routes);
	find_in(&other, NULL, &better);
	double real = better.view.p95_ms[finding->measure];
	ck_assert_msg(finding->after_ms > 0.8 * real && finding->after_ms < 1.25 * real, "%g predicted, %g is",
	              finding->after_ms, real);
	found_fini(&better);
	found_fini(&found);
	bytes_fini(&other);
	bytes_fini(&log);
}

START_TEST(too_few_places)
{
	check_too_few(false);
	check_too_few(true); /* another route's requests take places, too */
}
END_TEST

START_TEST(a_burst)
{
	struct bytes log = { 0 };
	struct found found;
	write_queue(&log, 220, 4, in_a_burst, false);
	find_in(&log, NULL, &found);
	ck_assert_str_eq(first_cause(&found), "burst");
	ck_assert_double_eq_tol(found.findings[0].since_ms, 1764000050000.0, 2000);
	found_fini(&found);
	bytes_fini(&log);
}
END_TEST

START_TEST(since_when)
{
	struct bytes log = { 0 };
	struct found found;
	write_log(&log, 1200, slow_upstream);
	find_in(&log, NULL, &found);
	/* 601 x 500 ms: the sixth minute; the window begins with the first request. */
	ck_assert_double_eq_tol(found.findings[0].since_ms, 1764000000000.0 + 5 * 60000, 60001);
	ck_assert_str_eq(part_name(found.view.holder[MEASURE_TTFT]), "upstream");
	ck_assert_double_gt(found.view.holder_since_ms[MEASURE_TTFT], 0);
	found_fini(&found);
	bytes_clear(&log);
	write_log(&log, 900, slow_client);
	find_in(&log, NULL, &found);
	ck_assert_double_lt(found.findings[0].since_ms, 0);
	found_fini(&found);
	bytes_fini(&log);
}
END_TEST

START_TEST(a_running_gateway_tells_more)
{
	struct bytes log = { 0 };
	struct found found;
	struct live live = { .is_known = true, .seconds = 10, .pool_count = 1 };
	live.pools[0] = (struct live_pool){
		.name = "small", .queued = { 5, 7 }, .in_flight = { 1, 1 }, .concurrency = { 4, 4 }, .replicas = 1, .ready = 1
	};
	write_log(&log, 100, NULL);
	find_in(&log, &live, &found);
	ck_assert_str_eq(first_cause(&found), "idle_places");
	found_fini(&found);
	live.pools[0].starting_s = 40;
	live.pools[0].start_p95_s = 60;
	find_in(&log, &live, &found);
	ck_assert_str_eq(first_cause(&found), "cold_start");
	ck_assert_msg(strstr(bytes_text(&found.findings[0].effect), "about 20 s"), "%s",
	              bytes_text(&found.findings[0].effect));
	found_fini(&found);
	/* Another pool's trouble is not this route's. */
	live.pools[0] = (struct live_pool){ .name = "large", .queued = { 5, 7 }, .concurrency = { 4, 4 } };
	find_in(&log, &live, &found);
	ck_assert_str_eq(first_cause(&found), "nothing");
	found_fini(&found);
	bytes_fini(&log);
	/* Nobody has been answered yet. */
	struct records none = { 0 };
	struct report_options options = { .as_json = false };
	bool answered;
	ck_error_is(report_write(&none, &live, &options, &answered, &log), OK);
	ck_assert(answered);
	ck_assert_msg(strstr(bytes_text(&log), "7 requests wait for pool large"), "%s", bytes_text(&log));
	bytes_fini(&log);
	records_fini(&none);
}
END_TEST

START_TEST(the_table_is_sound_and_documented)
{
	struct bytes table = { 0 };
	struct bytes page = { 0 };
	causes_write_reference(&table);
	ck_error_is(file_read("docs/why.md", 1 << 20, &page), OK);
	ck_assert_msg(strstr(bytes_text(&page), bytes_text(&table)) != NULL,
	              "docs/why.md is old: put in what `penstock why --causes` prints");
	bytes_fini(&table);
	bytes_fini(&page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("why/causes");
	TCase *all = tcase_create("why/causes");
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, each_cause_is_named, 0, (int)COUNT_OF(cases));
	const TTest *const tests[] = {
		a_healthy_log_gives_nothing,      too_few_places, a_burst, since_when, a_running_gateway_tells_more,
		the_table_is_sound_and_documented
	};
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(all, tests[i]);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
