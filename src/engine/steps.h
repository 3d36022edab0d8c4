/* The step thread: takes prepared generations, decides each step with policy/batch, decodes, samples, hands text back.
 *
 * The loop adds, cancels and collects; the thread owns a generation from steps_add until it shows up finished in steps_collect. One lock
 * guards what crosses; it is never held during a decode. */
#ifndef PENSTOCK_ENGINE_STEPS_H
#define PENSTOCK_ENGINE_STEPS_H

#include <stdint.h>

#include "engine/generation.h"
#include "io/loop.h"
#include "policy/step_model.h"

struct steps;

/* A consistent view of what the engine is doing: the load report. */
struct steps_load {
	uint32_t sequences_running;
	uint32_t sequences_waiting;
	uint32_t cells_used;     /* KV cells that hold a token */
	uint32_t backlog_tokens; /* prompt tokens not yet computed, waiting ones included */
	uint64_t steps;
	uint64_t prefill_tokens; /* computed since the start */
	uint64_t output_tokens;
	uint64_t preemptions;
	struct step_model model;
};

/* on_news(owner) is called on the loop when generations have output to collect. engine is borrowed. ERROR_MEMORY, ERROR_IO. */
enum error steps_start(struct engine *engine, int64_t budget_ns, struct loop *loop, void (*on_news)(void *owner),
                       void *owner, struct steps **out);
/* Ends the thread; generations still inside are the caller's to free. The loop must not run any more: it may hold a post of ours. Sets *steps
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
