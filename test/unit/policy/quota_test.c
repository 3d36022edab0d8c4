/* Rates: a minute's worth at once, then as fast as allowed; the wait that is told is exact. */
#include "policy/quota.h"

#include "base/clock.h"
#include "base/random.h"
#include "unit.h"

START_TEST(a_minute_at_once_then_one_by_one)
{
	struct quota quota = { 0 };
	int64_t now_ns = 1000 * NS_PER_S;
	for (int i = 0; i < 60; i++) {
		ck_assert_int_eq(quota_wait_ns(&quota, now_ns, 1, 60), 0);
		quota_use(&quota, now_ns, 1, 60);
	}
	ck_assert_int_eq(quota_wait_ns(&quota, now_ns, 1, 60), NS_PER_S);
	ck_assert_int_eq(quota_wait_ns(&quota, now_ns + NS_PER_S - 1, 1, 60), 1);
	ck_assert_int_eq(quota_wait_ns(&quota, now_ns + NS_PER_S, 1, 60), 0);
	/* After a minute of nothing it is as at first. */
	ck_assert_int_eq(quota_wait_ns(&quota, now_ns + 60 * NS_PER_S, 60, 60), 0);
}
END_TEST

START_TEST(whoever_waits_as_told_gets_in_and_never_more_than_allowed)
{
	struct quota quota = { 0 };
	struct random random;
	random_seed(&random, 4);
	int64_t now_ns = 0;
	uint64_t used = 0;
	for (int i = 0; i < 10000; i++) {
		uint64_t amount = 1 + random_below(&random, 900);
		int64_t wait_ns = quota_wait_ns(&quota, now_ns, amount, 6000);
		if (wait_ns > 1)
			ck_assert_int_gt(quota_wait_ns(&quota, now_ns + wait_ns - 2, amount, 6000), 0);
		now_ns += wait_ns;
		ck_assert_int_eq(quota_wait_ns(&quota, now_ns, amount, 6000), 0);
		quota_use(&quota, now_ns, amount, 6000);
		used += amount;
		/* What flowed in, and a minute's worth. */
		ck_assert_uint_le(used, 6000 + (uint64_t)(now_ns / (NS_PER_S / 100)) + 10000);
	}
	ck_assert_uint_ge(used, (uint64_t)(now_ns / (NS_PER_S / 100)));
}
END_TEST

START_TEST(estimates_are_corrected)
{
	struct quota quota = { 0 };
	quota_use(&quota, 0, 1000, 1000);
	ck_assert_int_eq(quota_wait_ns(&quota, 0, 500, 1000), 30 * NS_PER_S);
	quota_correct(&quota, -400, 1000);
	ck_assert_int_eq(quota_wait_ns(&quota, 0, 500, 1000), 6 * NS_PER_S);
	quota_correct(&quota, 400, 1000);
	ck_assert_int_eq(quota_wait_ns(&quota, 0, 500, 1000), 30 * NS_PER_S);
}
END_TEST

START_TEST(no_bound_and_too_much)
{
	struct quota quota = { 0 };
	quota_use(&quota, 0, UINT64_MAX, 0);
	ck_assert_int_eq(quota_wait_ns(&quota, 0, UINT64_MAX, 0), 0);
	/* More than a minute holds goes when nothing is used, and is paid for afterwards. */
	ck_assert_int_eq(quota_wait_ns(&quota, 0, 5000, 1000), 0);
	quota_use(&quota, 0, 5000, 1000);
	ck_assert_int_eq(quota_wait_ns(&quota, 0, 1000, 1000), 300 * NS_PER_S);
	quota_use(&quota, 0, UINT64_MAX, 1);
	ck_assert_int_le(quota_wait_ns(&quota, 0, 1, 1), 4000 * NS_PER_S);
}
END_TEST

UNIT_MAIN("policy/quota", a_minute_at_once_then_one_by_one, whoever_waits_as_told_gets_in_and_never_more_than_allowed,
          estimates_are_corrected, no_bound_and_too_much)
