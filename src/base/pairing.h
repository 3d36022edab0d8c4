/* A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) of embedded nodes: unlike struct heap it needs no array, so that there may be thousands of them.
 * Equal keys leave in insertion order. Push O(1), pop and remove O(log n) amortised, no recursion. */
#ifndef PENSTOCK_BASE_PAIRING_H
#define PENSTOCK_BASE_PAIRING_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded in the owner's struct. Zeroed = in no heap. */
struct pairing_node {
	int64_t key;       /* smallest leaves first */
	uint64_t sequence; /* set by pairing_push */
	bool is_in;
	struct pairing_node *child;
	struct pairing_node *next;     /* sibling */
	struct pairing_node *previous; /* sibling, or the parent of a first child */
};

/* Zeroed = empty. */
struct pairing {
	struct pairing_node *root;
	uint64_t pushed;
};

/* By node->key; the node must be in no heap. */
void pairing_push(struct pairing *pairing, struct pairing_node *node);
/* The smallest, still inside; NULL when empty. */
struct pairing_node *pairing_peek(const struct pairing *pairing);
/* Wherever it stands; does nothing when it is in no heap. It must be in this one otherwise. */
void pairing_remove(struct pairing *pairing, struct pairing_node *node);

#endif
