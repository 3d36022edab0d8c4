/* Who may use the KV cache: a list that waits, a sequence for each that runs, and the account of cells.
 *
 * A generation starts when its prompt and expected answer fit beside what the running ones have reserved. Where they grow past that and the cache is
 * full, the latest arrival gives its cells back and is computed again later: nobody fails. Belongs to the step thread. */
#ifndef PENSTOCK_ENGINE_PLACES_H
#define PENSTOCK_ENGINE_PLACES_H

#include "engine/generation.h"

struct places {
	struct engine *engine;       /* borrowed */
	struct generation *waiting;  /* list in (deadline, arrival) order; borrowed, so the next */
	struct generation **running; /* owned array, shape (sequences,); NULL = a free sequence */
	uint32_t sequences;
};

enum error places_init(struct places *places, struct engine *engine);
void places_fini(struct places *places);
/* Puts one into the waiting list at its place. */
void places_wait(struct places *places, struct generation *generation);
/* Gives sequences to those that wait, in order, as far as cells and sequences reach: a large one is not passed for ever. */
void places_start(struct places *places);
/* Takes its sequence and cells from a running one. */
void places_leave(struct places *places, struct generation *generation);
/* The latest arrival goes back to the list, to start over with what it has said so far as part of its prompt. false: only one is running. */
bool places_preempt(struct places *places);
/* Cells that hold a token. */
uint32_t places_cells_used(const struct places *places);
/* Has nobody anything to compute? */
bool places_are_idle(const struct places *places);

#endif
