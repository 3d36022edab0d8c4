/* Which replicas have seen the beginning of a prompt. */
#include "policy/prefix_index.h"

#include <string.h>

#include "unit.h"

static char text[200000];

static struct span prompt(size_t len, char differs_at_end)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i * 7 % 23);
	if (differs_at_end)
		text[len - 1] = differs_at_end;
	return (struct span){ text, len };
}

START_TEST(finds_the_longest_beginning)
{
	struct prefix_index *index;
	struct prefix_blocks blocks;
	uint32_t bytes = 0;
	ck_error_is(prefix_index_new(4096, &index), OK);
	prefix_blocks_of(prompt(5000, 0), 1, &blocks);
	ck_assert_uint_eq(blocks.count, 4);
	ck_assert(prefix_index_find(index, &blocks, &bytes) == 0);
	prefix_index_add(index, &blocks, 3);
	/* The conversation goes on: what was there is the beginning. */
	prefix_blocks_of(prompt(9000, 'Z'), 1, &blocks);
	ck_assert(prefix_index_find(index, &blocks, &bytes) == UINT64_C(1) << 3);
	ck_assert_uint_eq(bytes, 4096);
	prefix_index_add(index, &blocks, 5);
	ck_assert(prefix_index_find(index, &blocks, &bytes) == UINT64_C(1) << 5);
	ck_assert_uint_eq(bytes, 8192);
	prefix_blocks_of(prompt(5000, 0), 1, &blocks);
	ck_assert(prefix_index_find(index, &blocks, &bytes) == (UINT64_C(1) << 3 | UINT64_C(1) << 5));
	prefix_index_free(&index);
}
END_TEST

START_TEST(keeps_apart_what_differs)
{
	struct prefix_index *index;
	struct prefix_blocks blocks;
	uint32_t bytes = 0;
	ck_error_is(prefix_index_new(4096, &index), OK);
	prefix_blocks_of(prompt(4096, 0), 1, &blocks);
	prefix_index_add(index, &blocks, 0);
	prefix_blocks_of(prompt(4096, 0), 2, &blocks); /* another tenant */
	ck_assert(prefix_index_find(index, &blocks, &bytes) == 0);
	struct span other = prompt(4096, 0);
	text[0] = '!';
	prefix_blocks_of(other, 1, &blocks);
	ck_assert(prefix_index_find(index, &blocks, &bytes) == 0);
	prefix_blocks_of(prompt(1023, 0), 1, &blocks);
	ck_assert_uint_eq(blocks.count, 0);
	prefix_index_add(index, &blocks, 64); /* one too many: forgotten, not written anywhere */
	prefix_index_free(&index);
}
END_TEST

START_TEST(long_prompts_have_few_blocks)
{
	struct prefix_blocks blocks;
	prefix_blocks_of(prompt(sizeof(text), 0), 1, &blocks);
	ck_assert_uint_le(blocks.count, PREFIX_BLOCKS_MAX);
	ck_assert_uint_gt(blocks.ends[blocks.count - 1], sizeof(text) / 2);
	for (uint32_t i = 1; i < blocks.count; i++)
		ck_assert_uint_gt(blocks.ends[i], blocks.ends[i - 1]);
}
END_TEST

START_TEST(hashes_every_byte)
{
	char bytes[40] = { 0 };
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		uint64_t plain = prefix_hash((struct span){ bytes, len }, 9);
		ck_assert(len == sizeof(bytes) || plain != prefix_hash((struct span){ bytes, len + 1 }, 9));
		for (size_t i = 0; i < len; i++) {
			bytes[i] = 1;
			ck_assert(prefix_hash((struct span){ bytes, len }, 9) != plain);
			bytes[i] = 0;
		}
	}
}
END_TEST

UNIT_MAIN("policy/prefix_index", finds_the_longest_beginning, keeps_apart_what_differs, long_prompts_have_few_blocks,
          hashes_every_byte)
