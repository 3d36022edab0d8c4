/* Who may use the KV cache: the account of places in the two lanes where streams decode.
 *
 * A generation takes its place before its prompt is computed, so that no finished prompt waits for one. What it will need (prompt and expected
 * output) decides the lane: short when it fits a sequence there, else long, where the needs of all must fit together. Where long ones grow past
 * what they reserved and the cells run out, one gives its place back and waits for another (streams.c). Callers hold the lock of steps.h. */
#ifndef PENSTOCK_ENGINE_PLACES_H
#define PENSTOCK_ENGINE_PLACES_H

#include "engine/generation.h"

struct places {
	uint32_t short_tokens, short_free;
	uint32_t long_cells, long_reserved, long_free; /* sequences free */
	uint32_t returning;                            /* streams that wait for a place in the long lane */
};

void places_init(struct places *places, const struct engine_facts *facts);
/* Cells that a generation will need as far as anybody knows. */
uint32_t places_wanted(const struct generation *generation);
/* The lane that it needs: LANE_SHORT or LANE_LONG. */
enum engine_lane places_lane(const struct places *places, const struct generation *generation);
/* Could it take a place now? A stream that waits to go on (it has a state) comes before prompts that have not begun. */
bool places_has_room(const struct places *places, const struct generation *generation);
/* Takes a place: sets lane and reserved. false: there is none now. Alone in the long lane, any size fits: it was checked when it was prepared. */
bool places_take(struct places *places, struct generation *generation);
/* Gives it back, if it has one. */
void places_give(struct places *places, struct generation *generation);
/* It has grown to `cells` in the long lane. */
void places_grow(struct places *places, struct generation *generation, uint32_t cells);

#endif
