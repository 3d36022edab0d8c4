#include "policy/demand.h"

#include <math.h>
#include <string.h>

#include "base/macros.h"

#define LEVEL_WEIGHT 0.5
#define TREND_WEIGHT 0.3
/* A twentieth of a replica is no reason for one. */
#define ROUNDING 0.05

static void close_bucket(struct demand *demand)
{
	double busy = demand->open_ns / (double)DEMAND_BUCKET_NS;
	double before = demand->level;
	if (demand->buckets == 0) {
		demand->level = busy;
	} else {
		demand->level = LEVEL_WEIGHT * busy + (1 - LEVEL_WEIGHT) * (demand->level + demand->trend);
		demand->trend = TREND_WEIGHT * (demand->level - before) + (1 - TREND_WEIGHT) * demand->trend;
	}
	demand->level = fmax(demand->level, 0);
	demand->buckets++;
	demand->open_ns = 0;
}

/* Closes the buckets that are over; after a long silence there is nothing left to know. */
static void turn(struct demand *demand, int64_t now_ns)
{
	int64_t number = now_ns / DEMAND_BUCKET_NS;
	if (demand->buckets == 0 && demand->open_ns <= 0)
		demand->bucket = number;
	if (number - demand->bucket > 4 * DEMAND_HOLD) {
		demand->level = demand->trend = demand->open_ns = 0;
		memset(demand->wanted, 0, sizeof(demand->wanted));
		demand->bucket = number;
	}
	while (demand->bucket < number) {
		close_bucket(demand);
		demand->bucket++;
		demand->wanted[demand->bucket % DEMAND_HOLD] = 0;
	}
}

void demand_add(struct demand *demand, int64_t now_ns, int64_t work_ns)
{
	turn(demand, now_ns);
	demand->open_ns += (double)work_ns;
}

void demand_note_start(struct demand *demand, int64_t took_ns)
{
	demand->starts_ns[demand->start_count++ % DEMAND_STARTS] = took_ns;
}

int64_t demand_start_p95_ns(const struct demand *demand, int64_t unknown_ns)
{
	uint64_t count = (uint64_t)min_ll((long long)demand->start_count, DEMAND_STARTS);
	if (count == 0)
		return unknown_ns;
	int64_t sorted_ns[DEMAND_STARTS];
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = i;
		for (; at > 0 && sorted_ns[at - 1] > demand->starts_ns[i]; at--)
			sorted_ns[at] = sorted_ns[at - 1];
		sorted_ns[at] = demand->starts_ns[i];
	}
	return sorted_ns[(count * 95 + 99) / 100 - 1];
}

uint32_t demand_wanted(struct demand *demand, int64_t now_ns, int64_t horizon_ns, double pressure, uint32_t running,
                       const struct demand_bounds *bounds)
{
	turn(demand, now_ns);
	double ahead = (double)horizon_ns / (double)DEMAND_BUCKET_NS;
	double busy = fmax(demand->level + demand->trend * ahead, demand->level);
	double needed = ceil(busy / bounds->utilization - ROUNDING) + bounds->spare;
	if (pressure > 1)
		needed = fmax(needed, running + 1.0);
	uint32_t wanted = (uint32_t)fmin(fmax(needed, bounds->replicas_min), bounds->replicas_max);
	uint32_t *now = &demand->wanted[demand->bucket % DEMAND_HOLD];
	*now = wanted > *now ? wanted : *now;
	for (int i = 0; i < DEMAND_HOLD; i++)
		wanted = demand->wanted[i] > wanted ? demand->wanted[i] : wanted;
	return wanted;
}
