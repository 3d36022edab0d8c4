/* What a running gateway's /metrics say, twice, a while apart. */
#ifndef PENSTOCK_WHY_LIVE_H
#define PENSTOCK_WHY_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "watch/prometheus.h"

#define LIVE_POOLS_MAX 64

/* [0] is the first look, [1] the second. */
struct live_pool {
	char name[64];
	double queued[2];
	double in_flight[2];
	double concurrency[2]; /* of its ready replicas */
	double starting_s;     /* longest that one of its replicas has been starting; 0 = none is */
	double start_p95_s;    /* 0 = not known */
	unsigned replicas;
	unsigned ready;
	unsigned circuits_open;
};

struct live {
	bool is_known;
	double seconds; /* between the two */
	double firing;  /* alerts */
	struct live_pool pools[LIVE_POOLS_MAX];
	size_t pool_count;
};

void live_read(const struct prometheus_page *before, const struct prometheus_page *after, double seconds,
               struct live *out);
/* NULL when there is none of that name, or nothing is known. */
const struct live_pool *live_pool_of(const struct live *live, const char *name);

#endif
