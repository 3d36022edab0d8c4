/* Timers, posts, the end-of-turn hook, stopping. */
#include "io/loop.h"

#include "turns.h"

#include <pthread.h>

#include "base/macros.h"

struct alarm {
	struct timer timer;
	int id;
	int fired;
	int64_t due_ns;
};

/* Ids in the order in which they fired. */
static int order[64];
static int order_count;

static void on_alarm(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);
	ck_assert_int_ge(clock_now_ns(), alarm->due_ns);
	ck_assert(!timer_is_armed(timer));
	alarm->fired++;
	order[order_count++] = alarm->id;
}

static void start(struct alarm *alarm, struct loop *loop, int id, int64_t due_ns)
{
	*alarm = (struct alarm){ .id = id, .due_ns = due_ns };
	timer_init(&alarm->timer, loop, on_alarm);
	timer_start_at(&alarm->timer, due_ns);
	ck_assert(timer_is_armed(&alarm->timer));
}

START_TEST(timers_fire_in_order_and_never_early)
{
	static const int wanted[] = { 1, 3, 5, 2, 4, 0 };
	struct loop *loop = new_loop();
	const int64_t now_ns = clock_now_ns();
	struct alarm alarms[6];
	order_count = 0;
	start(&alarms[0], loop, 0, now_ns + 9 * NS_PER_MS);
	start(&alarms[1], loop, 1, now_ns + 2 * NS_PER_MS);
	start(&alarms[2], loop, 2, now_ns + 5 * NS_PER_MS);
	start(&alarms[3], loop, 3, now_ns + 2 * NS_PER_MS);
	start(&alarms[4], loop, 4, now_ns + 5 * NS_PER_MS);
	start(&alarms[5], loop, 5, now_ns + 2 * NS_PER_MS);
	run_until(loop, order_count == 6);
	ck_assert_mem_eq(order, wanted, sizeof(wanted));
	loop_free(&loop);
	ck_assert_ptr_null(loop);
	loop_free(&loop);
}
END_TEST

START_TEST(stopped_and_moved_timers)
{
	struct loop *loop = new_loop();
	const int64_t now_ns = clock_now_ns();
	struct alarm alarms[5];
	order_count = 0;
	for (int i = 0; i < 5; i++)
		start(&alarms[i], loop, i, now_ns + (1 + i) * NS_PER_MS);
	timer_stop(&alarms[0].timer);
	timer_stop(&alarms[0].timer);
	timer_start_at(&alarms[1].timer, NS_NEVER);
	ck_assert(!timer_is_armed(&alarms[0].timer) && !timer_is_armed(&alarms[1].timer));
	/* The third is moved behind the fifth. */
	alarms[2].due_ns = now_ns + 10 * NS_PER_MS;
	timer_start_at(&alarms[2].timer, alarms[2].due_ns);
	run_until(loop, order_count == 3);
	run_turns(loop, 5);
	ck_assert_int_eq(order_count, 3);
	ck_assert(order[0] == 3 && order[1] == 4 && order[2] == 2);
	loop_free(&loop);
}
END_TEST

static struct alarm *victim;

static void stop_victim(struct timer *timer)
{
	on_alarm(timer);
	timer_stop(&victim->timer);
}

START_TEST(a_timer_stops_another_that_is_due)
{
	struct loop *loop = new_loop();
	struct alarm killer, killed;
	order_count = 0;
	start(&killer, loop, 0, 1);
	start(&killed, loop, 1, 1);
	killer.timer.fire = stop_victim;
	victim = &killed;
	run_until(loop, order_count == 1);
	run_turns(loop, 5);
	ck_assert_int_eq(killed.fired, 0);
	loop_free(&loop);
}
END_TEST

static int turns;

static void count_turn(void *argument)
{
	(void)argument;
	turns++;
}

static int fired_in_turn[64];

static void fire_again(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);
	ck_assert_int_lt(alarm->fired, 50);
	fired_in_turn[alarm->fired++] = turns;
	if (alarm->fired < 5)
		timer_start_at(timer, 0);
}

/* A time that is past fires in the next turn, so that a timer that starts itself can't keep the loop, nor starve another. */
START_TEST(a_timer_that_starts_itself_leaves_the_loop_to_others)
{
	struct loop *loop = new_loop();
	struct alarm busy, other;
	turns = order_count = 0;
	start(&busy, loop, 0, 0);
	start(&other, loop, 1, clock_now_ns());
	busy.timer.fire = fire_again;
	loop_on_turn_end(loop, count_turn, NULL);
	run_until(loop, busy.fired == 5);
	for (int i = 1; i < 5; i++)
		ck_assert_int_gt(fired_in_turn[i], fired_in_turn[i - 1]);
	ck_assert_int_eq(other.fired, 1);
	loop_free(&loop);
}
END_TEST

static void start_at_once(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);
	fired_in_turn[alarm->fired++] = turns;
	loop_refresh_now_ns(timer->loop);
	if (alarm->fired < 5)
		timer_start_after(timer, 0);
}

START_TEST(also_when_it_reads_the_clock_again)
{
	struct loop *loop = new_loop();
	struct alarm busy;
	turns = 0;
	start(&busy, loop, 0, 0);
	busy.timer.fire = start_at_once;
	loop_on_turn_end(loop, count_turn, NULL);
	run_until(loop, busy.fired == 5);
	for (int i = 1; i < 5; i++)
		ck_assert_int_gt(fired_in_turn[i], fired_in_turn[i - 1]);
	loop_free(&loop);
}
END_TEST

#define POSTS 2000

struct poster {
	struct loop *loop;
	pthread_t loop_thread;
	int next; /* wanted */
};

static struct poster poster;

static void on_post(void *argument)
{
	ck_assert(pthread_equal(pthread_self(), poster.loop_thread));
	ck_assert_int_eq((intptr_t)argument, poster.next);
	poster.next++;
}

static void *post_many(void *argument)
{
	(void)argument;
	for (intptr_t i = 0; i < POSTS; i++)
		ck_error_is(loop_post(poster.loop, on_post, (void *)i), OK);
	return NULL;
}

START_TEST(posts_come_in_order_from_another_thread)
{
	pthread_t thread;
	poster = (struct poster){ .loop = new_loop(), .loop_thread = pthread_self() };
	ck_assert_int_eq(pthread_create(&thread, NULL, post_many, NULL), 0);
	run_until(poster.loop, poster.next == POSTS);
	pthread_join(thread, NULL);
	loop_free(&poster.loop);
}
END_TEST

static int depth;
static int posted_turn[8];

static void post_again(void *argument)
{
	struct loop *loop = argument;
	posted_turn[depth++] = turns;
	if (depth < 5)
		ck_error_is(loop_post(loop, post_again, loop), OK);
}

START_TEST(a_post_from_a_post_runs_in_a_later_turn)
{
	struct loop *loop = new_loop();
	turns = depth = 0;
	loop_on_turn_end(loop, count_turn, NULL);
	ck_error_is(loop_post(loop, post_again, loop), OK);
	ck_assert_int_eq(depth, 0);
	run_until(loop, depth == 5);
	for (int i = 1; i < 5; i++)
		ck_assert_int_gt(posted_turn[i], posted_turn[i - 1]);
	/* And the hook goes. */
	loop_on_turn_end(loop, NULL, NULL);
	const int before = turns;
	run_turns(loop, 3);
	ck_assert_int_eq(turns, before);
	loop_free(&loop);
}
END_TEST

static int hooked_after;

static void at_turn_end(void *argument)
{
	const struct alarm *alarm = argument;
	if (alarm->fired && !hooked_after)
		hooked_after = alarm->fired;
}

START_TEST(the_hook_comes_after_what_happened)
{
	struct loop *loop = new_loop();
	struct alarm alarm;
	order_count = hooked_after = 0;
	start(&alarm, loop, 0, 0);
	loop_on_turn_end(loop, at_turn_end, &alarm);
	run_until(loop, hooked_after == 1);
	loop_free(&loop);
}
END_TEST

static void *stop_from_outside(void *argument)
{
	struct loop *loop = argument;
	for (intptr_t i = 0; i < 10; i++)
		ck_error_is(loop_post(loop, on_post, (void *)i), OK);
	loop_stop(loop);
	return NULL;
}

START_TEST(stopping_from_another_thread)
{
	pthread_t thread;
	poster = (struct poster){ .loop = new_loop(), .loop_thread = pthread_self() };
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_from_outside, poster.loop), 0);
	loop_run(poster.loop);
	pthread_join(thread, NULL);
	/* What was posted before the stop has run. */
	ck_assert_int_eq(poster.next, 10);
	/* What comes later is dropped with the loop. */
	ck_error_is(loop_post(poster.loop, on_post, NULL), OK);
	loop_run(poster.loop);
	ck_assert_int_eq(poster.next, 10);
	loop_free(&poster.loop);
}
END_TEST

START_TEST(time_moves_with_the_turns)
{
	struct loop *loop = new_loop();
	const int64_t before_ns = loop_now_ns(loop);
	ck_assert_int_le(before_ns, clock_now_ns());
	ck_assert_int_ge(loop_refresh_now_ns(loop), before_ns);
	struct alarm alarm;
	order_count = 0;
	start(&alarm, loop, 0, clock_now_ns() + 2 * NS_PER_MS);
	run_until(loop, alarm.fired);
	ck_assert_int_ge(loop_now_ns(loop), alarm.due_ns);
	loop_free(&loop);
}
END_TEST

START_TEST(statuses_become_errors)
{
	ck_error_is(loop_error(0), OK);
	ck_error_is(loop_error(5), OK);
	ck_error_is(loop_error(UV_EOF), ERROR_CLOSED);
	ck_error_is(loop_error(UV_ECONNREFUSED), ERROR_REFUSED);
	ck_error_is(loop_error(UV_ECONNRESET), ERROR_RESET);
	ck_error_is(loop_error(UV_ENOENT), ERROR_NOT_FOUND);
}
END_TEST

UNIT_MAIN("io/loop", timers_fire_in_order_and_never_early, stopped_and_moved_timers, a_timer_stops_another_that_is_due,
          a_timer_that_starts_itself_leaves_the_loop_to_others, also_when_it_reads_the_clock_again,
          posts_come_in_order_from_another_thread, a_post_from_a_post_runs_in_a_later_turn,
          the_hook_comes_after_what_happened, stopping_from_another_thread, time_moves_with_the_turns,
          statuses_become_errors)
