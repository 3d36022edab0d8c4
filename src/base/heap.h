/* A binary min-heap of embedded nodes: no allocation but the array of pointers; equal keys leave in insertion order. */
#ifndef PENSTOCK_BASE_HEAP_H
#define PENSTOCK_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Embedded in the owner's struct; container_of leads back. Zeroed = not in a heap. */
struct heap_node {
	int64_t key;       /* smallest leaves first */
	uint64_t sequence; /* set by heap_push: ties in insertion order */
	size_t place;      /* 1-based index in the array, 0 = in no heap */
};

struct heap {
	struct heap_node **nodes; /* owned array of borrowed nodes */
	size_t count;
	size_t capacity;
	uint64_t pushed;
};

void heap_init(struct heap *heap);
/* The nodes themselves are the caller's. */
void heap_fini(struct heap *heap);
/* Room for `capacity` nodes, so that pushes up to it cannot fail. */
enum error heap_reserve(struct heap *heap, size_t capacity);
/* Inserts by node->key; the node must not be in a heap. ERROR_MEMORY. */
enum error heap_push(struct heap *heap, struct heap_node *node);
/* The smallest, still inside; NULL when empty. */
struct heap_node *heap_peek(const struct heap *heap);
/* Removes the smallest; NULL when empty. */
struct heap_node *heap_pop(struct heap *heap);
/* Removes a node wherever it stands; does nothing when it is in no heap. */
void heap_remove(struct heap *heap, struct heap_node *node);

#endif
