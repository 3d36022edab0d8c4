/* Learning what a step costs: from noise, through outliers, and under loads that show little. */
#include "policy/step_model.h"

#include <math.h>

#include "base/random.h"
#include "unit.h"

/* ns: fixed, per stream, per stream beside a prompt, per context cell. */
static const double truth[STEP_TERMS] = { 12e6, 3.5e6, 2.5e6, 900 };

static double true_ns(const struct step_size *size, double slower)
{
	return slower *
	       (truth[0] + truth[1] * size->tokens + truth[2] * size->beside + truth[3] * (double)size->context_cells);
}

static struct step_size random_size(struct random *random)
{
	struct step_size size = { .tokens = 1 + (uint32_t)random_below(random, 16) };
	if (random_below(random, 3) == 0)
		size.beside = 1 + (uint32_t)random_below(random, size.tokens);
	size.context_cells = size.tokens * (uint32_t)random_below(random, 800);
	return size;
}

/* Observes `steps` random steps with this share of noise, each `outlier_every`th 50 times as long (0 = none). */
static void learn(struct step_model *model, struct random *random, int steps, double noise, double slower,
                  int outlier_every)
{
	for (int i = 1; i <= steps; i++) {
		struct step_size size = random_size(random);
		double took = true_ns(&size, slower) * (1 + noise * (2 * random_unit(random) - 1));
		if (outlier_every && i % outlier_every == 0)
			took *= 50;
		step_model_observe(model, &size, (int64_t)took);
	}
}

/* The largest relative error of predictions over random steps. */
static double worst_error(const struct step_model *model, struct random *random, double slower)
{
	double worst = 0;
	for (int i = 0; i < 500; i++) {
		struct step_size size = random_size(random);
		double wanted = true_ns(&size, slower);
		double error = fabs((double)step_model_predict_ns(model, &size) - wanted) / wanted;
		worst = error > worst ? error : worst;
	}
	return worst;
}

START_TEST(it_starts_from_the_guess)
{
	struct step_model model;
	step_model_init(&model, STEP_STREAMS);
	ck_assert_int_eq(step_model_predict_ns(&model, &(struct step_size){ 0 }), 5000000);
	ck_assert_int_eq(step_model_predict_ns(&model, &(struct step_size){ 10, 2, 1000 }),
	                 5000000 + 10 * 4000000 + 2 * 2000000 + 1000 * 4000);
	/* A prompt's token is half of a stream's. */
	step_model_init(&model, STEP_PROMPTS);
	ck_assert_int_eq(step_model_predict_ns(&model, &(struct step_size){ 10, 2, 1000 }),
	                 20000000 + 10 * 2000000 + 2 * 1000000 + 1000 * 1000);
}
END_TEST

START_TEST(it_converges_under_noise)
{
	struct step_model model;
	struct random random;
	random_seed(&random, 1);
	step_model_init(&model, STEP_STREAMS);
	learn(&model, &random, 60, 0.1, 1, 0);
	ck_assert_double_lt(worst_error(&model, &random, 1), 0.25);
	learn(&model, &random, 2000, 0.1, 1, 0);
	ck_assert_double_lt(worst_error(&model, &random, 1), 0.08);
	for (int i = 0; i < STEP_TERMS; i++)
		ck_assert_double_lt(fabs(model.terms[i] - truth[i]) / truth[i], 0.15);
}
END_TEST

/* One stream after the other, alone: two terms always move together. What is predicted is still what was seen. */
START_TEST(what_moves_together_stays_sound)
{
	struct step_model model;
	struct random random;
	random_seed(&random, 7);
	step_model_init(&model, STEP_STREAMS);
	for (uint32_t i = 0; i < 5000; i++) {
		const struct step_size one = { 1, 0, i % 1000 };
		step_model_observe(&model, &one,
		                   (int64_t)(6e6 + 2500.0 * (i % 1000)) + (int64_t)random_below(&random, 1000000));
		double terms[STEP_TERMS];
		step_model_terms(&model, terms);
		for (int term = 0; term < STEP_TERMS; term++)
			ck_assert_double_ge(terms[term], 0);
	}
	double error = (double)step_model_predict_ns(&model, &(struct step_size){ 1, 0, 500 }) / 7.75e6;
	ck_assert_double_ge(error, 0.9);
	ck_assert_double_le(error, 1.1);
}
END_TEST

START_TEST(outliers_do_not_bend_it)
{
	struct step_model model;
	struct random random;
	random_seed(&random, 2);
	step_model_init(&model, STEP_STREAMS);
	learn(&model, &random, 1000, 0.1, 1, 0);
	learn(&model, &random, 5000, 0.1, 1, 20);
	ck_assert_double_lt(worst_error(&model, &random, 1), 0.08);
}
END_TEST

START_TEST(an_engine_that_became_slow_is_believed)
{
	struct step_model model;
	struct random random;
	random_seed(&random, 3);
	step_model_init(&model, STEP_STREAMS);
	learn(&model, &random, 1000, 0.05, 1, 0);
	learn(&model, &random, 1500, 0.05, 10, 0);
	ck_assert_double_lt(worst_error(&model, &random, 10), 0.15);
	learn(&model, &random, 3000, 0.05, 1, 0);
	ck_assert_double_lt(worst_error(&model, &random, 1), 0.15);
}
END_TEST

static void all_is_finite(const struct step_model *model)
{
	for (int i = 0; i < STEP_TERMS; i++) {
		ck_assert(isfinite(model->terms[i]));
		ck_assert_double_ge(model->covariance[i][i], 0);
		for (int j = 0; j < STEP_TERMS; j++) {
			ck_assert(isfinite(model->covariance[i][j]));
			double bound = sqrt(model->covariance[i][i] * model->covariance[j][j]);
			ck_assert_double_le(fabs(model->covariance[i][j]), bound * 1.01 + 1e-6);
		}
	}
}

START_TEST(constant_load_for_a_million_steps_is_survived)
{
	struct step_model model;
	struct random random;
	random_seed(&random, 4);
	step_model_init(&model, STEP_STREAMS);
	learn(&model, &random, 1000, 0.05, 1, 0);
	const struct step_size same = { 8, 0, 4000 };
	for (int i = 0; i < 1000000; i++) {
		step_model_observe(&model, &same, (int64_t)(true_ns(&same, 1) * (1 + 0.1 * (2 * random_unit(&random) - 1))));
		if (i % 10000 == 0)
			all_is_finite(&model);
	}
	all_is_finite(&model);
	double wanted = true_ns(&same, 1);
	ck_assert_double_lt(fabs((double)step_model_predict_ns(&model, &same) - wanted) / wanted, 0.05);
	/* What the load did not show was not forgotten for good: a varied load teaches it within its memory. */
	learn(&model, &random, 500, 0.05, 1, 0);
	ck_assert_double_lt(worst_error(&model, &random, 1), 0.1);
}
END_TEST

START_TEST(odd_input_stays_finite)
{
	struct step_model model;
	step_model_init(&model, STEP_STREAMS);
	const struct step_size sizes[] = {
		{ 0, 0, 0 }, { UINT32_MAX, UINT32_MAX, UINT32_MAX }, { 1, 0, 0 }, { 0, 1, UINT32_MAX }
	};
	const int64_t durations[] = { 1, INT64_MAX, 1000, 0 };
	for (int i = 0; i < 4000; i++) {
		step_model_observe(&model, &sizes[i % 4], durations[i / 4 % 4]);
		all_is_finite(&model);
		ck_assert_int_ge(step_model_predict_ns(&model, &sizes[i % 4]), 1);
	}
}
END_TEST

UNIT_MAIN("policy/step_model", it_starts_from_the_guess, it_converges_under_noise, what_moves_together_stays_sound,
          outliers_do_not_bend_it, an_engine_that_became_slow_is_believed,
          constant_load_for_a_million_steps_is_survived, odd_input_stays_finite)
