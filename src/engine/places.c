/* Called by prompts.c, streams.c and steps.c, on their threads, under the lock of steps.h. */
#include "engine/places.h"

#include "base/macros.h"

/* Output that is reserved for a request whose length nobody knows. */
#define EXPECTED_TOKENS 256

void places_init(struct places *places, const struct engine_facts *facts)
{
	*places = (struct places){
		.short_tokens = facts->short_tokens,
		.short_free = facts->short_tokens ? facts->sequences : 0,
		.long_cells = facts->context_tokens,
		.long_free = facts->sequences,
	};
}

uint32_t places_wanted(const struct generation *generation)
{
	uint32_t expected = generation->expected_tokens > 0 ? (uint32_t)generation->expected_tokens : EXPECTED_TOKENS;
	uint32_t output = expected < generation->output_max ? expected : generation->output_max;
	uint32_t wanted = generation->prompt_count + output;
	uint32_t total = generation_total_tokens(generation);
	return wanted > total ? wanted : total;
}

enum engine_lane places_lane(const struct places *places, const struct generation *generation)
{
	/* The last token is sampled, and never has a cell. */
	return places_wanted(generation) <= places->short_tokens ? LANE_SHORT : LANE_LONG;
}

bool places_has_room(const struct places *places, const struct generation *generation)
{
	if (places_lane(places, generation) == LANE_SHORT)
		return places->short_free > 0;
	if (places->returning && !generation->state)
		return false;
	return places->long_free &&
	       (!places->long_reserved || places->long_reserved + places_wanted(generation) <= places->long_cells);
}

bool places_take(struct places *places, struct generation *generation)
{
	MUST(generation->lane == LANE_PROMPTS);
	if (!places_has_room(places, generation))
		return false;
	generation->lane = places_lane(places, generation);
	if (generation->lane == LANE_SHORT) {
		places->short_free--;
		generation->reserved = places->short_tokens;
		return true;
	}
	places->long_free--;
	generation->reserved = places_wanted(generation);
	places->long_reserved += generation->reserved;
	return true;
}

void places_give(struct places *places, struct generation *generation)
{
	if (generation->lane == LANE_SHORT) {
		places->short_free++;
	} else if (generation->lane == LANE_LONG) {
		places->long_free++;
		places->long_reserved -= generation->reserved;
	}
	generation->lane = LANE_PROMPTS;
	generation->reserved = 0;
}

void places_grow(struct places *places, struct generation *generation, uint32_t cells)
{
	if (generation->lane != LANE_LONG || cells <= generation->reserved)
		return;
	places->long_reserved += cells - generation->reserved;
	generation->reserved = cells;
}
