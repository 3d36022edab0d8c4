/* The circuit breaker and the pauses of a replica, second by second. */
#include "policy/health.h"

#include "base/clock.h"
#include "unit.h"

static void break_off(struct health *health, int64_t now_ns, int times)
{
	for (int i = 0; i < times; i++)
		health_failed(health, now_ns, FAILURE_SERVER, 0, 0);
}

START_TEST(opens_after_five_that_are_half)
{
	struct health health = { 0 };
	int64_t now_ns = 100 * NS_PER_S;
	break_off(&health, now_ns, 4);
	ck_assert(health_admits(&health, now_ns));
	break_off(&health, now_ns, 1);
	ck_assert_int_eq(health.state, HEALTH_OPEN);
	ck_assert(!health_admits(&health, now_ns));
	ck_assert_int_eq(health_ready_ns(&health, now_ns), now_ns + 5 * NS_PER_S);
	/* Five among ten that went well are no reason. */
	struct health mixed = { 0 };
	for (int i = 0; i < 6; i++)
		health_succeeded(&mixed, now_ns);
	break_off(&mixed, now_ns, 5);
	ck_assert(health_admits(&mixed, now_ns));
	break_off(&mixed, now_ns, 1);
	ck_assert(!health_admits(&mixed, now_ns));
}
END_TEST

START_TEST(forgets_after_ten_seconds)
{
	struct health health = { 0 };
	int64_t now_ns = 100 * NS_PER_S;
	break_off(&health, now_ns, 4);
	ck_assert_uint_eq(health_recent_failures(&health, now_ns + 9 * NS_PER_S), 4);
	ck_assert_uint_eq(health_recent_failures(&health, now_ns + 10 * NS_PER_S), 0);
	break_off(&health, now_ns + 10 * NS_PER_S, 4);
	ck_assert(health_admits(&health, now_ns + 10 * NS_PER_S));
}
END_TEST

START_TEST(one_probe_at_a_time_each_later_than_the_last)
{
	struct health health = { 0 };
	int64_t now_ns = 100 * NS_PER_S;
	static const int waits_s[] = { 5, 10, 20, 20 };
	break_off(&health, now_ns, 5);
	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		ck_assert(!health_admits(&health, now_ns + waits_s[i] * NS_PER_S - 1));
		now_ns += waits_s[i] * NS_PER_S;
		ck_assert(health_admits(&health, now_ns));
		health_dispatched(&health, now_ns);
		ck_assert_msg(!health_admits(&health, now_ns), "a second probe");
		break_off(&health, now_ns, 1);
	}
	/* A probe whose client leaves tells nothing: the next may go. */
	now_ns += 20 * NS_PER_S;
	health_dispatched(&health, now_ns);
	health_untold(&health);
	ck_assert(health_admits(&health, now_ns));
	health_dispatched(&health, now_ns);
	health_succeeded(&health, now_ns);
	ck_assert_int_eq(health.state, HEALTH_CLOSED);
	ck_assert(health_admits(&health, now_ns));
	/* And it begins anew. */
	break_off(&health, now_ns, 5);
	ck_assert_int_eq(health_ready_ns(&health, now_ns), now_ns + 5 * NS_PER_S);
}
END_TEST

START_TEST(a_quota_pauses_for_as_long_as_it_says)
{
	struct health health = { 0 };
	int64_t now_ns = 100 * NS_PER_S;
	for (int i = 0; i < 20; i++)
		health_failed(&health, now_ns, FAILURE_RATE, 2 * NS_PER_S, 0.5);
	ck_assert_int_eq(health.state, HEALTH_CLOSED); /* it is well: its owner's purse is not */
	ck_assert(!health_admits(&health, now_ns + 2 * NS_PER_S - 1));
	ck_assert(health_admits(&health, now_ns + 2 * NS_PER_S));
}
END_TEST

START_TEST(a_quota_that_says_nothing_is_asked_ever_later)
{
	struct health health = { 0 };
	int64_t now_ns = 100 * NS_PER_S;
	int64_t least_ns = 0;
	for (int i = 0; i < 8; i++) {
		health_failed(&health, now_ns, FAILURE_RATE, 0, i % 2 ? 0.999 : 0);
		int64_t pause_ns = health_ready_ns(&health, now_ns) - now_ns;
		ck_assert_int_ge(pause_ns, NS_PER_S / 2);
		ck_assert_int_ge(pause_ns, least_ns);
		ck_assert_int_le(pause_ns, 9 * NS_PER_S);
		least_ns = pause_ns / 2;
		now_ns += pause_ns;
	}
	health_succeeded(&health, now_ns);
	health_failed(&health, now_ns, FAILURE_RATE, 0, 0);
	ck_assert_int_le(health_ready_ns(&health, now_ns) - now_ns, NS_PER_S);
}
END_TEST

START_TEST(busy_is_a_short_pause_whatever_it_asks_for)
{
	struct health health = { 0 };
	int64_t now_ns = 100 * NS_PER_S;
	health_failed(&health, now_ns, FAILURE_BUSY, 3600 * NS_PER_S, 0);
	ck_assert_int_eq(health_ready_ns(&health, now_ns), now_ns + 10 * NS_PER_S);
}
END_TEST

START_TEST(every_failure_has_a_name)
{
	for (int i = 0; i < FAILURES; i++)
		ck_assert_ptr_nonnull(failure_texts()[i]);
}
END_TEST

UNIT_MAIN("policy/health", opens_after_five_that_are_half, forgets_after_ten_seconds,
          one_probe_at_a_time_each_later_than_the_last, a_quota_pauses_for_as_long_as_it_says,
          a_quota_that_says_nothing_is_asked_ever_later, busy_is_a_short_pause_whatever_it_asks_for,
          every_failure_has_a_name)
