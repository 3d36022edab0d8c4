#include "times.h"

#include <inttypes.h>
#include <stdio.h>

static double share_us(const struct histogram *histogram, double share)
{
	return (double)histogram_ns(histogram, share) / 1e3;
}

void times_print(const struct histogram *histogram, const char *name)
{
	printf("\"%s\":{\"count\":%" PRIu64 ",\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},", name,
	       histogram->count, share_us(histogram, 0.5), share_us(histogram, 0.9), share_us(histogram, 0.99),
	       (double)histogram->max_ns / 1e3);
}
