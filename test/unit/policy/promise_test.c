/* The window that a promise is judged by: what is in it, what has left it, and when it says that it does not know. */
#include "policy/promise.h"

#include "base/clock.h"
#include "unit.h"

#define MINUTES(n) ((n)*60 * NS_PER_S)

static struct promise_view view(struct promise_window *window, int64_t now_ns)
{
	return promise_window_view(window, now_ns, MINUTES(5), 0.95, 100);
}

START_TEST(too_few_are_unknown_never_kept)
{
	struct promise_window window = { 0 };
	ck_assert_int_eq(view(&window, 0).state, PROMISE_UNKNOWN);
	promise_window_add(&window, NS_PER_S, 99, 99);
	ck_assert_int_eq(view(&window, NS_PER_S).state, PROMISE_UNKNOWN);
	promise_window_add(&window, NS_PER_S, 1, 1);
	ck_assert_int_eq(view(&window, NS_PER_S).state, PROMISE_KEPT);
	ck_assert_int_eq(promise_window_view(&window, NS_PER_S, MINUTES(5), 0.95, 0).state, PROMISE_KEPT);
}
END_TEST

START_TEST(the_share_decides_to_the_request)
{
	struct promise_window window = { 0 };
	promise_window_add(&window, 0, 1000, 950);
	ck_assert_int_eq(view(&window, 0).state, PROMISE_KEPT);
	promise_window_add(&window, 0, 1, 0);
	ck_assert_int_eq(view(&window, 0).state, PROMISE_BROKEN);
	ck_assert_double_eq_tol(view(&window, 0).attainment, 950.0 / 1001, 1e-9);
}
END_TEST

START_TEST(what_is_older_than_the_window_has_left_it)
{
	struct promise_window window = { 0 };
	for (int64_t s = 0; s < 3600; s++)
		promise_window_add(&window, s * NS_PER_S, 1, s < 3000);
	struct promise_view now = view(&window, 3599 * NS_PER_S);
	ck_assert_uint_eq(now.eligible, 300);
	ck_assert_uint_eq(now.met, 0);
	now = promise_window_view(&window, 3599 * NS_PER_S, MINUTES(10), 0.95, 100);
	ck_assert_uint_eq(now.eligible, 600);
	/* Longer than is kept: what is kept. */
	now = promise_window_view(&window, 3599 * NS_PER_S, MINUTES(600), 0.95, 100);
	ck_assert_uint_eq(now.eligible, 600);
	/* After a silence there is nothing. */
	now = view(&window, MINUTES(100));
	ck_assert_uint_eq(now.eligible, 0);
	ck_assert_int_eq(now.state, PROMISE_UNKNOWN);
}
END_TEST

UNIT_MAIN("policy/promise", too_few_are_unknown_never_kept, the_share_decides_to_the_request,
          what_is_older_than_the_window_has_left_it)
