/* A followed quantile: where it rests, how fast it gets there, and that odd samples don't throw it. */
#include "policy/quantile.h"

#include <math.h>

#include "base/random.h"
#include "unit.h"

START_TEST(it_rests_where_the_share_lies_below)
{
	struct random random;
	random_seed(&random, 6);
	const double shares[] = { 0.5, 0.9, 0.95 };
	for (int s = 0; s < 3; s++) {
		struct quantile quantile = { 0 };
		int below = 0;
		for (int i = 0; i < 22000; i++) {
			/* Lengths as answers have them: an exponential of 200. */
			double sample = -200 * log(1 - random_unit(&random));
			if (i >= 2000)
				below += sample < quantile.value;
			quantile_add(&quantile, shares[s], sample);
		}
		ck_assert_double_eq_tol(below / 20000.0, shares[s], 0.03);
	}
}
END_TEST

START_TEST(it_follows_and_keeps_its_head)
{
	struct quantile quantile = { 0 };
	quantile_add(&quantile, 0.9, 0);
	ck_assert_double_eq(quantile.value, 1);
	for (int i = 0; i < 100; i++)
		quantile_add(&quantile, 0.9, 500);
	ck_assert_double_ge(quantile.value, 490);
	ck_assert_double_le(quantile.value, 560);
	/* One of a million tokens moves it by a tenth at most. */
	double before = quantile.value;
	quantile_add(&quantile, 0.9, 1e6);
	ck_assert_double_le(quantile.value, before * 1.1);
}
END_TEST

UNIT_MAIN("policy/quantile", it_rests_where_the_share_lies_below, it_follows_and_keeps_its_head)
