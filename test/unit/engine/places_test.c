/* The account of places: which lane, how many cells, and that all is there again in the end. */
#include "engine/places.h"

#include "unit.h"

#include "base/macros.h"
#include "base/random.h"

static const struct engine_facts facts = { .context_tokens = 1000, .short_tokens = 100, .sequences = 2 };

static struct generation generation_of(uint32_t prompt, int64_t expected, uint32_t most)
{
	return (struct generation){ .prompt_count = prompt, .expected_tokens = expected, .output_max = most };
}

START_TEST(the_lane_follows_the_need)
{
	struct places places;
	places_init(&places, &facts);
	struct generation a = generation_of(60, 40, 1000);
	struct generation b = generation_of(60, 41, 1000);
	struct generation unknown = generation_of(60, 0, 30);
	ck_assert_uint_eq(places_wanted(&a), 100);
	ck_assert_int_eq(places_lane(&places, &a), LANE_SHORT);
	ck_assert_int_eq(places_lane(&places, &b), LANE_LONG);
	ck_assert_int_eq(places_lane(&places, &unknown), LANE_SHORT);
	/* What it has said already counts, whatever was expected. */
	a.output_count = 50;
	ck_assert_uint_eq(places_wanted(&a), 110);
	ck_assert_int_eq(places_lane(&places, &a), LANE_LONG);
}
END_TEST

START_TEST(long_ones_share_the_cells)
{
	struct places places;
	places_init(&places, &facts);
	struct generation first = generation_of(500, 100, 1000);
	struct generation second = generation_of(300, 150, 1000);
	struct generation third = generation_of(300, 100, 1000);
	ck_assert(places_take(&places, &first));
	ck_assert(!places_take(&places, &second));
	ck_assert(places_take(&places, &third));
	ck_assert_uint_eq(places.long_reserved, 1000);
	/* No sequence is left, whatever the cells. */
	places_grow(&places, &first, 700);
	ck_assert_uint_eq(places.long_reserved, 1100);
	places_grow(&places, &first, 650);
	ck_assert_uint_eq(places.long_reserved, 1100);
	places_give(&places, &first);
	places_give(&places, &first);
	ck_assert_uint_eq(places.long_reserved, 400);
	/* A stream that waits to go on comes before prompts that have not begun. */
	places.returning = 1;
	ck_assert(!places_has_room(&places, &second));
	second.state = (struct kv_state *)(uintptr_t)1;
	ck_assert(places_take(&places, &second));
	places_give(&places, &second);
	places_give(&places, &third);
	places.returning = 0;
	/* Alone, anything fits. */
	struct generation huge = generation_of(990, 500, 1000);
	ck_assert(places_take(&places, &huge));
}
END_TEST

START_TEST(any_order_adds_up)
{
	struct places places;
	struct random random;
	struct generation generations[40];
	random_seed(&random, 4);
	places_init(&places, &(struct engine_facts){ .context_tokens = 4000, .short_tokens = 200, .sequences = 6 });
	for (size_t i = 0; i < COUNT_OF(generations); i++)
		generations[i] =
			generation_of(1 + (uint32_t)random_below(&random, 900), (int64_t)random_below(&random, 300), 300);
	for (int round = 0; round < 20000; round++) {
		struct generation *generation = &generations[random_below(&random, COUNT_OF(generations))];
		if (generation->lane == LANE_PROMPTS)
			(void)places_take(&places, generation);
		else if (random_below(&random, 2))
			places_give(&places, generation);
		else
			places_grow(&places, generation, generation->reserved + (uint32_t)random_below(&random, 2));
		uint32_t used_short = 0, used_long = 0, reserved = 0;
		for (size_t i = 0; i < COUNT_OF(generations); i++) {
			used_short += generations[i].lane == LANE_SHORT;
			used_long += generations[i].lane == LANE_LONG;
			reserved += generations[i].lane == LANE_LONG ? generations[i].reserved : 0;
		}
		ck_assert_uint_eq(used_short + places.short_free, 6);
		ck_assert_uint_eq(used_long + places.long_free, 6);
		ck_assert_uint_eq(reserved, places.long_reserved);
	}
}
END_TEST

UNIT_MAIN("engine/places", the_lane_follows_the_need, long_ones_share_the_cells, any_order_adds_up)
