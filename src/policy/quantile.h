/* A quantile of a stream of lengths, followed in one number. Pure.
 *
 * Each sample above it raises it by a tenth of p of itself, each one below lowers it by a tenth of 1 - p: it rests where a share p lies below (stochastic
 * approximation: Robbins and Monro, 1951; in steps of its own size, since lengths spread over orders of magnitude). */
#ifndef PENSTOCK_POLICY_QUANTILE_H
#define PENSTOCK_POLICY_QUANTILE_H

/* Zeroed = nothing is known. */
struct quantile {
	double value; /* 0 = no sample yet */
};

/* p: [0, 1]. sample: >= 0; below 1 counts as 1. */
void quantile_add(struct quantile *quantile, double p, double sample);

#endif
