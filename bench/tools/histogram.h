/* Times from nanoseconds to minutes in buckets that are at most 0.4 % wide, so that a percentile needs no memory of each. */
#ifndef PENSTOCK_BENCH_HISTOGRAM_H
#define PENSTOCK_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (40 * 256)

struct histogram {
	uint32_t buckets[HISTOGRAM_BUCKETS];
	uint64_t count, max_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
/* The time, in microseconds, that `share` (0..1) of those added don't exceed; 0 where there are none. */
double histogram_us(const struct histogram *histogram, double share);
/* Prints `"name":{"count":..,"p50":..,"p90":..,"p99":..,"max":..},`, in microseconds. */
void histogram_print(const struct histogram *histogram, const char *name);

#endif
