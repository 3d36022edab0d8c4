/* When which stream of the stub is due: a wheel of milliseconds under one timer, so that what is due in the same millisecond leaves
 * together, as the answers of an engine's step do. Used by stub.c alone. */
#ifndef PENSTOCK_BENCH_SCHEDULE_H
#define PENSTOCK_BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* How far ahead something can be due; what is later is taken as that late. */
#define SCHEDULE_TICKS 65536

/* Part of what is scheduled. */
struct due {
	struct due *next;
	struct due **link; /* what points here; NULL: not scheduled */
	uint64_t due_ns;
};

struct schedule {
	struct due *ticks[SCHEDULE_TICKS];
	uint64_t done_tick; /* everything up to it was handed out */
	uint64_t armed_ns;  /* 0: the timer is off */
	uint32_t count;
	int timer; /* owned, for epoll */
};

void schedule_init(struct schedule *schedule);
/* due_ns is rounded up to the millisecond; what is past is due in the next one. */
void schedule_add(struct schedule *schedule, struct due *due, uint64_t due_ns);
/* Harmless for what isn't scheduled. */
void schedule_remove(struct schedule *schedule, struct due *due);
/* Takes out something that is due by now, or returns NULL. */
struct due *schedule_take(struct schedule *schedule, uint64_t now);
/* Sets the timer to what is due next. Call it before waiting. */
void schedule_arm(struct schedule *schedule);

#endif
