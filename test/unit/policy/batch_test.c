/* What a prompt step contains, and how much of the time prompts get beside streams; a burst of real sizes in virtual time. */
#include "policy/batch.h"

#include "unit.h"

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"

#define MS NS_PER_MS

/* 10 ms a step and 1 ms a token. */
static struct step_model plain_model(void)
{
	struct step_model model;
	step_model_init(&model, STEP_PROMPTS);
	memcpy(model.terms, (const double[STEP_TERMS]){ 10e6, 1e6, 0, 0 }, sizeof(model.terms));
	return model;
}

static struct batch_prompt prompt_of(uint32_t left, int64_t arrived_ns, uint64_t arrival)
{
	return (struct batch_prompt){ .left = left, .arrived_ns = arrived_ns, .deadline_ns = NS_NEVER, .arrival = arrival };
}

START_TEST(a_long_prompt_takes_whole_steps)
{
	const struct step_model model = plain_model();
	struct batch_prompt prompts[] = { prompt_of(1000, 0, 1) };
	struct step_size size = batch_plan(prompts, 1, 128, &model);
	ck_assert_uint_eq(prompts[0].tokens, 128);
	ck_assert_uint_eq(size.tokens, 128);
	ck_assert_uint_eq(size.context_cells, 128 * 128 / 2);
	prompts[0].left = 100;
	prompts[0].context_tokens = 900;
	size = batch_plan(prompts, 1, 128, &model);
	ck_assert_uint_eq(prompts[0].tokens, 100);
	ck_assert_uint_eq(size.context_cells, 100 * 900 + 100 * 100 / 2);
	ck_assert_uint_eq(batch_plan(prompts, 0, 128, &model).tokens, 0);
}
END_TEST

START_TEST(a_short_prompt_passes_a_long_one)
{
	const struct step_model model = plain_model();
	/* The long one has 610 ms before it: others may pass until it is 2.44 s old. */
	struct batch_prompt prompts[] = { prompt_of(600, 0, 1), prompt_of(20, 2300 * MS, 2) };
	struct step_size size = batch_plan(prompts, 2, 128, &model);
	ck_assert_uint_eq(prompts[1].tokens, 20);
	ck_assert_uint_gt(prompts[0].tokens, 0);
	ck_assert_uint_le(size.tokens, 128);
	/* One that comes later still does not. */
	prompts[1] = prompt_of(20, 2400 * MS, 2);
	batch_plan(prompts, 2, 128, &model);
	ck_assert_uint_eq(prompts[0].tokens, 128);
	ck_assert_uint_eq(prompts[1].tokens, 0);
}
END_TEST

START_TEST(short_ones_do_not_wait_for_a_full_step)
{
	const struct step_model model = plain_model();
	struct batch_prompt prompts[] = { prompt_of(600, 0, 1), prompt_of(40, 0, 2), prompt_of(40, 0, 3),
		                              prompt_of(20, 0, 4) };
	batch_plan(prompts, 4, 128, &model);
	ck_assert_uint_eq(prompts[3].tokens, 20);
	ck_assert_uint_eq(prompts[1].tokens, 40);
	ck_assert_uint_eq(prompts[2].tokens, 40);
	/* They are wide enough together: what is added would only make them wait. */
	ck_assert_uint_eq(prompts[0].tokens, 0);
	/* One alone is not: below BATCH_WIDE a step costs nearly the same. */
	batch_plan(prompts, 2, 128, &model);
	ck_assert_uint_eq(prompts[1].tokens, 40);
	ck_assert_uint_eq(prompts[0].tokens, BATCH_WIDE - 40);
}
END_TEST

START_TEST(deadlines_pull_forward)
{
	const struct step_model model = plain_model();
	struct batch_prompt prompts[] = { prompt_of(300, 0, 1), prompt_of(500, 0, 2) };
	batch_plan(prompts, 2, 128, &model);
	ck_assert_uint_eq(prompts[0].tokens, 128);
	/* The last moment to begin is 1,000 - 510 ms, before the 1,240 ms of the other's fair turn. */
	prompts[1].deadline_ns = 1000 * MS;
	batch_plan(prompts, 2, 128, &model);
	ck_assert_uint_eq(prompts[1].tokens, 128);
	ck_assert_uint_eq(prompts[0].tokens, 0);
}
END_TEST

START_TEST(ties_go_by_arrival)
{
	const struct step_model model = plain_model();
	struct batch_prompt prompts[] = { prompt_of(100, 5, 9), prompt_of(100, 5, 3) };
	batch_plan(prompts, 2, 64, &model);
	ck_assert_uint_eq(prompts[1].tokens, 64);
	ck_assert_uint_eq(prompts[0].tokens, 0);
}
END_TEST

START_TEST(late_is_known_before_the_first_token)
{
	struct step_model model = plain_model();
	struct batch_prompt prompt = prompt_of(500, 0, 1);
	prompt.deadline_ns = 600 * MS;
	/* A guess turns nobody away. */
	ck_assert(batch_is_in_time(&prompt, 500 * MS, &model));
	model.observed = 100;
	ck_assert(batch_is_in_time(&prompt, 90 * MS, &model));
	ck_assert(!batch_is_in_time(&prompt, 91 * MS, &model));
	prompt.deadline_ns = NS_NEVER;
	ck_assert(batch_is_in_time(&prompt, INT64_MAX / 2, &model));
}
END_TEST

/* Gaps are `alone` without prompts and grow by what prompts get of the time: one core for both. */
static double settled_share(int64_t alone_ns, int64_t bound_ns)
{
	struct batch_share share;
	batch_share_init(&share);
	double sum = 0;
	for (int i = 0; i < 3000; i++) {
		int64_t gap_ns = (int64_t)((double)alone_ns * (1 + share.share));
		batch_share_observe(&share, gap_ns, bound_ns);
		sum += i >= 2000 ? share.share : 0;
	}
	return sum / 1000;
}

START_TEST(the_share_keeps_the_gap)
{
	ck_assert_double_eq(settled_share(50 * MS, 250 * MS), 1);
	double share = settled_share(50 * MS, 75 * MS);
	ck_assert_double_ge(share, 0.05);
	ck_assert_double_le(share, 0.5); /* 50 * 1.5 = 75 */
	/* Not to be kept: prompts go on all the same. */
	ck_assert_double_eq_tol(settled_share(100 * MS, 50 * MS), BATCH_SHARE_MIN, 1e-9);
}
END_TEST

/* Whatever comes: a plan takes no more than there is, never an empty step, and the first in order always moves. */
START_TEST(plans_of_any_load_are_sound)
{
	struct step_model model = plain_model();
	struct random random;
	random_seed(&random, 11);
	for (int round = 0; round < 2000; round++) {
		struct batch_prompt prompts[40];
		uint32_t count = 1 + (uint32_t)random_below(&random, COUNT_OF(prompts));
		uint32_t most = 1 + (uint32_t)random_below(&random, 600);
		for (uint32_t i = 0; i < count; i++) {
			prompts[i] =
				prompt_of(1 + (uint32_t)random_below(&random, 3000), (int64_t)random_below(&random, 1000) * MS, i);
			prompts[i].context_tokens = (uint32_t)random_below(&random, 3000);
			if (random_below(&random, 2))
				prompts[i].deadline_ns = (int64_t)random_below(&random, 9000) * MS;
		}
		struct step_size size = batch_plan(prompts, count, most, &model);
		uint32_t sum = 0;
		uint32_t cut = 0;
		for (uint32_t i = 0; i < count; i++) {
			ck_assert_uint_le(prompts[i].tokens, prompts[i].left);
			sum += prompts[i].tokens;
			cut += prompts[i].tokens && prompts[i].tokens < prompts[i].left;
		}
		ck_assert_uint_eq(sum, size.tokens);
		ck_assert_uint_gt(sum, 0);
		ck_assert_uint_le(sum, most);
		ck_assert_uint_le(cut, 1);
	}
}
END_TEST

struct queue_run {
	int64_t short_worst_ns; /* until the first token */
	int64_t long_worst_ns;
	int64_t end_ns;
};

/* Long prompts beside a stream of short ones that alone keeps the lane half busy, for a virtual hour; 4 ms a token behind 1,500 others. */
static struct queue_run run_mixed(int64_t until_ns)
{
	struct step_model model;
	step_model_init(&model, STEP_PROMPTS);
	memcpy(model.terms, (const double[STEP_TERMS]){ 15e6, 2e6, 0, 1.3e3 }, sizeof(model.terms));
	struct batch_prompt prompts[256];
	bool is_long[256];
	uint32_t count = 0;
	uint64_t arrivals = 0;
	int64_t now_ns = 0, next_short_ns = 0, next_long_ns = 0;
	struct queue_run run = { 0 };
	while (now_ns < until_ns || count) {
		while (now_ns < until_ns && (next_short_ns <= now_ns || next_long_ns <= now_ns) && count < COUNT_OF(prompts)) {
			is_long[count] = next_long_ns <= now_ns;
			int64_t *next_ns = is_long[count] ? &next_long_ns : &next_short_ns;
			prompts[count] = prompt_of(is_long[count] ? 2000 : 40, *next_ns, ++arrivals);
			*next_ns += is_long[count] ? 30 * NS_PER_S : 200 * MS;
			count++;
		}
		if (count == 0) {
			now_ns = min_ll(next_short_ns, next_long_ns);
			continue;
		}
		struct step_size size = batch_plan(prompts, count, 128, &model);
		now_ns += step_model_predict_ns(&model, &size);
		for (uint32_t i = count; i-- > 0;) {
			prompts[i].left -= prompts[i].tokens;
			prompts[i].context_tokens += prompts[i].tokens;
			if (prompts[i].left)
				continue;
			int64_t *worst_ns = is_long[i] ? &run.long_worst_ns : &run.short_worst_ns;
			*worst_ns = max_ll(*worst_ns, now_ns - prompts[i].arrived_ns);
			count--;
			prompts[i] = prompts[count];
			is_long[i] = is_long[count];
		}
	}
	run.end_ns = now_ns;
	return run;
}

START_TEST(nobody_waits_for_somebody_elses_prompt)
{
	struct queue_run run = run_mixed(3600 * NS_PER_S);
	/* A short one waits for the step that runs and its own, not for a prompt of 7.2 s; only where the long one has let others pass for long enough it
	 * waits for the few steps that are left of it. */
	ck_assert_int_lt(run.short_worst_ns, 3000 * MS);
	ck_assert_int_lt(run.long_worst_ns, 30 * NS_PER_S);
	ck_assert_int_lt(run.end_ns, 3630 * NS_PER_S);
}
END_TEST

UNIT_MAIN("policy/batch", a_long_prompt_takes_whole_steps, a_short_prompt_passes_a_long_one,
          short_ones_do_not_wait_for_a_full_step, deadlines_pull_forward, ties_go_by_arrival,
          late_is_known_before_the_first_token, the_share_keeps_the_gap, plans_of_any_load_are_sound,
          nobody_waits_for_somebody_elses_prompt)
