/* Called by steps.c alone, on the step thread. */
#include "engine/places.h"

#include <stdlib.h>

/* Output that is reserved for a request whose length nobody knows. */
#define EXPECTED_TOKENS 256

enum error places_init(struct places *places, struct engine *engine)
{
	*places = (struct places){ .engine = engine, .sequences = engine->facts.sequences };
	places->running = calloc(places->sequences, sizeof(struct generation *));
	return places->running ? OK : ERROR_MEMORY;
}

void places_fini(struct places *places)
{
	free(places->running);
	places->running = NULL;
}

static uint32_t reserved_cells(const struct generation *generation)
{
	uint32_t expected = generation->expected_tokens > 0 ? (uint32_t)generation->expected_tokens : EXPECTED_TOKENS;
	uint32_t output = expected < generation->output_max ? expected : generation->output_max;
	uint32_t wanted = generation->prompt_count + output;
	uint32_t total = generation_total_tokens(generation);
	return wanted > total ? wanted : total;
}

static uint32_t cached_cells(const struct generation *generation)
{
	return generation->cached;
}

static uint32_t sum_running(const struct places *places, uint32_t (*of)(const struct generation *generation))
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < places->sequences; i++) {
		if (places->running[i])
			sum += of(places->running[i]);
	}
	return sum;
}

static bool goes_before(const struct generation *a, const struct generation *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->arrival < b->arrival;
}

void places_wait(struct places *places, struct generation *generation)
{
	struct generation **slot = &places->waiting;
	while (*slot && !goes_before(generation, *slot))
		slot = &(*slot)->next;
	generation->next = *slot;
	*slot = generation;
}

static int32_t free_sequence(const struct places *places)
{
	for (uint32_t i = 0; i < places->sequences; i++) {
		if (!places->running[i])
			return (int32_t)i;
	}
	return -1;
}

void places_start(struct places *places)
{
	uint32_t reserved = sum_running(places, reserved_cells);
	while (places->waiting) {
		struct generation *generation = places->waiting;
		uint32_t cells = reserved_cells(generation);
		int32_t sequence = free_sequence(places);
		/* Alone, anything fits: its size was checked when it was prepared. */
		if (sequence < 0 || (reserved && reserved + cells > places->engine->facts.context_tokens))
			return;
		places->waiting = generation->next;
		generation->next = NULL;
		generation->sequence = sequence;
		places->running[sequence] = generation;
		reserved += cells;
	}
}

void places_leave(struct places *places, struct generation *generation)
{
	places->engine->ops->forget(places->engine, generation->sequence);
	places->running[generation->sequence] = NULL;
	generation->sequence = -1;
	generation->cached = 0;
}

bool places_preempt(struct places *places)
{
	struct generation *latest = NULL;
	uint32_t count = 0;
	for (uint32_t i = 0; i < places->sequences; i++) {
		struct generation *generation = places->running[i];
		if (!generation)
			continue;
		count++;
		if (!latest || generation->arrival > latest->arrival)
			latest = generation;
	}
	if (count < 2)
		return false;
	places_leave(places, latest);
	places_wait(places, latest);
	return true;
}

uint32_t places_cells_used(const struct places *places)
{
	return sum_running(places, cached_cells);
}

bool places_are_idle(const struct places *places)
{
	return !places->waiting && sum_running(places, reserved_cells) == 0;
}
