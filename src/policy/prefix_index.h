/* Which replicas have seen the beginning of a prompt: hashes of its first blocks, each of everything up to its end, and a set of replicas for each. Pure; the
 * engines' own caches are not asked. One array of fixed size: an entry gives its place to the newest of those that fall on it.
 *
 * Blocks are of bytes, not tokens: the gateway has no tokenizer. They grow, so that a long prompt has as few as a short one has: 32 of 1 KiB, then each
 * half as long again. */
#ifndef PENSTOCK_POLICY_PREFIX_INDEX_H
#define PENSTOCK_POLICY_PREFIX_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define PREFIX_BLOCKS_MAX 48
/* Replicas that can be told apart; further ones are not remembered. */
#define PREFIX_REPLICAS_MAX 64

struct prefix_index;

struct prefix_blocks {
	uint32_t count;
	uint64_t hashes[PREFIX_BLOCKS_MAX];
	uint32_t ends[PREFIX_BLOCKS_MAX]; /* bytes up to the end of each */
};

/* salt: prompts of different tenants or models are different prompts. The blocks of a prompt under 1 KiB are none. */
void prefix_blocks_of(struct span prompt, uint64_t salt, struct prefix_blocks *out);
/* 64 bits of any bytes, 8 at a time. */
uint64_t prefix_hash(struct span bytes, uint64_t salt);

/* slots: rounded up to a power of two. ERROR_MEMORY. */
enum error prefix_index_new(uint32_t slots, struct prefix_index **out);
void prefix_index_free(struct prefix_index **index);
/* A replica was sent this prompt. */
void prefix_index_add(struct prefix_index *index, const struct prefix_blocks *blocks, uint32_t replica);
/* The replicas (a bit each) that have seen the longest beginning that any has, and its bytes; 0 when none has seen a block. */
uint64_t prefix_index_find(const struct prefix_index *index, const struct prefix_blocks *blocks, uint32_t *bytes);

#endif
