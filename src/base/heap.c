/* A binary heap in an array that counts from 1, so that place 0 can mean "in no heap": the parent of p is p / 2.
 * Invariant: every node knows its place, and no node comes before its parent. */
#include "base/heap.h"

#include <stdbool.h>
#include <stdlib.h>

#define CAPACITY_FIRST 16

static struct heap_node *node_at(const struct heap *heap, size_t place)
{
	return heap->nodes[place - 1];
}

static void put(struct heap *heap, struct heap_node *node, size_t place)
{
	heap->nodes[place - 1] = node;
	node->place = place;
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

void heap_init(struct heap *heap)
{
	*heap = (struct heap){ 0 };
}

void heap_fini(struct heap *heap)
{
	for (size_t i = 0; i < heap->count; i++)
		heap->nodes[i]->place = 0;
	free(heap->nodes);
	*heap = (struct heap){ 0 };
}

enum error heap_reserve(struct heap *heap, size_t capacity)
{
	if (capacity <= heap->capacity)
		return OK;
	struct heap_node **nodes = reallocarray(heap->nodes, capacity, sizeof(*nodes));
	if (nodes == NULL)
		return ERROR_MEMORY;
	heap->nodes = nodes;
	heap->capacity = capacity;
	return OK;
}

static void sift_up(struct heap *heap, struct heap_node *node, size_t place)
{
	while (place > 1 && is_before(node, node_at(heap, place / 2))) {
		put(heap, node_at(heap, place / 2), place);
		place /= 2;
	}
	put(heap, node, place);
}

static void sift_down(struct heap *heap, struct heap_node *node, size_t place)
{
	while (place * 2 <= heap->count) {
		size_t child = place * 2;
		if (child < heap->count && is_before(node_at(heap, child + 1), node_at(heap, child)))
			child++;
		if (!is_before(node_at(heap, child), node))
			break;
		put(heap, node_at(heap, child), place);
		place = child;
	}
	put(heap, node, place);
}

enum error heap_push(struct heap *heap, struct heap_node *node)
{
	MUST(node->place == 0);
	if (heap->count == heap->capacity) {
		const enum error error = heap_reserve(heap, heap->capacity == 0 ? CAPACITY_FIRST : heap->capacity * 2);
		if (error != OK)
			return error;
	}
	node->sequence = heap->pushed++;
	heap->count++;
	sift_up(heap, node, heap->count);
	return OK;
}

struct heap_node *heap_peek(const struct heap *heap)
{
	return heap->count == 0 ? NULL : node_at(heap, 1);
}

struct heap_node *heap_pop(struct heap *heap)
{
	struct heap_node *node = heap_peek(heap);
	if (node != NULL)
		heap_remove(heap, node);
	return node;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	const size_t place = node->place;
	if (place == 0)
		return;
	MUST(place <= heap->count && node_at(heap, place) == node);
	struct heap_node *last = node_at(heap, heap->count);
	heap->count--;
	node->place = 0;
	if (last == node)
		return;
	/* The last node fills the hole; it may belong above it or below it. */
	if (place > 1 && is_before(last, node_at(heap, place / 2)))
		sift_up(heap, last, place);
	else
		sift_down(heap, last, place);
}
