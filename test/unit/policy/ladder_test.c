/* The ladder's times, one second a step: how soon it rises and sinks, how long it keeps a rung, when it is latched. */
#include "policy/ladder.h"

#include "base/clock.h"
#include "unit.h"

#define RUNGS 3

struct climb {
	struct ladder ladder;
	int64_t second;
};

/* That many seconds of one pressure; returns the moves up less those down. */
static int hold(struct climb *climb, int64_t seconds, double pressure)
{
	int moved = 0;
	for (int64_t i = 0; i < seconds; i++)
		moved += ladder_step(&climb->ladder, RUNGS, ++climb->second * NS_PER_S, pressure);
	return moved;
}

START_TEST(it_rises_after_three_seconds_and_then_every_fifteen)
{
	struct climb climb = { .second = 100 };
	ck_assert_int_eq(hold(&climb, 3, 1.01), 0);
	ck_assert_int_eq(hold(&climb, 1, 1.01), 1);
	ck_assert_int_eq(hold(&climb, 14, 5), 0);
	ck_assert_int_eq(hold(&climb, 1, 5), 1);
	ck_assert_int_eq(hold(&climb, 15, 5), 1);
	ck_assert_uint_eq(climb.ladder.rung, RUNGS);
	ck_assert_int_eq(hold(&climb, 100, 5), 0);
}
END_TEST

START_TEST(a_moment_over_does_not_count)
{
	struct climb climb = { 0 };
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(hold(&climb, 3, 2), 0);
		ck_assert_int_eq(hold(&climb, 1, 1), 0);
	}
}
END_TEST

START_TEST(it_sinks_after_thirty_seconds_below)
{
	struct climb climb = { 0 };
	hold(&climb, 4, 2);
	ck_assert_uint_eq(climb.ladder.rung, 1);
	/* Between the two bounds it stays. */
	ck_assert_int_eq(hold(&climb, 200, 0.6), 0);
	ck_assert_int_eq(hold(&climb, 30, 0.59), 0);
	ck_assert_int_eq(hold(&climb, 1, 0.59), -1);
	ck_assert_int_eq(hold(&climb, 100, 0), 0);
	ck_assert_uint_eq(climb.ladder.rung, 0);
}
END_TEST

START_TEST(a_seventh_move_in_ten_minutes_latches_it_up)
{
	struct climb climb = { 0 };
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(hold(&climb, 20, 2), i == 0 ? 2 : 1);
		ck_assert_int_eq(hold(&climb, 32, 0.1), -1);
	}
	ck_assert_int_eq(hold(&climb, 20, 2), 1);
	ck_assert_uint_eq(climb.ladder.move_count, 6);
	ck_assert_uint_eq(climb.ladder.rung, 2);
	ck_assert(!ladder_is_latched(&climb.ladder, climb.second * NS_PER_S));
	ck_assert_int_eq(hold(&climb, 32, 0.1), 0);
	ck_assert(ladder_is_latched(&climb.ladder, climb.second * NS_PER_S));
	ck_assert_int_eq(hold(&climb, 500, 0.1), 0);
	/* It still goes up. */
	ck_assert_int_eq(hold(&climb, 5, 2), 1);
	ck_assert_uint_eq(climb.ladder.rung, RUNGS);
	/* And when that is long ago, down to the ground. */
	ck_assert_int_eq(hold(&climb, 1300, 0.1), -RUNGS);
	ck_assert(!ladder_is_latched(&climb.ladder, climb.second * NS_PER_S));
}
END_TEST

UNIT_MAIN("policy/ladder", it_rises_after_three_seconds_and_then_every_fifteen, a_moment_over_does_not_count,
          it_sinks_after_thirty_seconds_below, a_seventh_move_in_ten_minutes_latches_it_up)
