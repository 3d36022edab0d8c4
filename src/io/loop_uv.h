/* The part of a loop that the other files of io/ see. Not for anybody else. */
#ifndef PENSTOCK_IO_LOOP_UV_H
#define PENSTOCK_IO_LOOP_UV_H

#include <uv.h>

#include "base/bytes.h"
#include "io/loop.h"

#define LOOP_READ_BYTES (64 * 1024)

struct lookup;
struct posted;
struct resolver;

/* A handle that nobody outside io/ can close any more (a released process, a stream that lingers) has one of these as its data, so that
 * loop_free can. */
struct loop_orphan {
	void (*close)(uv_handle_t *handle);
};

struct loop {
	uv_loop_t uv;
	uv_async_t wake;
	uv_timer_t alarm;   /* armed for the earliest timer */
	uv_prepare_t turn;  /* runs right before the loop waits */
	struct heap timers; /* struct timer.node */
	int64_t alarm_ns;   /* what alarm is armed for; NS_NEVER when it isn't */
	int64_t now_ns;
	int64_t fired_ns; /* timers due by then have had their turn */
	void (*turn_end)(void *argument);
	void *turn_argument;
	bool stopping;   /* loop thread only; so the next two */
	unsigned unsent; /* streams that were let go with bytes still queued */
	struct timer patience;
	struct resolver *resolver; /* owned; NULL until a name is connected to */
	struct lookup *lookups;    /* owned list: under way */
	struct bytes ciphertext;   /* what a TLS stream has to send; empty between calls */
	uv_mutex_t lock;           /* guards the three below */
	struct posted *first;      /* owned list */
	struct posted *last;
	bool stop_wanted;
	char read_buffer[LOOP_READ_BYTES]; /* every read lands here first; consumed before the callback returns */
};

/* The nearest row of error.def for a libuv status (negative), OK for 0 and above. */
enum error loop_error(int uv_status);

#endif
