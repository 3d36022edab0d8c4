/* The two clocks. Everything that decides takes its time as an argument; only edges call these. */
#ifndef PENSTOCK_BASE_CLOCK_H
#define PENSTOCK_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
/* "never": later than any clock_now_ns(). */
#define NS_NEVER INT64_MAX

/* Monotonic nanoseconds; the start is arbitrary. */
int64_t clock_now_ns(void);
/* Nanoseconds since 1970-01-01 UTC; may jump. Only for timestamps that people or other machines read. */
int64_t clock_wall_ns(void);

#endif
