/* A promise, and whether it is kept: a sliding window of requests that met it and requests that did not. Pure: time is an argument.
 *
 * "p95 <= X" means that at least 95 % of the eligible requests in the window were at or under X. The window is made of buckets of ten seconds, so that it can be
 * summed over loops and nodes; one that is not full yet is as long as it has been. Below min_samples the state is unknown, never kept. */
#ifndef PENSTOCK_POLICY_PROMISE_H
#define PENSTOCK_POLICY_PROMISE_H

#include <stdbool.h>
#include <stdint.h>

/* What is promised, by what it is measured on. */
enum indicator {
	INDICATOR_ttft,   /* first content token in time */
	INDICATOR_tpot,   /* mean time per token after it in time */
	INDICATOR_e2e,    /* whole answer in time */
	INDICATOR_refuse, /* taken at all */
	INDICATOR_checks, /* the answer passed the route's checks */
	INDICATOR_cost,   /* within the ceiling */
	INDICATORS
};

/* "ttft", "tpot", ...: label values. Static. */
const char *const *indicator_texts(void);

enum promise_state { PROMISE_NONE, PROMISE_UNKNOWN, PROMISE_KEPT, PROMISE_BROKEN };

/* Ten minutes: the longest window. */
#define PROMISE_BUCKETS_MAX 60
#define PROMISE_BUCKET_NS (INT64_C(10) * 1000 * 1000 * 1000)

/* Of one indicator. Zeroed = nothing has happened. */
struct promise_window {
	struct promise_bucket {
		uint32_t eligible;
		uint32_t met;
	} buckets[PROMISE_BUCKETS_MAX];
	int64_t newest; /* number of the newest bucket: time over PROMISE_BUCKET_NS */
};

/* now_ns: not before an earlier call's. Adds counts that came in since the last call. */
void promise_window_add(struct promise_window *window, int64_t now_ns, uint32_t eligible, uint32_t met);

struct promise_view {
	uint64_t eligible;
	uint64_t met;
	double attainment; /* 0..1; 1 while nothing was eligible */
	enum promise_state state;
};

/* Over the last window_ns (rounded up to buckets, at most PROMISE_BUCKETS_MAX of them). share: that must be met, as 0.95. */
struct promise_view promise_window_view(struct promise_window *window, int64_t now_ns, int64_t window_ns, double share,
                                        uint64_t min_samples);

#endif
