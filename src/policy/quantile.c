/* Called by the finish stage, once for every whole answer. */
#include "policy/quantile.h"

#define STEP 0.1

void quantile_add(struct quantile *quantile, double p, double sample)
{
	sample = sample >= 1 ? sample : 1;
	if (quantile->value <= 0)
		quantile->value = sample;
	else if (sample > quantile->value)
		quantile->value *= 1 + STEP * p;
	else if (sample < quantile->value)
		quantile->value *= 1 - STEP * (1 - p);
}
