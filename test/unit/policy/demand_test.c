/* How many replicas are wanted: as many as the work that comes needs, one horizon ahead; down late. */
#include "policy/demand.h"

#include "base/clock.h"
#include "unit.h"

static const struct demand_bounds bounds = { 1, 8, 0, 0.8 };

/* Seconds of so many replicas' work. */
static void work(struct demand *demand, int64_t *now_ns, int seconds, double busy)
{
	for (int i = 0; i < seconds; i++) {
		*now_ns += NS_PER_S;
		demand_add(demand, *now_ns, (int64_t)(busy * NS_PER_S));
	}
}

START_TEST(steady_work_is_rounded_up_with_room)
{
	struct demand demand = { 0 };
	int64_t now_ns = 1000 * NS_PER_S;
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, 30 * NS_PER_S, 0, 1, &bounds), 1);
	work(&demand, &now_ns, 600, 2.0);
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, 30 * NS_PER_S, 0, 1, &bounds), 3);
	work(&demand, &now_ns, 600, 2.6);
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, 30 * NS_PER_S, 0, 3, &bounds), 4);
	const struct demand_bounds with_spare = { 1, 8, 2, 0.8 };
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, 30 * NS_PER_S, 0, 3, &with_spare), 6);
	work(&demand, &now_ns, 600, 50);
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, 30 * NS_PER_S, 0, 3, &bounds), 8);
}
END_TEST

START_TEST(a_longer_cold_start_looks_further_ahead)
{
	struct demand near = { 0 };
	int64_t now_ns = 0;
	for (int i = 0; i < 30; i++)
		work(&near, &now_ns, 10, 0.5 + 0.1 * i);
	struct demand far = near;
	uint32_t soon = demand_wanted(&near, now_ns, 10 * NS_PER_S, 0, 3, &bounds);
	uint32_t late = demand_wanted(&far, now_ns, 120 * NS_PER_S, 0, 3, &bounds);
	ck_assert_uint_ge(late, soon + 1);
	/* 3.4 now, a tenth more each ten seconds: 4.6 in two minutes, at 80 %. */
	ck_assert_uint_ge(late, 5);
	ck_assert_uint_le(late, 7);
}
END_TEST

START_TEST(pressure_asks_for_one_more)
{
	struct demand demand = { 0 };
	ck_assert_uint_eq(demand_wanted(&demand, NS_PER_S, NS_PER_S, 1.5, 2, &bounds), 3);
	ck_assert_uint_eq(demand_wanted(&demand, NS_PER_S, NS_PER_S, 1.5, 8, &bounds), 8);
}
END_TEST

START_TEST(it_comes_down_after_five_minutes)
{
	struct demand demand = { 0 };
	int64_t now_ns = 0;
	work(&demand, &now_ns, 300, 4);
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, NS_PER_S, 0, 5, &bounds), 5);
	work(&demand, &now_ns, 240, 0.1);
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, NS_PER_S, 0, 5, &bounds), 5);
	for (int i = 0; i < 30; i++) {
		work(&demand, &now_ns, 10, 0.1);
		demand_wanted(&demand, now_ns, NS_PER_S, 0, 5, &bounds);
	}
	ck_assert_uint_eq(demand_wanted(&demand, now_ns, NS_PER_S, 0, 5, &bounds), 1);
	/* After a day without anybody nothing is left of it. */
	work(&demand, &now_ns, 300, 4);
	ck_assert_uint_eq(demand_wanted(&demand, now_ns + 86400 * NS_PER_S, NS_PER_S, 0, 5, &bounds), 1);
}
END_TEST

START_TEST(cold_starts_are_kept_as_a_distribution)
{
	struct demand demand = { 0 };
	ck_assert_int_eq(demand_start_p95_ns(&demand, 7), 7);
	demand_note_start(&demand, 100);
	ck_assert_int_eq(demand_start_p95_ns(&demand, 7), 100);
	for (int i = 1; i <= 31; i++)
		demand_note_start(&demand, i);
	/* Of 32, the 31st. */
	ck_assert_int_eq(demand_start_p95_ns(&demand, 7), 31);
	for (int i = 0; i < 32; i++)
		demand_note_start(&demand, 5);
	ck_assert_int_eq(demand_start_p95_ns(&demand, 7), 5);
}
END_TEST

UNIT_MAIN("policy/demand", steady_work_is_rounded_up_with_room, a_longer_cold_start_looks_further_ahead,
          pressure_asks_for_one_more, it_comes_down_after_five_minutes, cold_starts_are_kept_as_a_distribution)
