/* Pieces are zeroed, aligned and apart; limits hold; everything goes at once. */
#include "base/arena.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "unit.h"

static bool holds_only(const unsigned char *piece, size_t size, size_t value)
{
	for (size_t i = 0; i < size; i++) {
		if (piece[i] != value)
			return false;
	}
	return true;
}

START_TEST(pieces_are_zeroed_aligned_and_apart)
{
	struct arena arena;
	arena_init(&arena, 0);
	unsigned char *pieces[500];
	size_t sizes[500];
	for (size_t i = 0; i < 500; i++) {
		/* Small ones mostly, some past a quarter block, some past a whole one. */
		sizes[i] = i % 50 == 7 ? 100000 : i % 20 == 3 ? 1500 : i % 67;
		pieces[i] = arena_alloc(&arena, sizes[i]);
		ck_assert_ptr_nonnull(pieces[i]);
		ck_assert_uint_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		ck_assert(holds_only(pieces[i], sizes[i], 0));
		memset(pieces[i], (int)(i % 255) + 1, sizes[i]);
	}
	for (size_t i = 0; i < 500; i++)
		ck_assert(holds_only(pieces[i], sizes[i], i % 255 + 1));
	arena_fini(&arena);
}
END_TEST

START_TEST(size_zero_gives_a_pointer_of_its_own)
{
	struct arena arena;
	arena_init(&arena, 0);
	void *first = arena_alloc(&arena, 0);
	void *second = arena_alloc(&arena, 0);
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_ne(first, second);
	arena_fini(&arena);
}
END_TEST

START_TEST(the_limit_holds_and_fini_resets_it)
{
	struct arena arena;
	arena_init(&arena, 1000);
	size_t count = 0;
	while (arena_alloc(&arena, 100) != NULL)
		count++;
	ck_assert_uint_eq(count, 8); /* 100 rounds up to 112 */
	ck_assert_uint_le(arena.used, 1000);
	ck_assert_ptr_null(arena_alloc(&arena, 2000));
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1000 - arena.used - 8));
	arena_fini(&arena);
	ck_assert_uint_eq(arena.used, 0);
	ck_assert_ptr_null(arena.blocks);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 900));
	ck_assert_ptr_null(arena_alloc(&arena, 900));
	arena_fini(&arena);
}
END_TEST

START_TEST(impossible_sizes_fail)
{
	struct arena arena;
	arena_init(&arena, 0);
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX / 2 + 1));
	ck_assert_ptr_null(arena_copy_text(&arena, (struct span){ "", SIZE_MAX }));
	ck_assert_uint_eq(arena.used, 0);
	arena_fini(&arena);
}
END_TEST

START_TEST(text_is_copied_with_its_end)
{
	struct arena arena;
	arena_init(&arena, 64);
	char source[] = "hello world";
	char *copy = arena_copy_text(&arena, (struct span){ source, 5 });
	memset(source, 'x', 5);
	ck_assert_str_eq(copy, "hello");
	ck_assert_str_eq(arena_copy_text(&arena, (struct span){ 0 }), "");
	ck_assert_ptr_null(arena_copy_text(&arena, SPAN("0123456789012345678901234567890123456789")));
	arena_fini(&arena);
}
END_TEST

UNIT_MAIN("base/arena", pieces_are_zeroed_aligned_and_apart, size_zero_gives_a_pointer_of_its_own,
          the_limit_holds_and_fini_resets_it, impossible_sizes_fail, text_is_copied_with_its_end)
