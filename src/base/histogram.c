#include "base/histogram.h"

/* The leading nine bits are kept: one of them is always set, so that an octave has 256 buckets. */
static uint32_t bucket_of(uint64_t ns)
{
	if (ns < 512)
		return (uint32_t)ns;
	uint32_t shift = 55 - (uint32_t)__builtin_clzll(ns);
	uint32_t bucket = shift * 256 + (uint32_t)(ns >> shift);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t middle_ns(uint32_t bucket)
{
	if (bucket < 512)
		return bucket;
	uint32_t shift = bucket / 256 - 1;
	uint64_t from = (uint64_t)(bucket - shift * 256) << shift;
	return from + (UINT64_C(1) << shift) / 2;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->buckets[bucket_of(ns)]++;
	histogram->count++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

uint64_t histogram_ns(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)((double)histogram->count * share);
	uint64_t seen = 0;
	if (wanted >= histogram->count)
		return histogram->max_ns;
	for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->buckets[bucket];
		if (seen > wanted)
			return middle_ns(bucket) < histogram->max_ns ? middle_ns(bucket) : histogram->max_ns;
	}
	return 0;
}
