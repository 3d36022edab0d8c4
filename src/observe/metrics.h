/* Counters, gauges and histograms from metrics.def: one shard a loop, summed when somebody looks.
 *
 * A shard is written by one thread only, without locks (relaxed atomics), and read by the one that scrapes. */
#ifndef PENSTOCK_OBSERVE_METRICS_H
#define PENSTOCK_OBSERVE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum metric {
#define METRIC(kind, name, labels, scale, help) METRIC_##name,
#include "observe/metrics.def"
#undef METRIC
	METRIC_COUNT
};

/* What a label's values can be; known when the program starts. */
enum metric_domain {
	DOMAIN_NONE,
	DOMAIN_ROUTE,
	DOMAIN_POOL,
	DOMAIN_REPLICA,
	DOMAIN_STAGE,
	DOMAIN_OUTCOME,
	DOMAIN_FAILURE,
	DOMAIN_INDICATOR,
	DOMAIN_COUNT
};

struct metric_values {
	const char *const *texts; /* borrowed for the life of the metrics */
	uint32_t count;
};

struct metrics;
struct metrics_shard;

/* domains: indexed by enum metric_domain; DOMAIN_NONE is ignored. ERROR_MEMORY. */
enum error metrics_new(const struct metric_values domains[DOMAIN_COUNT], uint32_t shard_count, struct metrics **out);
void metrics_free(struct metrics **metrics);
/* Borrowed. */
struct metrics_shard *metrics_shard(struct metrics *metrics, uint32_t index);

/* a and b: the values of the row's labels, 0 where it has none; a value outside its domain is not counted. */
void metric_add(struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b, int64_t amount);
/* Gauges are summed over shards: set each from one loop only. */
void metric_set(struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b, int64_t value);
void metric_observe_ns(struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b, int64_t duration_ns);
/* A counter or gauge of one shard. Any thread. */
int64_t metric_get(const struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b);
/* The sum over shards of a counter or gauge. Any thread. */
int64_t metrics_sum(const struct metrics *metrics, enum metric metric, uint32_t a, uint32_t b);

/* The sums over shards of a histogram's buckets, each by itself (not cumulative), METRIC_BUCKETS of them; zeros for a value outside its
 * domain. Any thread. */
void metrics_sum_buckets(const struct metrics *metrics, enum metric metric, uint32_t a, uint32_t b, int64_t *counts);

/* ---- what a row says of itself; static ---- */

#define METRIC_BUCKETS 21
/* Upper bounds of the buckets, ns; the last bucket has none: METRIC_BUCKETS - 1 of them. */
const int64_t *metric_bounds_ns(void);
/* Without "penstock_". */
const char *metric_name(enum metric metric);
bool metric_is_histogram(enum metric metric);
/* What a stored integer is multiplied with. */
double metric_scale(enum metric metric);
/* which: 0 or 1. */
enum metric_domain metric_label(enum metric metric, unsigned which);
/* "route", "pool", ...; "" for DOMAIN_NONE. */
const char *metric_domain_text(enum metric_domain domain);
/* 1 for DOMAIN_NONE. */
uint32_t metrics_domain_size(const struct metrics *metrics, enum metric_domain domain);
/* Borrowed; "" for DOMAIN_NONE. */
const char *metrics_domain_value(const struct metrics *metrics, enum metric_domain domain, uint32_t index);

/* Prometheus text format 0.0.4. */
void metrics_write(const struct metrics *metrics, struct bytes *out);
/* docs/metrics.md. */
void metrics_write_reference(struct bytes *out);

#endif
