/* The engine at work: takes prepared generations, computes their prompts on one thread (prompts.c), decodes their streams on another (streams.c), and
 * hands text back.
 *
 * The loop adds, cancels and collects; the threads own a generation from steps_add until it shows up finished in steps_collect. One lock guards
 * what crosses; it is never held during a decode. */
#ifndef PENSTOCK_ENGINE_STEPS_H
#define PENSTOCK_ENGINE_STEPS_H

#include <stdint.h>

#include "engine/generation.h"
#include "io/loop.h"
#include "policy/step_model.h"

struct steps;

/* A consistent view of what the engine is doing: the load report. */
struct steps_load {
	uint32_t sequences_running; /* generations that have a place */
	uint32_t sequences_waiting;
	uint32_t cells_used;     /* KV cells of streams */
	uint32_t backlog_tokens; /* prompt tokens not yet computed, waiting ones included */
	uint64_t steps;          /* of both lanes */
	uint64_t prefill_tokens; /* computed since the start */
	uint64_t cached_tokens;  /* of prompts, not computed because a prefix was cached */
	uint64_t output_tokens;
	uint64_t preemptions;
	uint64_t prefix_bytes;
	uint32_t share_permille;        /* of the time: what prompts get while streams decode */
	uint32_t usual_context;         /* cells that a prompt token attends to on average */
	struct step_model prompt_model; /* policy/step_model.h */
	struct step_model stream_model;
};

struct steps_settings {
	int64_t gap_ns;          /* bound on the gap between tokens beside prompts */
	uint64_t prefix_bytes;   /* memory for cached prefixes */
	const char *prefix_file; /* where they are kept from one life to the next; "" = nowhere; borrowed */
};

/* on_news(owner) is called on the loop when generations have output to collect. engine is borrowed. ERROR_MEMORY, ERROR_IO. */
enum error steps_start(struct engine *engine, const struct steps_settings *settings, struct loop *loop,
                       void (*on_news)(void *owner), void *owner, struct steps **out);
/* Ends the threads; generations still inside are the caller's to free. The loop must not run any more: it may hold a post of ours. Sets *steps
 * to NULL. */
void steps_stop(struct steps **steps);
/* Hands a prepared generation over. */
void steps_add(struct steps *steps, struct generation *generation);
/* After setting generation->cancelled: it leaves at the next step. */
void steps_wake(struct steps *steps);
/* Moves one generation's ready output to *out (buffers owned by the caller) and returns it; NULL when there is no more news. The times are a
 * copy of what is known by now. A generation with out->finish is the caller's again. */
struct generation *steps_collect(struct steps *steps, struct generation_output *out, struct generation_times *times);
void steps_load(struct steps *steps, struct steps_load *out);

#endif
