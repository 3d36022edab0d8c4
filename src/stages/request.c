/* Names and lives of a loop's requests. A name is loop, slot and generation: one that has ended is never found again. */
#include "stages/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "stages/pipeline.h"
#include "stages/respond.h"
#include "stages/services.h"

#define LOOP_SHIFT 56
#define SLOT_SHIFT 32
#define SLOT_MAX (1U << 24)
#define NO_SLOT UINT32_MAX

static const char *const stage_names[] = {
#define STAGE(name, waits_for, may_answer) #name,
#include "stages/stages.def"
#undef STAGE
};

static const char *const outcome_names[] = {
#define OUTCOME(name, status, code, retry, account, message) #name,
#include "stages/outcomes.def"
#undef OUTCOME
};

static const struct endpoint_row endpoint_rows[] = {
	[ENDPOINT_CHAT] = { API_CHAT, "/v1/chat/completions", "messages", true },
	[ENDPOINT_COMPLETION] = { API_COMPLETION, "/v1/completions", "prompt", true },
	[ENDPOINT_EMBEDDING] = { API_EMBEDDING, "/v1/embeddings", "input", false },
};

const struct endpoint_row *endpoint_row(enum endpoint endpoint)
{
	MUST(endpoint < COUNT_OF(endpoint_rows));
	return &endpoint_rows[endpoint];
}

struct span request_prompt(const struct request *request)
{
	const struct api_request *api = &request->api;
	uint32_t node = request->endpoint == ENDPOINT_CHAT         ? api->messages
	                : request->endpoint == ENDPOINT_COMPLETION ? api->prompt
	                                                           : api->input;
	return json_raw(&api->json, node);
}

const char *stage_text(enum stage stage)
{
	return stage_names[stage];
}

const char *const *stage_texts(void)
{
	return stage_names;
}

const char *const *outcome_texts(void)
{
	return outcome_names;
}

static bool grow_slots(struct services *services)
{
	uint32_t count = services->slot_count ? services->slot_count * 2 : 256;
	struct request_slot *slots = count <= SLOT_MAX ? realloc(services->slots, sizeof(*slots) * count) : NULL;
	if (!slots)
		return false;
	services->slots = slots;
	for (uint32_t i = services->slot_count; i < count; i++)
		slots[i] = (struct request_slot){ .next_free = i + 1 < count ? i + 1 : NO_SLOT };
	services->free_slot = services->slot_count;
	services->slot_count = count;
	return true;
}

/* Takes a slot, and with it a name. */
static bool take_name(struct services *services, struct request *request)
{
	if ((services->slot_count == 0 || services->free_slot == NO_SLOT) && !grow_slots(services))
		return false;
	uint32_t index = services->free_slot;
	struct request_slot *slot = &services->slots[index];
	services->free_slot = slot->next_free;
	slot->request = request;
	slot->generation++;
	request->ref = (uint64_t)services->loop_index << LOOP_SHIFT | (uint64_t)index << SLOT_SHIFT | slot->generation;
	return true;
}

static uint32_t slot_of(uint64_t ref)
{
	return (uint32_t)(ref >> SLOT_SHIFT) & (SLOT_MAX - 1);
}

int64_t request_now_ns(const struct request *request)
{
	return loop_now_ns(request->services->loop);
}

unsigned request_ref_loop(uint64_t ref)
{
	return (unsigned)(ref >> LOOP_SHIFT);
}

struct request *request_find(struct services *services, uint64_t ref)
{
	uint32_t index = slot_of(ref);
	if (index >= services->slot_count || services->slots[index].generation != (uint32_t)ref)
		return NULL;
	return services->slots[index].request;
}

static void on_timer(struct timer *timer)
{
	pipeline_wake(container_of(timer, struct request, timer), WAKE_TIMEOUT);
}

struct request *request_new(struct services *services, struct http_exchange *exchange)
{
	struct request *request = calloc(1, sizeof(*request));
	if (!request || !take_name(services, request)) {
		free(request);
		return NULL;
	}
	request->services = services;
	request->exchange = exchange;
	request->config = config_ref(services->config);
	request->begin_ns = http_exchange_begin_ns(exchange);
	request->stage_since_ns = request->begin_ns;
	request->ticket = CONTROL_TICKET_NONE;
	request->predicted_ns = -1;
	request->predicted_wait_ns = -1;
	request->retry_after_ns = -1;
	request->first_token_ns = -1;
	arena_init(&request->arena, 0);
	timer_init(&request->timer, services->loop, on_timer);
	timer_init(&request->keep_alive, services->loop, respond_on_keep_alive);
	upstream_init(&request->upstream);
	services->open++;
	metric_set(services->metrics, METRIC_requests_open, 0, 0, services->open);
	return request;
}

void request_free(struct request *request)
{
	struct services *services = request->services;
	uint32_t index = slot_of(request->ref);
	timer_stop(&request->timer);
	timer_stop(&request->keep_alive);
	services->slots[index].request = NULL;
	services->slots[index].next_free = services->free_slot;
	services->free_slot = index;
	upstream_fini(&request->upstream);
	api_request_fini(&request->api);
	arena_fini(&request->arena);
	config_unref(&request->config);
	free(request);
	services->open--;
	metric_set(services->metrics, METRIC_requests_open, 0, 0, services->open);
	if (services->on_request_end)
		services->on_request_end(services->owner, services->open);
}
