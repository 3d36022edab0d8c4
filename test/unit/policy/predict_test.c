/* Durations, places and ratios: the arithmetic of predictions against hand-worked and simulated answers. */
#include "policy/predict.h"

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

static const struct predict_rates rates = { 5 * NS_PER_MS,   100 * NS_PER_US, 1 * NS_PER_MS,
	                                        200 * NS_PER_US, 3 * NS_PER_MS,   50 * NS_PER_US };

START_TEST(durations_are_what_the_rates_say)
{
	ck_assert_int_eq(predict_prefill_ns(&rates, 0, 0), 0);
	/* 1,000 tokens: eight steps of 128; beside streams, however many, each token takes half as long again. */
	ck_assert_int_eq(predict_prefill_ns(&rates, 1000, 0), 100 * NS_PER_MS + 8 * 3 * NS_PER_MS);
	ck_assert_int_eq(predict_prefill_ns(&rates, 1000, 4), 150 * NS_PER_MS + 8 * 3 * NS_PER_MS);
	ck_assert_int_eq(predict_decode_ns(&rates, 10, 4, 2000), 10 * (9 * NS_PER_MS + 400 * NS_PER_US));
	ck_assert_int_eq(predict_decode_ns(&rates, 10, 0, 0), predict_decode_ns(&rates, 10, 1, 0));
	/* Four places: the own 10 steps at 400 cells, and four prefills of 95 tokens. */
	ck_assert_int_eq(predict_service_ns(&rates, 95, 10, 4), 10 * (9 * NS_PER_MS + 80 * NS_PER_US) + 57 * NS_PER_MS);
}
END_TEST

START_TEST(absurd_numbers_stay_bounded)
{
	const struct predict_rates absurd = { INT64_MAX, INT64_MIN, INT64_MAX, -1 };
	const struct predict_rates bounded = predict_rates_bounded(&absurd);
	ck_assert_int_eq(bounded.fixed_ns, 10 * NS_PER_S);
	ck_assert_int_eq(bounded.prefill_ns, 0);
	ck_assert_int_eq(bounded.context_ns, 0);
	const struct predict_rates slow = { 10 * NS_PER_S, 10 * NS_PER_S, 10 * NS_PER_S, 10 * NS_PER_S };
	ck_assert_int_eq(predict_prefill_ns(&slow, UINT64_MAX, UINT32_MAX), PREDICT_MAX_NS);
	ck_assert_int_eq(predict_decode_ns(&slow, UINT64_MAX, UINT32_MAX, UINT64_MAX), PREDICT_MAX_NS);
	ck_assert_int_eq(predict_service_ns(&slow, UINT32_MAX, UINT32_MAX, UINT32_MAX), PREDICT_MAX_NS);
	struct predict_places places = { 0 };
	for (int i = 0; i < 100; i++)
		predict_places_add(&places, PREDICT_MAX_NS, UINT32_MAX / 100);
	const struct predict_wait wait = predict_places_wait(&places, UINT32_MAX, PREDICT_MAX_NS);
	ck_assert_int_eq(wait.bound_ns, PREDICT_MAX_NS);
	ck_assert_int_le(wait.expected_ns, PREDICT_MAX_NS);
}
END_TEST

START_TEST(free_places_are_taken_first)
{
	struct predict_places places = { 0 };
	ck_assert_int_eq(predict_places_wait(&places, 0, NS_PER_S).expected_ns, NS_NEVER);
	predict_places_add(&places, 3 * NS_PER_S, 1);
	predict_places_add(&places, 0, 2);
	predict_places_add(&places, 1 * NS_PER_S, 1);
	predict_places_add(&places, 7, 0);
	ck_assert_uint_eq(places.used, 3);
	ck_assert_int_eq(predict_places_wait(&places, 0, 10 * NS_PER_S).bound_ns, 0);
	ck_assert_int_eq(predict_places_wait(&places, 1, 10 * NS_PER_S).bound_ns, 0);
	ck_assert_int_eq(predict_places_wait(&places, 2, 10 * NS_PER_S).bound_ns, 1 * NS_PER_S);
	ck_assert_int_eq(predict_places_wait(&places, 3, 10 * NS_PER_S).bound_ns, 3 * NS_PER_S);
	/* The fifth waits for the first two to come back, which they do long before the one at 3 s when they are short. */
	ck_assert_int_lt(predict_places_wait(&places, 4, NS_PER_S / 10).bound_ns, 3 * NS_PER_S);
}
END_TEST

/* The start of request number `ahead` (from 0) when each keeps its place for service_ns: the earliest place, again and again. */
static int64_t simulated_start_ns(const int64_t *free_ns, uint32_t count, uint32_t ahead, int64_t service_ns)
{
	int64_t places[64];
	int64_t start_ns = 0;
	for (uint32_t i = 0; i < count; i++)
		places[i] = free_ns[i];
	for (uint32_t taken = 0; taken <= ahead; taken++) {
		uint32_t first = 0;
		for (uint32_t i = 1; i < count; i++)
			if (places[i] < places[first])
				first = i;
		start_ns = places[first];
		places[first] += service_ns;
	}
	return start_ns;
}

START_TEST(waits_agree_with_taking_turns)
{
	struct random random;
	random_seed(&random, 5);
	for (int round = 0; round < 2000; round++) {
		struct predict_places places = { 0 };
		int64_t free_ns[64];
		uint32_t count = 1 + (uint32_t)random_below(&random, 40);
		int64_t service_ns = 1 + (int64_t)random_below(&random, 4 * NS_PER_S);
		for (uint32_t i = 0; i < count; i++) {
			free_ns[i] = (int64_t)random_below(&random, 2) * (int64_t)random_below(&random, 4 * NS_PER_S);
			predict_places_add(&places, free_ns[i], 1);
		}
		uint32_t ahead = (uint32_t)random_below(&random, 200);
		int64_t actual_ns = simulated_start_ns(free_ns, count, ahead, service_ns);
		const struct predict_wait wait = predict_places_wait(&places, ahead, service_ns);
		ck_assert_int_eq(wait.bound_ns, actual_ns);
		ck_assert_int_le(wait.expected_ns, wait.bound_ns);
		ck_assert_int_ge(wait.expected_ns, actual_ns - service_ns / 2 - 1);
	}
}
END_TEST

START_TEST(more_places_than_rows_are_kept_on_the_late_side)
{
	struct predict_places places = { 0 };
	for (int i = 0; i < 256; i++)
		predict_places_add(&places, (i * 37) % 256 * NS_PER_MS, 1);
	uint32_t count = 0;
	for (uint32_t i = 0; i < places.used; i++) {
		count += places.rows[i].count;
		ck_assert(i == 0 || places.rows[i - 1].free_ns <= places.rows[i].free_ns);
	}
	ck_assert_uint_eq(count, 256);
	for (uint32_t ahead = 0; ahead < 256; ahead++)
		ck_assert_int_ge(predict_places_wait(&places, ahead, NS_PER_S).bound_ns, ahead * NS_PER_MS);
}
END_TEST

START_TEST(the_ratio_is_the_upper_edge_of_the_95th_percentile)
{
	struct predict_ratio ratio = { 0 };
	for (int i = 0; i < 19; i++)
		predict_ratio_add(&ratio, i, 300 * NS_PER_MS, 100 * NS_PER_MS);
	ck_assert_double_eq(predict_ratio_p95(&ratio), 1);
	predict_ratio_add(&ratio, 20, 300 * NS_PER_MS, 100 * NS_PER_MS);
	/* 3 lies between 2^1.5 and 2^1.75. */
	ck_assert_double_eq_tol(predict_ratio_p95(&ratio), 3.3636, 0.001);
	/* 20 of 400 are 5 %, not more; 21 are. */
	for (int i = 0; i < 380; i++)
		predict_ratio_add(&ratio, 30, 90 * NS_PER_MS, 100 * NS_PER_MS);
	ck_assert_double_eq(predict_ratio_p95(&ratio), 1);
	predict_ratio_add(&ratio, 31, 300 * NS_PER_MS, 100 * NS_PER_MS);
	ck_assert_double_gt(predict_ratio_p95(&ratio), 3);
}
END_TEST

START_TEST(the_ratio_forgets)
{
	struct predict_ratio ratio = { 0 };
	for (int i = 0; i < 1500; i++)
		predict_ratio_add(&ratio, i, 400 * NS_PER_S, NS_PER_MS);
	ck_assert_uint_eq(ratio.filled, PREDICT_WINDOW);
	/* As large as it can be: 256 and more. */
	ck_assert_double_eq_tol(predict_ratio_p95(&ratio), 256, 0.1);
	for (int i = 0; i < 960; i++)
		predict_ratio_add(&ratio, NS_PER_S, NS_PER_US, 1);
	ck_assert_double_eq(predict_ratio_p95(&ratio), 1);
	/* One bad minute is over when its samples are old. */
	for (int i = 0; i < 500; i++)
		predict_ratio_add(&ratio, 2 * NS_PER_S, 40 * NS_PER_MS, NS_PER_MS);
	ck_assert_double_gt(predict_ratio_p95(&ratio), 30);
	predict_ratio_age(&ratio, 2 * NS_PER_S + PREDICT_MEMORY_NS);
	ck_assert_uint_eq(ratio.filled, 500);
	predict_ratio_age(&ratio, 2 * NS_PER_S + PREDICT_MEMORY_NS + 1);
	ck_assert_uint_eq(ratio.filled, 0);
	ck_assert_double_eq(predict_ratio_p95(&ratio), 1);
	uint32_t left = 0;
	for (int i = 0; i < PREDICT_BUCKETS; i++)
		left += ratio.counts[i];
	ck_assert_uint_eq(left, 0);
}
END_TEST

UNIT_MAIN("policy/predict", durations_are_what_the_rates_say, absurd_numbers_stay_bounded, free_places_are_taken_first,
          waits_agree_with_taking_turns, more_places_than_rows_are_kept_on_the_late_side,
          the_ratio_is_the_upper_edge_of_the_95th_percentile, the_ratio_forgets)
