/* Cached prefixes: what is found, for whom, what goes when memory is used up; against a plain list with random tokens. */
#include "engine/prefixes.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"

#define TOKENS 400
#define CELL_BYTES 100

static void fill(int32_t *tokens, uint32_t count, uint32_t seed)
{
	struct random random;
	random_seed(&random, seed);
	for (uint32_t i = 0; i < count; i++)
		tokens[i] = (int32_t)random_below(&random, 50000);
}

static void add(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count)
{
	struct kv_state *state = kv_state_new(count, (size_t)count * CELL_BYTES);
	ck_assert_ptr_nonnull(state);
	memset(state->bytes, 0, state->size);
	prefixes_add(prefixes, salt, tokens, state);
	kv_state_unref(&state);
	ck_assert_ptr_null(state);
}

/* How many of the tokens are known. */
static uint32_t known(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count)
{
	uint32_t shared = 0;
	struct kv_state *state = prefixes_find(prefixes, salt, tokens, count, &shared);
	ck_assert((state != NULL) == (shared > 0));
	if (state)
		ck_assert_uint_ge(state->tokens, shared);
	kv_state_unref(&state);
	return shared;
}

START_TEST(the_longest_known_beginning_is_found)
{
	struct prefixes *prefixes;
	int32_t tokens[TOKENS];
	int32_t other[TOKENS];
	fill(tokens, TOKENS, 1);
	ck_error_is(prefixes_new(1 << 20, false, &prefixes), OK);
	ck_assert_uint_eq(known(prefixes, 7, tokens, TOKENS), 0);
	ck_assert(prefixes_wants(prefixes, 7, tokens, TOKENS));
	add(prefixes, 7, tokens, 300);
	ck_assert_uint_eq(known(prefixes, 7, tokens, TOKENS), 300);
	ck_assert_uint_eq(known(prefixes, 7, tokens, 299), 299);
	ck_assert_uint_eq(known(prefixes, 7, tokens, PREFIX_BLOCK - 1), 0);
	/* One that goes another way after 210 tokens. */
	memcpy(other, tokens, sizeof(other));
	other[210]++;
	ck_assert_uint_eq(known(prefixes, 7, other, TOKENS), 210 / PREFIX_BLOCK * PREFIX_BLOCK + 210 % PREFIX_BLOCK);
	other[5]++;
	ck_assert_uint_eq(known(prefixes, 7, other, TOKENS), 0);
	/* A tenant sees only its own. */
	ck_assert_uint_eq(known(prefixes, 8, tokens, TOKENS), 0);
	/* Not worth another state: less than a block more. */
	ck_assert(!prefixes_wants(prefixes, 7, tokens, 300 + PREFIX_BLOCK - 1));
	ck_assert(prefixes_wants(prefixes, 7, tokens, 300 + PREFIX_BLOCK));
	prefixes_free(&prefixes);
	ck_assert_ptr_null(prefixes);
}
END_TEST

START_TEST(what_goes_on_takes_the_place_of_what_it_began_with)
{
	struct prefixes *prefixes;
	int32_t tokens[TOKENS];
	fill(tokens, TOKENS, 2);
	ck_error_is(prefixes_new(1 << 20, false, &prefixes), OK);
	add(prefixes, 1, tokens, 100);
	uint64_t before = prefixes_bytes(prefixes);
	add(prefixes, 1, tokens, 200);
	ck_assert_uint_lt(prefixes_bytes(prefixes), before + 200 * CELL_BYTES);
	ck_assert_uint_eq(known(prefixes, 1, tokens, TOKENS), 200);
	ck_assert_uint_eq(known(prefixes, 1, tokens, 90), 90);
	prefixes_free(&prefixes);
}
END_TEST

START_TEST(the_least_recently_used_goes_first)
{
	struct prefixes *prefixes;
	int32_t tokens[5][TOKENS];
	/* Room for three of them. */
	ck_error_is(prefixes_new(3 * (200 * CELL_BYTES + 200 * 4 + 200), false, &prefixes), OK);
	for (uint32_t i = 0; i < 5; i++)
		fill(tokens[i], TOKENS, 10 + i);
	for (uint32_t i = 0; i < 3; i++)
		add(prefixes, 0, tokens[i], 200);
	ck_assert_uint_eq(known(prefixes, 0, tokens[0], TOKENS), 200);
	add(prefixes, 0, tokens[3], 200);
	ck_assert_uint_eq(known(prefixes, 0, tokens[1], TOKENS), 0);
	ck_assert_uint_eq(known(prefixes, 0, tokens[0], TOKENS), 200);
	ck_assert_uint_eq(known(prefixes, 0, tokens[2], TOKENS), 200);
	ck_assert_uint_eq(known(prefixes, 0, tokens[3], TOKENS), 200);
	/* One that is larger than all of it changes nothing. */
	struct kv_state *large = kv_state_new(300, 1 << 20);
	prefixes_add(prefixes, 0, tokens[4], large);
	kv_state_unref(&large);
	ck_assert_uint_eq(known(prefixes, 0, tokens[4], TOKENS), 0);
	ck_assert_uint_eq(known(prefixes, 0, tokens[0], TOKENS), 200);
	prefixes_free(&prefixes);
}
END_TEST

START_TEST(states_that_cannot_be_cut)
{
	struct prefixes *prefixes;
	int32_t tokens[TOKENS];
	fill(tokens, TOKENS, 3);
	ck_error_is(prefixes_new(1 << 20, true, &prefixes), OK);
	add(prefixes, 0, tokens, 128);
	ck_assert_uint_eq(known(prefixes, 0, tokens, 100), 0);
	ck_assert_uint_eq(known(prefixes, 0, tokens, 200), 128);
	prefixes_free(&prefixes);
	/* No memory, no cache. */
	ck_error_is(prefixes_new(0, false, &prefixes), OK);
	add(prefixes, 0, tokens, 128);
	ck_assert_uint_eq(known(prefixes, 0, tokens, 200), 0);
	ck_assert(!prefixes_wants(prefixes, 0, tokens, 200));
	prefixes_free(&prefixes);
}
END_TEST

/* Conversations that branch, over a cache far too small: what is said to be shared is shared, and memory keeps its bound. */
START_TEST(any_mix_of_beginnings)
{
	struct prefixes *prefixes;
	struct random random;
	const uint64_t bytes_max = 40 * 1000;
	uint32_t hits = 0;
	random_seed(&random, 9);
	ck_error_is(prefixes_new(bytes_max, false, &prefixes), OK);
	for (int round = 0; round < 20000; round++) {
		int32_t tokens[TOKENS];
		uint64_t salt = random_below(&random, 3);
		uint32_t count = 1 + (uint32_t)random_below(&random, TOKENS);
		/* Few values, and the same ones first: many common beginnings. */
		for (uint32_t i = 0; i < count; i++)
			tokens[i] = i % 64 == 63 ? (int32_t)random_below(&random, 3) : (int32_t)(i + salt);
		hits += known(prefixes, salt, tokens, count) > 0;
		if (random_below(&random, 2))
			add(prefixes, salt, tokens, count);
		ck_assert_uint_le(prefixes_bytes(prefixes), bytes_max);
	}
	ck_assert_uint_gt(hits, 5000);
	prefixes_free(&prefixes);
}
END_TEST

static void damage(const char *path, long at, int byte)
{
	FILE *file = fopen(path, "r+b");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
	ck_assert_int_eq(fputc(byte, file), byte);
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(from_one_life_to_the_next)
{
	char path[] = "/tmp/penstock-prefixes-XXXXXX";
	struct prefixes *prefixes;
	int32_t first[TOKENS], second[TOKENS];
	struct stat status;
	fill(first, TOKENS, 20);
	fill(second, TOKENS, 21);
	close(mkstemp(path));
	unlink(path);
	ck_error_is(prefixes_new(1 << 20, false, &prefixes), OK);
	/* Nothing cached, no file. */
	ck_error_is(prefixes_save(prefixes, path, 5), OK);
	ck_error_is(prefixes_load(prefixes, path, 5), ERROR_NOT_FOUND);
	add(prefixes, 1, first, 100);
	add(prefixes, 2, second, 200);
	ck_error_is(prefixes_save(prefixes, path, 5), OK);
	ck_error_is(prefixes_save(prefixes, "/no/such/folder/file", 5), ERROR_IO);
	prefixes_free(&prefixes);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	ck_error_is(prefixes_new(1 << 20, false, &prefixes), OK);
	ck_error_is(prefixes_load(prefixes, path, 6), ERROR_UNSUPPORTED);
	ck_error_is(prefixes_load(prefixes, path, 5), OK);
	ck_assert_uint_eq(known(prefixes, 1, first, TOKENS), 100);
	ck_assert_uint_eq(known(prefixes, 2, second, TOKENS), 200);
	ck_assert_uint_eq(known(prefixes, 1, second, TOKENS), 0);
	prefixes_free(&prefixes);
	/* Cut short in the second entry: the first is kept. */
	ck_error_is(prefixes_new(1 << 20, false, &prefixes), OK);
	ck_assert_int_eq(truncate(path, status.st_size - 10), 0);
	ck_error_is(prefixes_load(prefixes, path, 5), ERROR_SYNTAX);
	ck_assert_uint_eq(known(prefixes, 1, first, TOKENS), 100);
	ck_assert_uint_eq(known(prefixes, 2, second, TOKENS), 0);
	/* A length from nowhere, and no such file at all. */
	damage(path, 16 + 8 + 6, 0x7f);
	ck_error_is(prefixes_load(prefixes, path, 5), ERROR_SYNTAX);
	damage(path, 0, 0);
	ck_error_is(prefixes_load(prefixes, path, 5), ERROR_SYNTAX);
	unlink(path);
	prefixes_free(&prefixes);
}
END_TEST

UNIT_MAIN("engine/prefixes", the_longest_known_beginning_is_found, what_goes_on_takes_the_place_of_what_it_began_with,
          the_least_recently_used_goes_first, states_that_cannot_be_cut, any_mix_of_beginnings,
          from_one_life_to_the_next)
