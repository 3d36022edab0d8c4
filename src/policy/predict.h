/* How long a request will wait for its first token: arithmetic over a replica's step model and our own accounts. Pure.
 *
 * A prediction is made from work, never from past latencies: queued tokens through the step model. What the arithmetic gets wrong is measured
 * as actual / predicted, and the 95th percentile of that ratio over the last 1,000 requests of two minutes scales what admission promises. */
#ifndef PENSTOCK_POLICY_PREDICT_H
#define PENSTOCK_POLICY_PREDICT_H

#include <stdint.h>

/* No prediction is longer, whatever the numbers say: sums of them stay far from overflow. */
#define PREDICT_MAX_NS (INT64_C(3600) * 1000 * 1000 * 1000)

/* The step models of both lanes (policy/step_model.h) as a load report carries them, all ns (context: per 1,000 cells). */
struct predict_rates {
	int64_t fixed_ns;          /* every round of the streams */
	int64_t prefill_ns;        /* each prompt token, behind as many others as is usual */
	int64_t decode_ns;         /* each stream in a round */
	int64_t context_ns;        /* each cell that a stream attends to */
	int64_t prefill_fixed_ns;  /* every prompt step */
	int64_t prefill_beside_ns; /* each prompt token, more, while streams decode */
	int64_t base_ns;           /* each request, before anything of it is computed: the way there */
};

/* Rates of an engine that nobody has measured yet: a small model on one slow core. */
extern const struct predict_rates predict_rates_unknown;

/* Each rate within [0, 10 s]: they come from outside. */
struct predict_rates predict_rates_bounded(const struct predict_rates *rates);

/* Time the engine spends on a prompt of `tokens` while `decoding` streams take a token each round. All results: [0, PREDICT_MAX_NS]. */
int64_t predict_prefill_ns(const struct predict_rates *rates, uint64_t tokens, uint32_t decoding);
/* Time until a sequence has `tokens` more when `sequences` (0 counts as 1) decode together and hold `cells` of the cache in all. */
int64_t predict_decode_ns(const struct predict_rates *rates, uint64_t tokens, uint32_t sequences, uint64_t cells);
/* How long a request keeps its place on a replica whose `sequences` places are all taken by requests of this size, each followed by
 * the next: its own steps, and everyone's prefills that come between them. */
int64_t predict_service_ns(const struct predict_rates *rates, uint32_t prompt_tokens, uint32_t output_tokens,
                           uint32_t sequences);

/* When places (of one pool, on all its replicas) become free, soonest first. Zeroed = none. */
#define PREDICT_PLACES_MAX 64
struct predict_places {
	struct predict_place {
		int64_t free_ns; /* from now */
		uint32_t count;  /* places that are free then */
	} rows[PREDICT_PLACES_MAX];
	uint32_t used;
};

/* O(rows). A row too many joins the next later one: late is the safe side. count == 0 adds nothing. */
void predict_places_add(struct predict_places *places, int64_t free_ns, uint32_t count);

struct predict_wait {
	int64_t expected_ns;
	int64_t bound_ns; /* when all requests are equally long: exact, and the latest it may be */
};

/* When a request with `ahead` others before it gets a place, each of which is kept for `service_ns`; NS_NEVER when there are no places.
 * Every place takes a request as soon as it is free: when requests are equally long it has begun floor(t / service) + 1 of them t after it
 * came free. Where lengths are spread as wide as their mean (renewals of a Poisson process) it is t / service + 1, which is sooner; real ones
 * lie between, and the expectation is the middle. O(rows^2) at most, no allocation. */
struct predict_wait predict_places_wait(const struct predict_places *places, uint32_t ahead, int64_t service_ns);

#define PREDICT_WINDOW 1000
#define PREDICT_BUCKETS 64
/* Older samples are forgotten: one stall must not keep requests out for as long as the next 1,000 take to come. */
#define PREDICT_MEMORY_NS (INT64_C(120) * 1000 * 1000 * 1000)

/* Sliding distribution of actual / predicted in logarithmic buckets of a quarter octave, from 1/256 to 256. Zeroed = empty. */
struct predict_ratio {
	uint16_t counts[PREDICT_BUCKETS];
	struct predict_sample {
		int64_t at_ns;
		uint8_t bucket;
	} ring[PREDICT_WINDOW];
	uint32_t filled;
	uint32_t next;
};

/* Actual and predicted in ns; values below a millisecond count as one. now_ns: not before an earlier call's. */
void predict_ratio_add(struct predict_ratio *ratio, int64_t now_ns, int64_t actual_ns, int64_t predicted_ns);
/* Drops what is older than PREDICT_MEMORY_NS. */
void predict_ratio_age(struct predict_ratio *ratio, int64_t now_ns);
/* Median of actual / predicted, followed in one number: each sample moves it by a fiftieth of itself towards the sample, the first ones by more. Zeroed = 1. */
struct predict_middle {
	double ratio;
	uint32_t count;
};
void predict_middle_add(struct predict_middle *middle, int64_t actual_ns, int64_t predicted_ns);
double predict_middle_of(const struct predict_middle *middle);

/* The 95th percentile: the upper edge of its bucket. 1 when that bucket is the one from 1 or lower, or while fewer than 20 are known. */
double predict_ratio_p95(const struct predict_ratio *ratio);

#endif
