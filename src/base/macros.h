/* The few macros that everything may use; none hides control flow. */
#ifndef PENSTOCK_BASE_MACROS_H
#define PENSTOCK_BASE_MACROS_H

#include <stddef.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* The struct that embeds `member` at `pointer`. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline long long min_ll(long long a, long long b)
{
	return a < b ? a : b;
}

static inline long long max_ll(long long a, long long b)
{
	return a > b ? a : b;
}

#endif
