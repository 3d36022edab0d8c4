/* Memory for one request: allocate many, free all at once.
 *
 * Sanitizer builds give every piece its own malloc, so that an overrun is seen. Not thread-safe. */
#ifndef PENSTOCK_BASE_ARENA_H
#define PENSTOCK_BASE_ARENA_H

#include <stddef.h>

#include "base/bytes.h"

struct arena {
	struct arena_block *blocks; /* owned, newest first; NULL when empty */
	size_t used;                /* bytes handed out since the last reset */
	size_t limit;               /* bytes that may be handed out; 0 = no limit */
};

/* limit_bytes 0 = none. Allocates nothing yet. */
void arena_init(struct arena *arena, size_t limit_bytes);
/* Frees everything; the arena stays usable. Every pointer from it is dead. */
void arena_fini(struct arena *arena);
/* Zeroed, aligned for any type, valid until arena_fini. NULL when memory or the limit is exhausted; size 0 gives a
 * unique pointer. */
void *arena_alloc(struct arena *arena, size_t size);
/* A NUL-terminated copy; NULL when memory is full. */
char *arena_copy_text(struct arena *arena, struct span text);

#endif
