/* How many replicas a pool should have by the time that one started now would be warm. Pure: time is an argument.
 *
 * Work that arrives is counted in replica-seconds (what it would keep a full replica busy), refused work included, in buckets of ten seconds. The forecast is
 * Holt's linear trend over them (level weight 0.5, trend weight 0.3), looked at one horizon ahead: the 95th percentile of the pool's cold starts. Up at once,
 * also when a promise is under pressure; down only to the most that was wanted within the last five minutes. */
#ifndef PENSTOCK_POLICY_DEMAND_H
#define PENSTOCK_POLICY_DEMAND_H

#include <stdint.h>

#define DEMAND_BUCKET_NS (INT64_C(10) * 1000 * 1000 * 1000)
/* Buckets that hold back a step down: five minutes. */
#define DEMAND_HOLD 30
#define DEMAND_STARTS 32

/* Zeroed = nothing is known. */
struct demand {
	int64_t bucket; /* number of the open one */
	double open_ns; /* replica time that arrived in it */
	double level;   /* replicas kept busy */
	double trend;   /* more of them, each bucket */
	uint64_t buckets;
	uint32_t wanted[DEMAND_HOLD];     /* a ring, by bucket */
	int64_t starts_ns[DEMAND_STARTS]; /* a ring of the last cold starts */
	uint64_t start_count;
};

/* A request of that much work has arrived. */
void demand_add(struct demand *demand, int64_t now_ns, int64_t work_ns);
/* A replica became warm, so long after it was started. */
void demand_note_start(struct demand *demand, int64_t took_ns);
/* The 95th percentile of the last 32 cold starts (nearest rank), or `unknown_ns` before the first. */
int64_t demand_start_p95_ns(const struct demand *demand, int64_t unknown_ns);

struct demand_bounds {
	uint32_t replicas_min;
	uint32_t replicas_max;
	uint32_t spare;     /* warm ones beyond what is needed */
	double utilization; /* what a replica may be kept busy, as 0.8 */
};

/* pressure: as the ladder's; over 1 asks for one more than there are. running: ready or starting now. */
uint32_t demand_wanted(struct demand *demand, int64_t now_ns, int64_t horizon_ns, double pressure, uint32_t running,
                       const struct demand_bounds *bounds);

#endif
