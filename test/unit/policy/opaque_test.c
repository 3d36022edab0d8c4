/* What is learned of an engine from the outside, against engines that are known. */
#include "policy/opaque.h"

#include <math.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

/* An engine that takes 40 ms and 0.1 ms a token, for requests it works on one behind the other. */
static int64_t true_ns(uint32_t prompt, uint64_t ahead)
{
	return 40 * NS_PER_MS + (int64_t)(prompt + ahead) * 100 * NS_PER_US;
}

START_TEST(learns_first_tokens_by_the_work)
{
	struct opaque opaque;
	struct random random;
	random_seed(&random, 3);
	opaque_init(&opaque, 0);
	for (int i = 0; i < 200; i++) {
		uint32_t prompt = (uint32_t)random_below(&random, 3000) + 10;
		uint64_t ahead = random_below(&random, 4) * 1000;
		double noise = 0.9 + 0.2 * random_unit(&random);
		opaque_first_token(&opaque, prompt, ahead, 1 + (uint32_t)(ahead / 1000),
		                   (int64_t)((double)true_ns(prompt, ahead) * noise));
	}
	ck_assert_uint_ge(opaque_ahead_permille(&opaque), 800); /* one behind the other */
	const struct predict_rates rates = opaque_rates(&opaque);
	for (uint32_t prompt = 100; prompt < 5000; prompt += 700) {
		double predicted = (double)predict_prefill_ns(&rates, prompt, 0);
		ck_assert_double_lt(fabs(predicted / (double)true_ns(prompt, 0) - 1), 0.15);
	}
}
END_TEST

/* One that takes all at once: what is in front costs nothing, and thousands in front must not look like hours. */
START_TEST(an_engine_without_a_queue_has_none_in_front)
{
	struct opaque opaque;
	struct random random;
	random_seed(&random, 5);
	opaque_init(&opaque, 0);
	ck_assert_uint_eq(opaque_ahead_permille(&opaque), 0);
	ck_assert(!opaque_is_known(&opaque));
	for (int i = 0; i < 200; i++) {
		uint32_t prompt = (uint32_t)random_below(&random, 3000) + 10;
		opaque_first_token(&opaque, prompt, random_below(&random, 1000000), 500, true_ns(prompt, 0));
	}
	ck_assert(opaque_is_known(&opaque));
	ck_assert_uint_le(opaque_ahead_permille(&opaque), 2);
}
END_TEST

START_TEST(follows_an_engine_that_becomes_slow)
{
	struct opaque opaque;
	opaque_init(&opaque, 0);
	for (int i = 0; i < 100; i++)
		opaque_first_token(&opaque, 500, 0, 1, true_ns(500, 0));
	const struct predict_rates before = opaque_rates(&opaque);
	for (int i = 0; i < 20; i++)
		opaque_first_token(&opaque, 500, 0, 1, 20 * true_ns(500, 0));
	const struct predict_rates after = opaque_rates(&opaque);
	ck_assert_int_gt(predict_prefill_ns(&after, 500, 0), 4 * predict_prefill_ns(&before, 500, 0));
}
END_TEST

/* An engine with `places`: with more in flight each waits in its queue. */
static uint32_t settle(uint32_t places, uint32_t offered)
{
	struct opaque opaque;
	opaque_init(&opaque, 0);
	for (int i = 0; i < 12; i++)
		opaque_first_token(&opaque, 200, 0, 1, 60 * NS_PER_MS);
	for (int i = 0; i < 20000; i++) {
		uint32_t in_flight = opaque_limit(&opaque) < offered ? opaque_limit(&opaque) : offered;
		uint32_t over = in_flight > places ? in_flight - places : 0;
		opaque_first_token(&opaque, 200, 0, in_flight, (60 + 10 * (int64_t)over) * NS_PER_MS);
	}
	return opaque_limit(&opaque);
}

START_TEST(the_limit_finds_the_places)
{
	ck_assert_uint_ge(settle(100, 1000), 80);
	ck_assert_uint_le(settle(100, 1000), 140);
	ck_assert_uint_le(settle(16, 1000), 40);
	/* What is not tried is not learned: it does not run away while nobody asks. */
	ck_assert_uint_le(settle(1000, 8), 40);
	ck_assert_uint_gt(settle(2000, 2000), 500);
}
END_TEST

START_TEST(refusals_lower_it_at_once)
{
	struct opaque opaque;
	opaque_init(&opaque, 0);
	uint32_t before = opaque_limit(&opaque);
	for (int i = 0; i < 5; i++)
		opaque_refused(&opaque, 10);
	ck_assert_uint_lt(opaque_limit(&opaque), before);
	ck_assert_uint_le(opaque_limit(&opaque), 9);
	for (int i = 0; i < 100; i++)
		opaque_refused(&opaque, 1);
	ck_assert_uint_ge(opaque_limit(&opaque), 1);
}
END_TEST

START_TEST(what_the_operator_knows_stays)
{
	struct opaque opaque;
	opaque_init(&opaque, 7);
	for (int i = 0; i < 100; i++) {
		opaque_refused(&opaque, 1);
		opaque_first_token(&opaque, 10, 0, 7, NS_PER_S);
	}
	ck_assert_uint_eq(opaque_limit(&opaque), 7);
}
END_TEST

START_TEST(token_gaps)
{
	struct opaque opaque;
	opaque_init(&opaque, 0);
	opaque_tokens(&opaque, 0, NS_PER_S);
	opaque_tokens(&opaque, 10, 0);
	for (int i = 0; i < 100; i++)
		opaque_tokens(&opaque, 50, NS_PER_S);
	ck_assert_int_eq(opaque_rates(&opaque).fixed_ns, 20 * NS_PER_MS);
}
END_TEST

START_TEST(an_upstream_that_answers_at_once_is_believed)
{
	struct opaque opaque;
	opaque_init(&opaque, 0);
	for (int i = 0; i < 200; i++) {
		int64_t took_ns = i == 0 ? 1230 * NS_PER_US : (200 + i * 37 % 100) * NS_PER_US;
		/* Its first estimate of the prompt was a token too long. */
		opaque_first_token(&opaque, i == 0 ? 9 : 8, 0, 1, took_ns);
		const struct predict_rates rates = opaque_rates(&opaque);
		/* 50 ms is the guess; from the third answer on it is known better. */
		ck_assert_int_le(predict_prefill_ns(&rates, 9, 0), i < 2 ? 60 * NS_PER_MS : 2 * NS_PER_MS);
	}
}
END_TEST

UNIT_MAIN("policy/opaque", an_upstream_that_answers_at_once_is_believed, learns_first_tokens_by_the_work,
          an_engine_without_a_queue_has_none_in_front, follows_an_engine_that_becomes_slow, the_limit_finds_the_places,
          refusals_lower_it_at_once, what_the_operator_knows_stays, token_gaps)
