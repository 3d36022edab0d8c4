#include "policy/predict.h"

#include <math.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/macros.h"

#define BUCKETS_PER_OCTAVE 4
#define MIDDLE (PREDICT_BUCKETS / 2)
#define KNOWN_MIN 20
#define RATE_MAX_NS (10 * NS_PER_S)
/* Prompt tokens of a step: what an engine on a CPU takes at once (docs/engine.md). */
#define STEP_TOKENS 128

const struct predict_rates predict_rates_unknown = {
	5 * NS_PER_MS, 2 * NS_PER_MS, 4 * NS_PER_MS, 4 * NS_PER_MS, 20 * NS_PER_MS, NS_PER_MS, 0
};

/* ---- durations ---- */

static int64_t bounded_rate(int64_t rate_ns)
{
	return min_ll(max_ll(rate_ns, 0), RATE_MAX_NS);
}

struct predict_rates predict_rates_bounded(const struct predict_rates *rates)
{
	return (struct predict_rates){
		.fixed_ns = bounded_rate(rates->fixed_ns),
		.prefill_ns = bounded_rate(rates->prefill_ns),
		.decode_ns = bounded_rate(rates->decode_ns),
		.context_ns = bounded_rate(rates->context_ns),
		.prefill_fixed_ns = bounded_rate(rates->prefill_fixed_ns),
		.prefill_beside_ns = bounded_rate(rates->prefill_beside_ns),
		.base_ns = bounded_rate(rates->base_ns),
	};
}

/* count * each_ns, or PREDICT_MAX_NS; neither is negative. */
static int64_t product_ns(uint64_t count, int64_t each_ns)
{
	uint64_t product;
	bool is_over = __builtin_mul_overflow(count, (uint64_t)each_ns, &product);
	return is_over || product > (uint64_t)PREDICT_MAX_NS ? PREDICT_MAX_NS : (int64_t)product;
}

static int64_t sum_ns(int64_t a_ns, int64_t b_ns)
{
	return min_ll(a_ns + b_ns, PREDICT_MAX_NS);
}

int64_t predict_prefill_ns(const struct predict_rates *rates, uint64_t tokens, uint32_t decoding)
{
	uint64_t steps = tokens / STEP_TOKENS + (tokens % STEP_TOKENS != 0);
	int64_t token_ns = sum_ns(rates->prefill_ns, decoding ? rates->prefill_beside_ns : 0);
	int64_t steps_ns = sum_ns(product_ns(tokens, token_ns), product_ns(steps, rates->prefill_fixed_ns));
	return sum_ns(rates->base_ns, steps_ns);
}

int64_t predict_decode_ns(const struct predict_rates *rates, uint64_t tokens, uint32_t sequences, uint64_t cells)
{
	int64_t step_ns = sum_ns(rates->fixed_ns, product_ns(sequences ? sequences : 1, rates->decode_ns));
	step_ns = sum_ns(step_ns, product_ns(cells, rates->context_ns) / 1000);
	return product_ns(tokens, step_ns);
}

int64_t predict_service_ns(const struct predict_rates *rates, uint32_t prompt_tokens, uint32_t output_tokens,
                           uint32_t sequences)
{
	/* Half of the output is there on average. */
	uint64_t cells = (uint64_t)sequences * ((uint64_t)prompt_tokens + output_tokens / 2);
	int64_t token_ns = sum_ns(rates->prefill_ns, rates->prefill_beside_ns);
	int64_t prefills_ns = product_ns((uint64_t)sequences * prompt_tokens, token_ns);
	return sum_ns(predict_decode_ns(rates, output_tokens, sequences, cells), prefills_ns);
}

/* ---- places ---- */

void predict_places_add(struct predict_places *places, int64_t free_ns, uint32_t count)
{
	if (count == 0)
		return;
	uint32_t at = places->used;
	while (at > 0 && places->rows[at - 1].free_ns > free_ns)
		at--;
	if (places->used == PREDICT_PLACES_MAX) {
		struct predict_place *row = &places->rows[at < PREDICT_PLACES_MAX ? at : PREDICT_PLACES_MAX - 1];
		row->count += count;
		row->free_ns = max_ll(row->free_ns, free_ns);
		return;
	}
	for (uint32_t i = places->used; i > at; i--)
		places->rows[i] = places->rows[i - 1];
	places->rows[at] = (struct predict_place){ free_ns, count };
	places->used++;
}

/* The sums are of at most 2^32 places and waiting requests, each an hour: more than 64 bits hold. */
__extension__ typedef __int128 wide;

static int64_t from_wide(wide value_ns)
{
	return value_ns > PREDICT_MAX_NS ? PREDICT_MAX_NS : (int64_t)value_ns;
}

/* The soonest that places which begin t / service + 1 requests have begun `wanted`. *used: the rows that are free by then. */
static int64_t soonest_ns(const struct predict_places *places, uint64_t wanted, int64_t service_ns, uint32_t *used)
{
	wide count = 0;
	wide freed_ns = 0; /* sum of count * free_ns */
	uint32_t i = 0;
	for (; i < places->used; i++) {
		const struct predict_place *row = &places->rows[i];
		/* Before this row's places come free the earlier ones may have begun enough. */
		if (count && count * row->free_ns - freed_ns + count * service_ns >= (wide)wanted * service_ns)
			break;
		count += row->count;
		freed_ns += (wide)row->count * row->free_ns;
		*used = i + 1;
		if (count >= wanted)
			return row->free_ns;
	}
	wide soonest = (((wide)wanted - count) * service_ns + freed_ns + count - 1) / count;
	return from_wide(soonest);
}

struct predict_wait predict_places_wait(const struct predict_places *places, uint32_t ahead, int64_t service_ns)
{
	if (places->used == 0)
		return (struct predict_wait){ NS_NEVER, NS_NEVER };
	const uint64_t wanted = (uint64_t)ahead + 1;
	uint32_t used = 0;
	service_ns = max_ll(service_ns, 1);
	const int64_t from_ns = soonest_ns(places, wanted, service_ns, &used);
	/* What places that begin whole requests have begun by then, and when each begins its next. */
	struct predict_places next = { 0 };
	uint64_t begun = 0;
	for (uint32_t i = 0; i < places->used; i++) {
		const struct predict_place *row = &places->rows[i];
		int64_t rounds = row->free_ns <= from_ns ? (from_ns - row->free_ns) / service_ns + 1 : 0;
		begun += (uint64_t)rounds * row->count;
		predict_places_add(&next, row->free_ns + rounds * service_ns, row->count);
	}
	int64_t bound_ns = from_ns;
	for (uint32_t i = 0; i < next.used && begun < wanted; i++) {
		begun += next.rows[i].count;
		bound_ns = min_ll(next.rows[i].free_ns, PREDICT_MAX_NS);
	}
	return (struct predict_wait){ from_ns + (bound_ns - from_ns) / 2, bound_ns };
}

/* ---- what became of predictions ---- */

static uint8_t bucket_of(int64_t actual_ns, int64_t predicted_ns)
{
	double actual = (double)(actual_ns < NS_PER_MS ? NS_PER_MS : actual_ns);
	double predicted = (double)(predicted_ns < NS_PER_MS ? NS_PER_MS : predicted_ns);
	double bucket = floor(log2(actual / predicted) * BUCKETS_PER_OCTAVE) + MIDDLE;
	if (bucket < 0)
		return 0;
	return bucket >= PREDICT_BUCKETS ? PREDICT_BUCKETS - 1 : (uint8_t)bucket;
}

static struct predict_sample *oldest_of(struct predict_ratio *ratio)
{
	return &ratio->ring[(ratio->next + PREDICT_WINDOW - ratio->filled) % PREDICT_WINDOW];
}

static void drop_oldest(struct predict_ratio *ratio)
{
	ratio->counts[oldest_of(ratio)->bucket]--;
	ratio->filled--;
}

void predict_ratio_add(struct predict_ratio *ratio, int64_t now_ns, int64_t actual_ns, int64_t predicted_ns)
{
	uint8_t bucket = bucket_of(actual_ns, predicted_ns);
	if (ratio->filled == PREDICT_WINDOW)
		drop_oldest(ratio);
	ratio->ring[ratio->next] = (struct predict_sample){ now_ns, bucket };
	ratio->counts[bucket]++;
	ratio->filled++;
	ratio->next = (ratio->next + 1) % PREDICT_WINDOW;
}

void predict_ratio_age(struct predict_ratio *ratio, int64_t now_ns)
{
	while (ratio->filled && now_ns - oldest_of(ratio)->at_ns > PREDICT_MEMORY_NS)
		drop_oldest(ratio);
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

#define MIDDLE_STEP 0.02
#define MIDDLE_STEP_FIRST 0.5
/* Further from 1 the arithmetic is not off, but about something else. */
#define MIDDLE_MAX 16.0

void predict_middle_add(struct predict_middle *middle, int64_t actual_ns, int64_t predicted_ns)
{
	double actual = (double)max_ll(actual_ns, NS_PER_MS);
	double predicted = (double)max_ll(predicted_ns, NS_PER_MS);
	double ratio = fmin(fmax(actual / predicted, 1 / MIDDLE_MAX), MIDDLE_MAX);
	double before = predict_middle_of(middle);
	double step = fmax(MIDDLE_STEP, MIDDLE_STEP_FIRST / ++middle->count);
	/* Not past the sample: the first ones come quickly to rest. */
	middle->ratio = ratio > before ? fmin(before * (1 + step), ratio) : fmax(before / (1 + step), ratio);
}

double predict_middle_of(const struct predict_middle *middle)
{
	return middle->count ? middle->ratio : 1;
}
