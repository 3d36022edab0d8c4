#include "stages/affinity.h"

#include <pthread.h>
#include <stdlib.h>

#include "config/config_pool.h"
#include "policy/prefix_index.h"
#include "stages/services.h"
#include "stages/request.h"

/* 16 bytes each. */
#define SLOTS 65536

struct affinity {
	pthread_mutex_t lock; /* guards index */
	struct prefix_index *index;
};

enum error affinity_new(struct affinity **out)
{
	struct affinity *affinity = calloc(1, sizeof(*affinity));
	*out = affinity;
	if (!affinity)
		return ERROR_MEMORY;
	pthread_mutex_init(&affinity->lock, NULL);
	return prefix_index_new(SLOTS, &affinity->index);
}

void affinity_free(struct affinity **affinity_slot)
{
	struct affinity *affinity = *affinity_slot;
	if (!affinity)
		return;
	*affinity_slot = NULL;
	prefix_index_free(&affinity->index);
	pthread_mutex_destroy(&affinity->lock);
	free(affinity);
}

/* A tenant's prompts are cached for the tenant alone, and a pool's for its model. */
static uint64_t salt_of(const struct request *request)
{
	uint64_t salt = request->pool + 1;
	return request->key ? prefix_hash(span_of(request->key->name), salt) : salt;
}

uint64_t affinity_find(struct request *request, uint32_t *tokens)
{
	struct affinity *affinity = request->services->affinity;
	const struct pool_config *pool = &request->config->pools[request->pool];
	*tokens = 0;
	if (config_pool_replicas(pool) < 2)
		return 0;
	struct span prompt = request_prompt(request);
	request->blocks = arena_alloc(&request->arena, sizeof(*request->blocks));
	if (!request->blocks)
		return 0; /* it goes on without */
	prefix_blocks_of(prompt, salt_of(request), request->blocks);
	uint32_t bytes = 0;
	pthread_mutex_lock(&affinity->lock);
	uint64_t replicas = prefix_index_find(affinity->index, request->blocks, &bytes);
	pthread_mutex_unlock(&affinity->lock);
	*tokens = prompt.len ? (uint32_t)((double)request->prompt_tokens_estimate * bytes / (double)prompt.len) : 0;
	return replicas;
}

void affinity_note(struct request *request)
{
	struct affinity *affinity = request->services->affinity;
	if (!request->blocks || request->blocks->count == 0)
		return;
	uint32_t number = request->replica - fleet_first(request->services->fleet, request->pool);
	pthread_mutex_lock(&affinity->lock);
	prefix_index_add(affinity->index, request->blocks, number);
	pthread_mutex_unlock(&affinity->lock);
}
