/* What vLLM, SGLang and llama-server tell of their load in Prometheus text: the few gauges that routing needs, under each one's names. */
#ifndef PENSTOCK_FLEET_ENGINE_METRICS_H
#define PENSTOCK_FLEET_ENGINE_METRICS_H

#include <stdbool.h>

#include "base/bytes.h"

struct engine_metrics {
	double running;    /* requests; -1 = not told */
	double waiting;    /* requests in its own queue; -1 = not told */
	double cells_used; /* share of the KV cache, [0, 1]; -1 = not told */
};

/* Sums over the labels (data-parallel ranks, models); the share is the largest. Names that are not known are skipped, as are values that are no
 * finite number >= 0. false when it holds none of them. */
bool engine_metrics_read(struct span text, struct engine_metrics *out);

#endif
