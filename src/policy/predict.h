/* How long a request will wait for its first token: arithmetic over a replica's step model and our own accounts. Pure.
 *
 * A prediction is made from work, never from past latencies: queued tokens through the step model. What the arithmetic gets wrong is measured
 * as actual / predicted, and the 95th percentile of that ratio over the last 1,000 requests scales what admission promises. */
#ifndef PENSTOCK_POLICY_PREDICT_H
#define PENSTOCK_POLICY_PREDICT_H

#include <stdint.h>

/* The step model as a load report carries it, all ns (context: per 1,000 cells). */
struct predict_rates {
	int64_t fixed_ns;
	int64_t prefill_ns;
	int64_t decode_ns;
	int64_t context_ns;
};

/* Rates of an engine that nobody has measured yet: a small model on one slow core. */
extern const struct predict_rates predict_rates_unknown;

/* Time the engine spends on a prompt of `tokens` while `decoding` sequences take a token each step. */
int64_t predict_prefill_ns(const struct predict_rates *rates, uint32_t tokens, uint32_t decoding);
/* One request's share of the engine's time for `tokens` of output when `sequences` decode together, `cells` in the cache. */
int64_t predict_decode_share_ns(const struct predict_rates *rates, uint32_t tokens, uint32_t sequences, uint32_t cells);

#define PREDICT_WINDOW 1000
#define PREDICT_BUCKETS 64

/* Sliding distribution of actual / predicted in logarithmic buckets of a quarter octave, from 1/256 to 256. */
struct predict_ratio {
	uint16_t counts[PREDICT_BUCKETS];
	uint8_t ring[PREDICT_WINDOW];
	uint32_t filled;
	uint32_t next;
};

/* Both in ns; values below a millisecond count as one. */
void predict_ratio_add(struct predict_ratio *ratio, int64_t actual_ns, int64_t predicted_ns);
/* The 95th percentile (upper edge of its bucket), at least 1; 1 while fewer than 20 are known. */
double predict_ratio_p95(const struct predict_ratio *ratio);

#endif
