/* What one engine step contains: the single place of that decision, linked by the engine and by the planner.
 *
 * Every decoding sequence gets its token first. Prompt chunks fill what is left of the step's time budget, in deadline order, so that no
 * running stream waits for a prompt longer than the budget; when nothing decodes, prompts run at full width. Pure. */
#ifndef PENSTOCK_POLICY_BATCH_H
#define PENSTOCK_POLICY_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/step_model.h"

/* One sequence as the planner sees it. */
struct batch_sequence {
	uint32_t prefill_left;   /* prompt tokens not yet in the cache; 0 = decoding */
	uint32_t context_tokens; /* cells it holds now */
	int64_t deadline_ns;     /* prompts go in this order; ties by arrival */
	uint64_t arrival;        /* unique, increasing */
	uint32_t tokens;         /* out: how many tokens of it this step takes */
};

struct batch_limits {
	uint32_t
		tokens_max; /* the widest step the engine takes; over the number of sequences, or the last of them wait for the first */
	/* Prompt chunks beside decodes are multiples of this (the last of a prompt may be short): cost is not linear below it (measured: 64 for
	 * llama.cpp on a CPU). One that does not fit beside the decodes at all takes what fits. 0 counts as 1. */
	uint32_t chunk_tokens;
	int64_t budget_ns; /* predicted length of a step that decodes */
};

/* Sets .tokens of every sequence; returns the step's size. At least one sequence gets a token when count > 0. O(count^2) in the prompts. */
struct step_size batch_plan(struct batch_sequence *sequences, uint32_t count, const struct batch_limits *limits,
                            const struct step_model *model);

#endif
