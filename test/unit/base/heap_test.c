/* Order, ties, removal from the middle, and a long random run against a sorted list. */
#include "base/heap.h"

#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

struct item {
	int id;
	struct heap_node node;
};

START_TEST(smallest_leaves_first_and_ties_keep_their_order)
{
	struct heap heap;
	heap_init(&heap);
	ck_assert_ptr_null(heap_peek(&heap));
	ck_assert_ptr_null(heap_pop(&heap));
	struct item items[300] = { 0 };
	for (int i = 0; i < 300; i++) {
		items[i] = (struct item){ .id = i, .node.key = (i * 7) % 10 };
		ck_error_is(heap_push(&heap, &items[i].node), OK);
	}
	int64_t last_key = -1;
	int last_id = -1;
	for (int i = 0; i < 300; i++) {
		struct heap_node *peeked = heap_peek(&heap);
		struct heap_node *node = heap_pop(&heap);
		ck_assert_ptr_eq(peeked, node);
		ck_assert_uint_eq(node->place, 0);
		const struct item *item = container_of(node, struct item, node);
		ck_assert(node->key > last_key || (node->key == last_key && item->id > last_id));
		last_key = node->key;
		last_id = item->id;
	}
	ck_assert_ptr_null(heap_pop(&heap));
	heap_fini(&heap);
}
END_TEST

START_TEST(extreme_keys_are_ordered)
{
	struct heap heap;
	heap_init(&heap);
	struct heap_node low = { .key = INT64_MIN }, zero = { 0 }, high = { .key = INT64_MAX };
	ck_error_is(heap_push(&heap, &high), OK);
	ck_error_is(heap_push(&heap, &zero), OK);
	ck_error_is(heap_push(&heap, &low), OK);
	ck_assert_ptr_eq(heap_pop(&heap), &low);
	ck_assert_ptr_eq(heap_pop(&heap), &zero);
	ck_assert_ptr_eq(heap_pop(&heap), &high);
	heap_fini(&heap);
}
END_TEST

START_TEST(reserve_makes_room)
{
	struct heap heap;
	heap_init(&heap);
	ck_error_is(heap_reserve(&heap, 100), OK);
	struct heap_node **nodes = heap.nodes;
	struct heap_node items[100] = { 0 };
	for (size_t i = 0; i < 100; i++)
		ck_error_is(heap_push(&heap, &items[i]), OK);
	ck_assert_ptr_eq(heap.nodes, nodes);
	ck_error_is(heap_reserve(&heap, 10), OK);
	ck_error_is(heap_reserve(&heap, SIZE_MAX), ERROR_MEMORY);
	ck_assert_uint_eq(heap.count, 100);
	heap_fini(&heap);
	ck_assert_uint_eq(items[50].place, 0);
}
END_TEST

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static struct heap_node *smallest_inside(struct heap_node *nodes, size_t count)
{
	struct heap_node *found = NULL;
	for (size_t i = 0; i < count; i++) {
		if (nodes[i].place != 0 && (found == NULL || is_before(&nodes[i], found)))
			found = &nodes[i];
	}
	return found;
}

START_TEST(random_pushes_pops_and_removals_agree_with_a_search)
{
	struct heap heap;
	heap_init(&heap);
	struct random random;
	random_seed(&random, 20260101);
	struct heap_node nodes[64] = { 0 };
	size_t inside = 0;
	for (int step = 0; step < 20000; step++) {
		struct heap_node *node = &nodes[random_below(&random, COUNT_OF(nodes))];
		const uint64_t choice = random_below(&random, 4);
		if (choice < 2 && node->place == 0) {
			node->key = (int64_t)random_below(&random, 20);
			ck_error_is(heap_push(&heap, node), OK);
			inside++;
		} else if (choice == 2) {
			inside -= node->place != 0;
			heap_remove(&heap, node);
			ck_assert_uint_eq(node->place, 0);
		} else if (choice == 3) {
			struct heap_node *wanted = smallest_inside(nodes, COUNT_OF(nodes));
			ck_assert_ptr_eq(heap_pop(&heap), wanted);
			inside -= wanted != NULL;
		}
		ck_assert_uint_eq(heap.count, inside);
		ck_assert_ptr_eq(heap_peek(&heap), smallest_inside(nodes, COUNT_OF(nodes)));
	}
	heap_fini(&heap);
}
END_TEST

UNIT_MAIN("base/heap", smallest_leaves_first_and_ties_keep_their_order, extreme_keys_are_ordered, reserve_makes_room,
          random_pushes_pops_and_removals_agree_with_a_search)
