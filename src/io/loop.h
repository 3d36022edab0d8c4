/* One event loop per thread: timers, posts from other threads, an end-of-turn hook. With stream.c, listener.c, process.c and
 * work.c the only code that knows libuv; test/scenario links a scripted one in their place.
 *
 * A loop and everything made on it belong to the thread that runs it; only loop_post and loop_stop may be called from others. */
#ifndef PENSTOCK_IO_LOOP_H
#define PENSTOCK_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"

struct loop;

/* Makes the process ignore SIGPIPE. ERROR_MEMORY; ERROR_LIMIT or ERROR_IO (descriptors exhausted). */
enum error loop_new(struct loop **out);
/* The loop must not be running; what was made on it must be closed. Posts that have not run are dropped; signals, lingering streams and
 * released processes end here. Sets *loop to NULL. */
void loop_free(struct loop **loop);
/* Runs until loop_stop, then on until what was closed after writing has written, at most ten seconds; once stopped, a loop does not run
 * again. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* The time of this turn, monotonic ns: cheap, the same for everything that happens in a turn. */
int64_t loop_now_ns(const struct loop *loop);
/* Reads the clock again: for exact stage times inside a turn. */
int64_t loop_refresh_now_ns(struct loop *loop);
/* Calls function(argument) on the loop's thread, in a later turn, in the order of the posts. Thread-safe. ERROR_MEMORY. */
enum error loop_post(struct loop *loop, void (*function)(void *argument), void *argument);
/* Called at the end of every turn in which something happened, before the loop waits again. One hook; NULL removes it. */
void loop_on_turn_end(struct loop *loop, void (*function)(void *argument), void *argument);

/* ---- timers: embedded, one heap a loop, resolution 1 ms, never early ---- */

struct timer {
	struct heap_node node; /* key: due, or sooner where it was moved away since */
	int64_t due_ns;
	struct loop *loop; /* borrowed */
	void (*fire)(struct timer *timer);
};

/* fire runs on the loop, once per start; container_of leads to the owner. */
void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer));
/* (Re)arms for an absolute time; a time in the past fires in the next turn, also when started inside fire; NS_NEVER stops. */
void timer_start_at(struct timer *timer, int64_t due_ns);
void timer_start_after(struct timer *timer, int64_t delay_ns);
/* Afterwards fire isn't called, and the memory may go. */
void timer_stop(struct timer *timer);
static inline bool timer_is_armed(const struct timer *timer)
{
	return timer->node.place != 0;
}

#endif
