/* The pairing heap against an array that is searched: the same order, whatever is pushed and taken out in between. */
#include "base/pairing.h"

#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

#define NODES 300

START_TEST(the_smallest_leaves_first_and_equals_in_order)
{
	static struct pairing_node nodes[NODES];
	struct pairing pairing = { 0 };
	struct random random;
	random_seed(&random, 3);
	for (int round = 0; round < 100000; round++) {
		struct pairing_node *node = &nodes[random_below(&random, NODES)];
		if (!node->is_in) {
			node->key = (int64_t)random_below(&random, 40) - 20;
			pairing_push(&pairing, node);
		} else {
			pairing_remove(&pairing, node);
		}
		const struct pairing_node *least = NULL;
		for (int i = 0; i < NODES; i++) {
			const struct pairing_node *other = &nodes[i];
			bool is_less =
				least && (other->key < least->key || (other->key == least->key && other->sequence < least->sequence));
			if (other->is_in && (!least || is_less))
				least = other;
		}
		ck_assert_ptr_eq(pairing_peek(&pairing), least);
	}
	for (int i = 0; i < NODES; i++)
		pairing_remove(&pairing, &nodes[i]);
	ck_assert_ptr_null(pairing_peek(&pairing));
	pairing_remove(&pairing, &nodes[0]); /* in no heap */
}
END_TEST

UNIT_MAIN("base/pairing", the_smallest_leaves_first_and_equals_in_order)
