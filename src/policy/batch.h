/* What an engine's prompt step contains, and what it may cost the streams beside it: the single place of these decisions, linked by the engine and
 * by the planner. Pure.
 *
 * The engine has two lanes, each with a context and a thread of its own: one computes prompts in chunks, the other decodes every stream once a
 * round (docs/engine.md has the measurements that led there). So a stream never waits for a chunk; what the lanes share is the processor, and
 * batch_share says how much of it prompts get. */
#ifndef PENSTOCK_POLICY_BATCH_H
#define PENSTOCK_POLICY_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/step_model.h"

/* One prompt as the planner sees it. */
struct batch_prompt {
	uint32_t left;           /* tokens not yet computed, > 0 */
	uint32_t context_tokens; /* those computed */
	int64_t arrived_ns;
	int64_t deadline_ns; /* first token wanted by then; NS_NEVER when not told */
	uint64_t arrival;    /* unique, increasing: breaks ties */
	uint32_t tokens;     /* out: how many tokens of it this step takes */
	uint32_t order;      /* out: its turn among those that get tokens, from 0 */
};

/* Fills a step of at most tokens_max prompt tokens and returns its size. Order: the earlier of
 *
 *   arrived + 4 * (time to compute what is left) + a quarter of (deadline - arrived, at most 16 s)
 *                                                    a short prompt passes a long one, and one that is wanted soon one that may wait; but only while the
 *                                                    sum is not over, so that nobody starves
 *   deadline - (time to compute what is left)        the last moment to begin
 *
 * A step is filled with the next prompt's tokens when one ends inside it; once it is BATCH_WIDE wide only with prompts that end in it, too, so that a
 * short one does not wait for part of a long one. At least one prompt gets a token when count > 0. O(count^2). */
struct step_size batch_plan(struct batch_prompt *prompts, uint32_t count, uint32_t tokens_max,
                            const struct step_model *model);

/* In that order: how many times its own length a prompt lets others pass it. */
#define BATCH_PASSED 4

/* Below so many tokens a step costs nearly the same (measured on a CPU: attention takes another path, docs/engine.md). */
#define BATCH_WIDE 64

/* Can this prompt's first token still come in time, if it were the next? A model that has learned little turns nobody away. */
bool batch_is_in_time(const struct batch_prompt *prompt, int64_t now_ns, const struct step_model *model);

/* The share of the time that prompts may compute while something decodes: all of it as long as the gaps between tokens keep to their bound. */
struct batch_share {
	double share; /* [BATCH_SHARE_MIN, 1] */
};

/* Prompts are never stopped for good: who waits for a first token waits for it while others stream. */
#define BATCH_SHARE_MIN 0.1

void batch_share_init(struct batch_share *share);
/* One gap between tokens of a stream beside which prompts were computed. Over the bound the share shrinks by a tenth; under 0.7 of it, it grows by
 * a twentieth (slower than it shrinks, so that it settles below the bound). */
void batch_share_observe(struct batch_share *share, int64_t gap_ns, int64_t bound_ns);

#endif
