#include "policy/predict.h"

#include <math.h>

#include "base/clock.h"

#define BUCKETS_PER_OCTAVE 4
#define MIDDLE (PREDICT_BUCKETS / 2)
#define KNOWN_MIN 20
/* Prompt tokens of a step beside decodes, and of one that does nothing else. */
#define CHUNK_TOKENS 64
#define WIDE_TOKENS 512

const struct predict_rates predict_rates_unknown = { 5 * NS_PER_MS, 1500 * NS_PER_US, 2 * NS_PER_MS, 500 * NS_PER_US };

int64_t predict_prefill_ns(const struct predict_rates *rates, uint32_t tokens, uint32_t decoding)
{
	uint32_t width = decoding ? CHUNK_TOKENS : WIDE_TOKENS;
	int64_t steps = (tokens + width - 1) / width;
	return tokens * rates->prefill_ns + steps * (rates->fixed_ns + decoding * rates->decode_ns);
}

int64_t predict_decode_share_ns(const struct predict_rates *rates, uint32_t tokens, uint32_t sequences, uint32_t cells)
{
	if (sequences == 0)
		sequences = 1;
	int64_t step_ns = rates->fixed_ns + sequences * rates->decode_ns + (int64_t)cells * rates->context_ns / 1000;
	return tokens * (step_ns / sequences);
}

static uint8_t bucket_of(int64_t actual_ns, int64_t predicted_ns)
{
	double actual = (double)(actual_ns < NS_PER_MS ? NS_PER_MS : actual_ns);
	double predicted = (double)(predicted_ns < NS_PER_MS ? NS_PER_MS : predicted_ns);
	double bucket = floor(log2(actual / predicted) * BUCKETS_PER_OCTAVE) + MIDDLE;
	if (bucket < 0)
		return 0;
	return bucket >= PREDICT_BUCKETS ? PREDICT_BUCKETS - 1 : (uint8_t)bucket;
}

void predict_ratio_add(struct predict_ratio *ratio, int64_t actual_ns, int64_t predicted_ns)
{
	uint8_t bucket = bucket_of(actual_ns, predicted_ns);
	if (ratio->filled == PREDICT_WINDOW)
		ratio->counts[ratio->ring[ratio->next]]--;
	else
		ratio->filled++;
	ratio->ring[ratio->next] = bucket;
	ratio->counts[bucket]++;
	ratio->next = (ratio->next + 1) % PREDICT_WINDOW;
}

double predict_ratio_p95(const struct predict_ratio *ratio)
{
	if (ratio->filled < KNOWN_MIN)
		return 1;
	uint32_t above = 0;
	int bucket = PREDICT_BUCKETS - 1;
	for (; bucket > MIDDLE; bucket--) {
		above += ratio->counts[bucket];
		if (above * 20 > ratio->filled)
			break;
	}
	double edge = exp2((double)(bucket + 1 - MIDDLE) / BUCKETS_PER_OCTAVE);
	return bucket <= MIDDLE ? 1 : edge;
}
