/* What a request that has ended has cost, and what it is counted as. */
#ifndef PENSTOCK_STAGES_COST_H
#define PENSTOCK_STAGES_COST_H

#include <stdbool.h>
#include <stdint.h>

struct request;

/* Whether it begins a new unit, noted as seen; while its body is there. */
bool cost_is_new_unit(const struct request *request);

/* Adds to cost_total (tokens at the pool's prices; what a replica costs by the hour is shared out by gateway/promises), replica_time_seconds_total and
 * units_total. */
void cost_count(const struct request *request, int64_t now_ns);

#endif
