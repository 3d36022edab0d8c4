/* A wake-up at an absolute time, to microseconds: what a loop's own timers, in whole milliseconds, are too coarse for. One deadline at a time;
 * belongs to its loop's thread. */
#ifndef PENSTOCK_IO_PACER_H
#define PENSTOCK_IO_PACER_H

#include <stdint.h>

#include "base/error.h"
#include "io/loop.h"

struct pacer;

/* fire runs on the loop at or just after the deadline. ERROR_MEMORY, ERROR_LIMIT or ERROR_IO (descriptors exhausted). */
enum error pacer_new(struct loop *loop, void (*fire)(void *owner), void *owner, struct pacer **out);
/* No callback follows; the memory goes with the loop's next turn. Sets *pacer to NULL; NULL is fine. */
void pacer_free(struct pacer **pacer);
/* Replaces the deadline (monotonic ns, as clock_now_ns); one in the past fires in the next turn, NS_NEVER takes it away. */
void pacer_arm(struct pacer *pacer, int64_t due_ns);

#endif
