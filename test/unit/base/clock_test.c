/* The clocks run forward, and the wall clock is in this century. */
#include "base/clock.h"

#include "unit.h"

START_TEST(the_monotonic_clock_never_goes_back)
{
	int64_t last_ns = clock_now_ns();
	ck_assert_int_gt(last_ns, 0);
	for (int i = 0; i < 10000; i++) {
		const int64_t now_ns = clock_now_ns();
		ck_assert_int_ge(now_ns, last_ns);
		last_ns = now_ns;
	}
	ck_assert_int_lt(last_ns, NS_NEVER);
}
END_TEST

START_TEST(the_wall_clock_is_in_nanoseconds)
{
	const int64_t year_ns = 365 * 86400 * NS_PER_S;
	ck_assert_int_gt(clock_wall_ns(), 50 * year_ns);
	ck_assert_int_lt(clock_wall_ns(), 130 * year_ns);
	ck_assert_int_eq(NS_PER_S, 1000 * NS_PER_MS);
	ck_assert_int_eq(NS_PER_MS, 1000 * NS_PER_US);
}
END_TEST

UNIT_MAIN("base/clock", the_monotonic_clock_never_goes_back, the_wall_clock_is_in_nanoseconds)
