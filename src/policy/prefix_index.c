#include "policy/prefix_index.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 1024
#define EQUAL_BLOCKS 32

struct slot {
	uint64_t hash; /* 0 = free */
	uint64_t replicas;
};

struct prefix_index {
	uint64_t mask;
	struct slot slots[];
};

/* Multiply, fold: one round of wyhash (Wang Yi, public domain). */
static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)(a ^ UINT64_C(0xa0761d6478bd642f)) * (b ^ UINT64_C(0xe7037ed1a0b428db));
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t prefix_hash(struct span bytes, uint64_t salt)
{
	uint64_t hash = mix(salt, bytes.len);
	while (bytes.len >= 8) {
		uint64_t word;
		memcpy(&word, bytes.at, 8);
		hash = mix(hash, word);
		bytes = (struct span){ bytes.at + 8, bytes.len - 8 };
	}
	uint64_t rest = 0;
	if (bytes.len)
		memcpy(&rest, bytes.at, bytes.len);
	hash = mix(hash, rest);
	return hash ? hash : 1;
}

void prefix_blocks_of(struct span prompt, uint64_t salt, struct prefix_blocks *out)
{
	uint64_t hash = salt;
	size_t len = BLOCK_BYTES;
	size_t at = 0;
	out->count = 0;
	while (out->count < PREFIX_BLOCKS_MAX && prompt.len - at >= len) {
		hash = prefix_hash((struct span){ prompt.at + at, len }, hash);
		at += len;
		out->hashes[out->count] = hash;
		out->ends[out->count] = (uint32_t)at;
		if (++out->count >= EQUAL_BLOCKS)
			len += len / 2;
	}
}

enum error prefix_index_new(uint32_t slots, struct prefix_index **out)
{
	uint64_t count = 1;
	while (count < slots)
		count *= 2;
	struct prefix_index *index = calloc(1, sizeof(*index) + count * sizeof(struct slot));
	*out = index;
	if (!index)
		return ERROR_MEMORY;
	index->mask = count - 1;
	return OK;
}

void prefix_index_free(struct prefix_index **index)
{
	free(*index);
	*index = NULL;
}

void prefix_index_add(struct prefix_index *index, const struct prefix_blocks *blocks, uint32_t replica)
{
	if (replica >= PREFIX_REPLICAS_MAX)
		return;
	for (uint32_t i = 0; i < blocks->count; i++) {
		struct slot *slot = &index->slots[blocks->hashes[i] & index->mask];
		if (slot->hash != blocks->hashes[i])
			*slot = (struct slot){ .hash = blocks->hashes[i] };
		slot->replicas |= UINT64_C(1) << replica;
	}
}

uint64_t prefix_index_find(const struct prefix_index *index, const struct prefix_blocks *blocks, uint32_t *bytes)
{
	for (uint32_t i = blocks->count; i-- > 0;) {
		const struct slot *slot = &index->slots[blocks->hashes[i] & index->mask];
		if (slot->hash == blocks->hashes[i]) {
			*bytes = blocks->ends[i];
			return slot->replicas;
		}
	}
	*bytes = 0;
	return 0;
}
