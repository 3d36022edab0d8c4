#include "schedule.h"

#include <stddef.h>
#include <sys/timerfd.h>

#include "sockets.h"

#define TICK_NS 1000000

void schedule_init(struct schedule *schedule)
{
	schedule->done_tick = now_ns() / TICK_NS;
	schedule->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (schedule->timer < 0)
		end_with("no timer can be made");
}

void schedule_add(struct schedule *schedule, struct due *due, uint64_t due_ns)
{
	/* Nothing was waiting: the wheel may be far behind. */
	if (schedule->count == 0)
		schedule->done_tick = now_ns() / TICK_NS;
	uint64_t tick = (due_ns + TICK_NS - 1) / TICK_NS;
	if (tick <= schedule->done_tick)
		tick = schedule->done_tick + 1;
	if (tick >= schedule->done_tick + SCHEDULE_TICKS)
		tick = schedule->done_tick + SCHEDULE_TICKS - 1;
	struct due **link = &schedule->ticks[tick % SCHEDULE_TICKS];
	due->due_ns = due_ns;
	due->next = *link;
	due->link = link;
	if (due->next)
		due->next->link = &due->next;
	*link = due;
	schedule->count++;
}

void schedule_remove(struct schedule *schedule, struct due *due)
{
	if (!due->link)
		return;
	*due->link = due->next;
	if (due->next)
		due->next->link = due->link;
	due->link = NULL;
	schedule->count--;
}

struct due *schedule_take(struct schedule *schedule, uint64_t now)
{
	uint64_t now_tick = now / TICK_NS;
	while (schedule->count && schedule->done_tick < now_tick) {
		struct due *due = schedule->ticks[(schedule->done_tick + 1) % SCHEDULE_TICKS];
		if (due) {
			schedule_remove(schedule, due);
			return due;
		}
		schedule->done_tick++;
	}
	return NULL;
}

void schedule_arm(struct schedule *schedule)
{
	uint64_t next_ns = 0;
	if (schedule->count) {
		uint64_t tick = schedule->done_tick + 1;
		while (!schedule->ticks[tick % SCHEDULE_TICKS])
			tick++;
		next_ns = tick * TICK_NS;
	}
	if (next_ns == schedule->armed_ns)
		return;
	schedule->armed_ns = next_ns;
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(next_ns / 1000000000),
		                                     .tv_nsec = (long)(next_ns % 1000000000) } };
	timerfd_settime(schedule->timer, TFD_TIMER_ABSTIME, &when, NULL);
}
