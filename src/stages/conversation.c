#include "stages/conversation.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "policy/prefix_index.h"
#include "stages/request.h"
#include "stages/services.h"

/* 8 bytes each. */
#define SLOTS 32768
#define TIER_BITS 8

/* A word a slot: the upper bits of its conversation's hash, and its tier plus one. */
struct conversations {
	_Atomic uint64_t slots[SLOTS];
	_Atomic uint64_t units[SLOTS]; /* hashes of units */
};

enum error conversations_new(struct conversations **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? OK : ERROR_MEMORY;
}

void conversations_free(struct conversations **conversations)
{
	free(*conversations);
	*conversations = NULL;
}

/* Of the messages up to the first answer; 0 = it has none. *is_first: nothing was answered yet. */
static uint64_t hash_of(const struct request *request, bool *is_first)
{
	const struct json *json = &request->api.json;
	uint32_t list = request->api.messages;
	uint64_t hash = prefix_hash(span_of(request->route->name), 1);
	if (request->key)
		hash = prefix_hash(span_of(request->key->name), hash);
	*is_first = true;
	if (request->endpoint != ENDPOINT_CHAT || list == JSON_NONE || json_type(json, list) != JSON_ARRAY)
		return 0;
	for (uint32_t message = json_first(json, list); message != JSON_NONE; message = json_next(json, list, message)) {
		uint32_t role = json_get(json, message, "role");
		if (role != JSON_NONE && span_is(json_raw(json, role), "\"assistant\"")) {
			*is_first = false;
			break;
		}
		hash = prefix_hash(json_raw(json, message), hash);
	}
	return hash;
}

uint32_t conversation_tier(const struct request *request, uint32_t tier)
{
	bool is_first;
	uint64_t hash = hash_of(request, &is_first);
	if (!hash)
		return tier;
	_Atomic uint64_t *slot = &request->services->conversations->slots[hash % SLOTS];
	uint64_t name = hash >> TIER_BITS << TIER_BITS;
	uint64_t held = atomic_load_explicit(slot, memory_order_relaxed);
	uint64_t known = held & ((1 << TIER_BITS) - 1);
	if (!is_first && known && held - known == name && known <= request->route->tiers.count)
		return (uint32_t)known - 1;
	atomic_store_explicit(slot, name | (tier + 1), memory_order_relaxed);
	return tier;
}

/* The client's own name for the unit; 0 where it gives none. */
static uint64_t named_unit(const struct request *request)
{
	const struct json *json = &request->api.json;
	struct span name = http_header_value(http_exchange_head(request->exchange), "x-penstock-unit");
	uint32_t unit = json_get(json, json_get(json, JSON_ROOT, "metadata"), "unit");
	if (!name.len && unit != JSON_NONE)
		name = json_raw(json, unit);
	return name.len ? prefix_hash(name, prefix_hash(span_of(request->route->name), 2)) : 0;
}

bool conversation_is_new_unit(const struct request *request)
{
	bool is_first = true;
	uint64_t unit = request->exchange ? named_unit(request) : 0;
	if (!unit)
		unit = hash_of(request, &is_first);
	if (!unit)
		return true;
	_Atomic uint64_t *slot = &request->services->conversations->units[unit % SLOTS];
	return atomic_exchange_explicit(slot, unit, memory_order_relaxed) != unit;
}
