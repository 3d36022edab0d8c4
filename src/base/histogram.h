/* Times from nanoseconds to minutes in buckets that are at most 0.4 % wide, so that a percentile needs no memory of each. Zeroed memory is an
 * empty histogram. Not thread-safe. */
#ifndef PENSTOCK_BASE_HISTOGRAM_H
#define PENSTOCK_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (40 * 256)

struct histogram {
	uint32_t buckets[HISTOGRAM_BUCKETS];
	uint64_t count;
	uint64_t max_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
/* The time in ns that `share` (0..1) of those added don't exceed, to the middle of its bucket; 0 where there are none. */
uint64_t histogram_ns(const struct histogram *histogram, double share);

#endif
