/* What is learned of an engine whose inside we can't see: how long a first token takes by the work in front of it, how fast tokens follow, and how many
 * requests it should be sent at once. Pure: no clock, no I/O.
 *
 *   first_token_ns = base + token * (prompt tokens of the request) + ahead * (those of ours that wait for their first token there)
 *
 * fitted as a step of the engine is (policy/step_model). The limit follows Netflix's Gradient2 (concurrency-limits, 2018), fed with first-token times over
 * what the same work takes when little is in flight, never with end-to-end times, which output lengths rule:
 *
 *   gradient = clamp(tolerance * unloaded / actual, 0.5, 1);  limit += 0.2 * (limit * gradient + sqrt(limit) - limit) / samples a round */
#ifndef PENSTOCK_POLICY_OPAQUE_H
#define PENSTOCK_POLICY_OPAQUE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/predict.h"
#include "policy/step_model.h"

struct opaque {
	struct step_model first_token;
	struct step_model unloaded; /* of requests that found little in flight */
	double token_gap_ns;        /* between a stream's tokens; 0 = none seen */
	double limit;               /* requests at once; fixed when is_fixed */
	bool is_fixed;
};

/* concurrency: requests at once, as the operator knows; 0 = learn it, from 32. */
void opaque_init(struct opaque *opaque, uint32_t concurrency);
/* A first token came after took_ns: of a request of prompt_tokens behind ahead_tokens of others, when in_flight requests, itself included, were there. */
void opaque_first_token(struct opaque *opaque, uint32_t prompt_tokens, uint64_t ahead_tokens, uint32_t in_flight,
                        int64_t took_ns);
/* A stream's `tokens` after the first took took_ns. */
void opaque_tokens(struct opaque *opaque, uint32_t tokens, int64_t took_ns);
/* It refused a request as too much, with in_flight there. */
void opaque_refused(struct opaque *opaque, uint32_t in_flight);
/* In [1, OPAQUE_LIMIT_MAX]. */
uint32_t opaque_limit(const struct opaque *opaque);
#define OPAQUE_LIMIT_MAX 65536
/* A learned limit stays below; control has room for as many. */
#define OPAQUE_LEARNED_MAX 1024
struct predict_rates opaque_rates(const struct opaque *opaque);
/* What a prompt token in front costs, in thousandths of one's own: 0 where an engine takes all at once, as hosted ones do. [0, 1000]. */
uint32_t opaque_ahead_permille(const struct opaque *opaque);
/* Whether it has been learned from enough to hold a request against its deadline. */
bool opaque_is_known(const struct opaque *opaque);

#endif
