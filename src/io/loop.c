/* Timers in one heap behind one uv_timer; posts through a locked list and one uv_async.
 *
 * libuv's own timers would do, but they count in milliseconds from a cached time; ours carry absolute nanoseconds, tie in
 * insertion order and are embedded in their owners without uv.h. */
#include "io/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "io/loop_uv.h"
#include "io/resolve_uv.h"

/* What a stopped loop still gives answers that are on their way. */
#define LAST_BYTES_NS (10 * NS_PER_S)

struct posted {
	struct posted *next;
	void (*function)(void *argument);
	void *argument;
};

enum error loop_error(int uv_status)
{
	if (uv_status >= 0)
		return OK;
	if (uv_status == UV_EOF)
		return ERROR_CLOSED;
	return error_from_errno(-uv_status);
}

static void run_posted(struct loop *loop)
{
	uv_mutex_lock(&loop->lock);
	struct posted *posted = loop->first;
	loop->first = loop->last = NULL;
	loop->stopping = loop->stop_wanted;
	uv_mutex_unlock(&loop->lock);
	while (posted) {
		struct posted *next = posted->next;
		posted->function(posted->argument);
		free(posted);
		posted = next;
	}
	if (loop->stopping)
		uv_stop(&loop->uv);
}

static void on_wake(uv_async_t *wake)
{
	struct loop *loop = container_of(wake, struct loop, wake);
	loop->now_ns = clock_now_ns();
	run_posted(loop);
}

static void run_timers(struct loop *loop)
{
	/* One bound for the whole turn: a timer that is started again inside fire waits for the next one (see timer_start_at). */
	const int64_t until_ns = clock_now_ns();
	loop->now_ns = loop->fired_ns = until_ns;
	for (;;) {
		struct heap_node *node = heap_peek(&loop->timers);
		if (!node || node->key > until_ns)
			return;
		heap_remove(&loop->timers, node);
		struct timer *timer = container_of(node, struct timer, node);
		if (timer->due_ns > until_ns)
			timer_start_at(timer, timer->due_ns);
		else
			timer->fire(timer);
	}
}

static void on_alarm(uv_timer_t *alarm)
{
	struct loop *loop = container_of(alarm, struct loop, alarm);
	loop->alarm_ns = NS_NEVER;
	run_timers(loop);
}

/* Once a turn, not at every timer_start: most timers are moved many times and never fire. */
static void arm_alarm(struct loop *loop)
{
	struct heap_node *node = heap_peek(&loop->timers);
	int64_t due_ns = node ? node->key : NS_NEVER;
	if (due_ns == loop->alarm_ns)
		return;
	loop->alarm_ns = due_ns;
	if (due_ns == NS_NEVER) {
		uv_timer_stop(&loop->alarm);
		return;
	}
	uv_update_time(&loop->uv);
	int64_t wait_ns = max_ll(due_ns - clock_now_ns(), 0);
	uint64_t wait_ms = (uint64_t)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
	uv_timer_start(&loop->alarm, on_alarm, wait_ms, 0);
}

static void on_turn(uv_prepare_t *turn)
{
	struct loop *loop = container_of(turn, struct loop, turn);
	if (loop->turn_end)
		loop->turn_end(loop->turn_argument);
	arm_alarm(loop);
}

enum error loop_new(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return ERROR_MEMORY;
	/* libuv writes with write(2): without this, a client that leaves early ends the process. */
	signal(SIGPIPE, SIG_IGN);
	int status = uv_loop_init(&loop->uv);
	if (status < 0) {
		free(loop);
		return loop_error(status);
	}
	loop->alarm_ns = NS_NEVER;
	loop->fired_ns = INT64_MIN;
	loop->now_ns = clock_now_ns();
	heap_init(&loop->timers);
	MUST(uv_mutex_init(&loop->lock) == 0);
	MUST(uv_timer_init(&loop->uv, &loop->alarm) == 0);
	MUST(uv_prepare_init(&loop->uv, &loop->turn) == 0);
	MUST(uv_prepare_start(&loop->turn, on_turn) == 0);
	status = uv_async_init(&loop->uv, &loop->wake, on_wake);
	if (status < 0) {
		loop_free(&loop);
		return loop_error(status);
	}
	*out = loop;
	return OK;
}

static void close_handle(uv_handle_t *handle, void *argument)
{
	const struct loop_orphan *orphan = uv_handle_get_data(handle);
	(void)argument;
	if (uv_is_closing(handle))
		return;
	if (orphan)
		orphan->close(handle);
	else
		uv_close(handle, NULL);
}

void loop_free(struct loop **loop_slot)
{
	struct loop *loop = *loop_slot;
	if (!loop)
		return;
	*loop_slot = NULL;
	uv_walk(&loop->uv, close_handle, NULL);
	loop_cancel_lookups(loop);
	while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
		;
	MUST(uv_loop_close(&loop->uv) == 0);
	while (loop->first) {
		struct posted *posted = loop->first;
		loop->first = posted->next;
		free(posted);
	}
	resolver_free(&loop->resolver);
	bytes_fini(&loop->ciphertext);
	heap_fini(&loop->timers);
	uv_mutex_destroy(&loop->lock);
	free(loop);
}

/* That it is no longer armed is all that loop_run wants to know. */
static void on_patience_over(struct timer *timer)
{
	(void)timer;
}

void loop_run(struct loop *loop)
{
	while (!loop->stopping)
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	timer_init(&loop->patience, loop, on_patience_over);
	timer_start_after(&loop->patience, LAST_BYTES_NS);
	while (loop->unsent && timer_is_armed(&loop->patience))
		uv_run(&loop->uv, UV_RUN_ONCE);
	timer_stop(&loop->patience);
}

void loop_stop(struct loop *loop)
{
	uv_mutex_lock(&loop->lock);
	loop->stop_wanted = true;
	uv_mutex_unlock(&loop->lock);
	uv_async_send(&loop->wake);
}

int64_t loop_now_ns(const struct loop *loop)
{
	return loop->now_ns;
}

int64_t loop_refresh_now_ns(struct loop *loop)
{
	loop->now_ns = clock_now_ns();
	return loop->now_ns;
}

enum error loop_post(struct loop *loop, void (*function)(void *argument), void *argument)
{
	struct posted *posted = malloc(sizeof(*posted));
	if (!posted)
		return ERROR_MEMORY;
	*posted = (struct posted){ .function = function, .argument = argument };
	uv_mutex_lock(&loop->lock);
	bool was_empty = !loop->first;
	if (was_empty)
		loop->first = posted;
	else
		loop->last->next = posted;
	loop->last = posted;
	uv_mutex_unlock(&loop->lock);
	if (was_empty)
		uv_async_send(&loop->wake);
	return OK;
}

void loop_on_turn_end(struct loop *loop, void (*function)(void *argument), void *argument)
{
	loop->turn_end = function;
	loop->turn_argument = argument;
}

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer))
{
	*timer = (struct timer){ .loop = loop, .fire = fire };
}

void timer_start_at(struct timer *timer, int64_t due_ns)
{
	struct heap *timers = &timer->loop->timers;
	due_ns = max_ll(due_ns, timer->loop->fired_ns + 1);
	timer->due_ns = due_ns;
	/* A deadline that moves away with every event of a stream costs nothing: it is looked at again where it stood. */
	if (timer->node.place && timer->node.key <= due_ns && due_ns != NS_NEVER)
		return;
	heap_remove(timers, &timer->node);
	if (due_ns == NS_NEVER)
		return;
	timer->node.key = due_ns;
	/* A few dozen bytes refused by the allocator here leave no way to keep time at all. */
	MUST(heap_push(timers, &timer->node) == OK);
}

void timer_start_after(struct timer *timer, int64_t delay_ns)
{
	timer_start_at(timer, clock_now_ns() + delay_ns);
}

void timer_stop(struct timer *timer)
{
	heap_remove(&timer->loop->timers, &timer->node);
}
