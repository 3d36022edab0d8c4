#include "histogram.h"

#include <inttypes.h>
#include <stdio.h>

/* The leading nine bits are kept: one of them is always set, so that an octave has 256 buckets. */
static uint32_t bucket_of(uint64_t ns)
{
	if (ns < 512)
		return (uint32_t)ns;
	uint32_t shift = 55 - (uint32_t)__builtin_clzll(ns);
	uint32_t bucket = shift * 256 + (uint32_t)(ns >> shift);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static double middle_us(uint32_t bucket)
{
	if (bucket < 512)
		return bucket / 1e3;
	uint32_t shift = bucket / 256 - 1;
	uint64_t from = (uint64_t)(bucket - shift * 256) << shift;
	return ((double)from + (double)(UINT64_C(1) << shift) / 2) / 1e3;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->buckets[bucket_of(ns)]++;
	histogram->count++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

double histogram_us(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)((double)histogram->count * share), seen = 0;
	if (wanted >= histogram->count)
		return (double)histogram->max_ns / 1e3;
	for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->buckets[bucket];
		if (seen > wanted)
			return middle_us(bucket);
	}
	return 0;
}

void histogram_print(const struct histogram *histogram, const char *name)
{
	printf("\"%s\":{\"count\":%" PRIu64 ",\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},", name,
	       histogram->count, histogram_us(histogram, 0.5), histogram_us(histogram, 0.9), histogram_us(histogram, 0.99),
	       (double)histogram->max_ns / 1e3);
}
