/* Bump allocation out of a list of blocks. The newest block serves small pieces; a piece too large for it gets a
 * block of its own, put behind the newest so that the newest's rest is not lost.
 *
 * Blocks come from calloc and are never handed out twice, which is what keeps every piece zeroed. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT alignof(max_align_t)
/* A request has one, for as long as its stream: most need only a few names. */
#define BLOCK_BYTES_FIRST ((size_t)1024)
#define BLOCK_BYTES_MAX ((size_t)65536)

struct arena_block {
	struct arena_block *next; /* owned */
	size_t used;
	size_t size; /* of data */
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena, size_t limit_bytes)
{
	*arena = (struct arena){ .limit = limit_bytes };
}

void arena_fini(struct arena *arena)
{
	struct arena_block *block = arena->blocks;
	while (block != NULL) {
		struct arena_block *next = block->next;
		free(block);
		block = next;
	}
	arena->blocks = NULL;
	arena->used = 0;
}

static struct arena_block *block_new(size_t size)
{
	if (size > SIZE_MAX - sizeof(struct arena_block))
		return NULL;
	struct arena_block *block = calloc(1, sizeof(struct arena_block) + size);
	if (block != NULL)
		block->size = size;
	return block;
}

/* A block that only this piece lives in; behind the newest. */
static void *alloc_alone(struct arena *arena, size_t size)
{
	struct arena_block *block = block_new(size);
	if (block == NULL)
		return NULL;
	block->used = size;
	if (arena->blocks != NULL) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		arena->blocks = block;
	}
	return block->data;
}

#ifndef PENSTOCK_SANITIZE
static void *alloc_shared(struct arena *arena, size_t size)
{
	struct arena_block *newest = arena->blocks;
	if (newest == NULL || size > newest->size - newest->used) {
		size_t size_next =
			newest == NULL || newest->size * 2 < BLOCK_BYTES_FIRST ? BLOCK_BYTES_FIRST : newest->size * 2;
		if (size_next > BLOCK_BYTES_MAX)
			size_next = BLOCK_BYTES_MAX;
		struct arena_block *block = block_new(size_next);
		if (block == NULL)
			return NULL;
		block->next = newest;
		arena->blocks = newest = block;
	}
	void *piece = newest->data + newest->used;
	newest->used += size;
	return piece;
}
#endif

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	const size_t wanted = size == 0 ? 1 : size;
	const size_t rounded = (wanted + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (arena->limit != 0 && (arena->used > arena->limit || rounded > arena->limit - arena->used))
		return NULL;
#ifdef PENSTOCK_SANITIZE
	/* Not rounded: the first byte past the piece must be poisoned. */
	void *piece = alloc_alone(arena, wanted);
#else
	void *piece = rounded > BLOCK_BYTES_FIRST / 4 ? alloc_alone(arena, rounded) : alloc_shared(arena, rounded);
#endif
	if (piece != NULL)
		arena->used += rounded;
	return piece;
}

char *arena_copy_text(struct arena *arena, struct span text)
{
	if (text.len == SIZE_MAX)
		return NULL;
	char *copy = arena_alloc(arena, text.len + 1);
	if (copy != NULL && text.len > 0)
		memcpy(copy, text.at, text.len);
	return copy;
}
