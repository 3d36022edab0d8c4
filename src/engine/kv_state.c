/* Called by both lanes and by the cache of prefixes, on either thread. */
#include "engine/kv_state.h"

#include <stdatomic.h>
#include <stdlib.h>

struct kv_state *kv_state_new(uint32_t tokens, size_t size)
{
	struct kv_state *state = malloc(sizeof(*state) + size);
	if (!state)
		return NULL;
	atomic_init(&state->references, 1);
	state->tokens = tokens;
	state->size = size;
	return state;
}

struct kv_state *kv_state_ref(struct kv_state *state)
{
	atomic_fetch_add_explicit(&state->references, 1, memory_order_relaxed);
	return state;
}

void kv_state_unref(struct kv_state **state_slot)
{
	struct kv_state *state = *state_slot;
	*state_slot = NULL;
	if (state && atomic_fetch_sub_explicit(&state->references, 1, memory_order_acq_rel) == 1)
		free(state);
}
