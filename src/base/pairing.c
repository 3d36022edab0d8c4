#include "base/pairing.h"

#include <stddef.h>

#include "base/error.h"

static bool is_before(const struct pairing_node *a, const struct pairing_node *b)
{
	return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

/* Two trees without siblings become one; either may be NULL. */
static struct pairing_node *meld(struct pairing_node *a, struct pairing_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (is_before(b, a)) {
		struct pairing_node *swapped = a;
		a = b;
		b = swapped;
	}
	b->next = a->child;
	if (b->next)
		b->next->previous = b;
	b->previous = a;
	a->child = b;
	return a;
}

/* The children of one that leaves, as one tree: pairs from the left, then all from the right. */
static struct pairing_node *meld_siblings(struct pairing_node *first)
{
	struct pairing_node *pairs = NULL; /* a list, the last pair first */
	while (first) {
		struct pairing_node *second = first->next;
		struct pairing_node *rest = second ? second->next : NULL;
		first->next = first->previous = NULL;
		if (second)
			second->next = second->previous = NULL;
		struct pairing_node *pair = meld(first, second);
		pair->next = pairs;
		pairs = pair;
		first = rest;
	}
	struct pairing_node *all = NULL;
	while (pairs) {
		struct pairing_node *rest = pairs->next;
		pairs->next = NULL;
		all = meld(all, pairs);
		pairs = rest;
	}
	return all;
}

void pairing_push(struct pairing *pairing, struct pairing_node *node)
{
	MUST(!node->is_in);
	*node = (struct pairing_node){ .key = node->key, .sequence = pairing->pushed++, .is_in = true };
	pairing->root = meld(pairing->root, node);
}

struct pairing_node *pairing_peek(const struct pairing *pairing)
{
	return pairing->root;
}

void pairing_remove(struct pairing *pairing, struct pairing_node *node)
{
	if (!node->is_in)
		return;
	struct pairing_node *children = meld_siblings(node->child);
	if (pairing->root == node) {
		pairing->root = children;
	} else {
		if (node->previous->child == node)
			node->previous->child = node->next;
		else
			node->previous->next = node->next;
		if (node->next)
			node->next->previous = node->previous;
		pairing->root = meld(pairing->root, children);
	}
	*node = (struct pairing_node){ .key = node->key };
}
