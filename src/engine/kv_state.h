/* The KV cells of some tokens, outside any context: what moves a finished prompt from one lane to the other, what a preempted stream leaves behind,
 * and what a cached prefix is. Immutable once filled; counted references, any thread. */
#ifndef PENSTOCK_ENGINE_KV_STATE_H
#define PENSTOCK_ENGINE_KV_STATE_H

#include <stddef.h>
#include <stdint.h>

struct kv_state {
	_Atomic uint32_t references;
	uint32_t tokens; /* whose cells these are, from the first on */
	size_t size;     /* of bytes */
	unsigned char bytes[];
};

/* One reference, the caller's; NULL without memory. The caller fills bytes before anyone else sees it. */
struct kv_state *kv_state_new(uint32_t tokens, size_t size);
struct kv_state *kv_state_ref(struct kv_state *state);
/* Sets *state to NULL. */
void kv_state_unref(struct kv_state **state);

#endif
