#include "why/live.h"

#include <stdio.h>
#include <string.h>

/* "pool/0": of that pool? */
static bool is_of_pool(const char *replica, const char *pool)
{
	const char *slash = strrchr(replica, '/');
	size_t len = slash ? (size_t)(slash - replica) : strlen(replica);
	return strlen(pool) == len && memcmp(replica, pool, len) == 0;
}

static double sum_of_replicas(const struct prometheus_page *page, const char *name, const char *pool,
                              unsigned *positive, unsigned *count, double *largest)
{
	double sum = 0;
	*positive = *count = 0;
	*largest = 0;
	for (const struct prometheus_sample *at = prometheus_next(page, name, NULL); at;
	     at = prometheus_next(page, name, at)) {
		if (!is_of_pool(prometheus_label(at, "replica"), pool))
			continue;
		sum += at->value;
		*positive += at->value > 0;
		++*count;
		*largest = at->value > *largest ? at->value : *largest;
	}
	return sum;
}

static void read_pool(const struct prometheus_page *const pages[2], struct live_pool *pool)
{
	unsigned count;
	unsigned ignored;
	double largest;
	for (int i = 0; i < 2; i++) {
		pool->queued[i] = prometheus_sum(pages[i], "penstock_queue_requests", "pool", pool->name);
		pool->in_flight[i] = prometheus_sum(pages[i], "penstock_in_flight_requests", "pool", pool->name);
		pool->concurrency[i] =
			sum_of_replicas(pages[i], "penstock_replica_concurrency", pool->name, &ignored, &count, &largest);
	}
	sum_of_replicas(pages[1], "penstock_replica_ready", pool->name, &pool->ready, &pool->replicas, &largest);
	sum_of_replicas(pages[1], "penstock_replica_circuit_open", pool->name, &pool->circuits_open, &count, &largest);
	sum_of_replicas(pages[1], "penstock_cold_start_elapsed_seconds", pool->name, &ignored, &count, &pool->starting_s);
	pool->start_p95_s = prometheus_sum(pages[1], "penstock_cold_start_p95_seconds", "pool", pool->name);
}

void live_read(const struct prometheus_page *before, const struct prometheus_page *after, double seconds,
               struct live *out)
{
	const struct prometheus_page *const pages[2] = { before, after };
	const char *queue = "penstock_queue_requests";
	*out = (struct live){ .is_known = true, .seconds = seconds };
	out->firing = prometheus_sum(after, "penstock_alerts_firing", NULL, NULL);
	for (const struct prometheus_sample *at = prometheus_next(after, queue, NULL);
	     at && out->pool_count < LIVE_POOLS_MAX; at = prometheus_next(after, queue, at)) {
		struct live_pool *pool = &out->pools[out->pool_count++];
		snprintf(pool->name, sizeof(pool->name), "%s", prometheus_label(at, "pool"));
		read_pool(pages, pool);
	}
}

const struct live_pool *live_pool_of(const struct live *live, const char *name)
{
	for (size_t i = 0; live && i < live->pool_count; i++) {
		if (strcmp(live->pools[i].name, name) == 0)
			return &live->pools[i];
	}
	return NULL;
}
