/* Refuses now, with an honest Retry-After, or takes a ticket. The decision is control's; it is there at the end of the same turn. */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/macros.h"
#include "stages/affinity.h"
#include "stages/attempt.h"
#include "stages/desk.h"
#include "stages/respond.h"
#include "stages/services.h"

/* A prompt that seems longer than the engine takes will be counted there and refused without work, with the exact number: it must not be
 * refused here for a wait that will never be. */
static uint32_t prompt_work(const struct request *request)
{
	uint32_t most = atomic_load(&request->services->request_tokens[request->pool]);
	return most && request->prompt_tokens_estimate >= most ? 1 : request->prompt_tokens_estimate;
}

/* The tenant's number: its place among the keys, from 1. One that a reload has moved there meanwhile has its rates for a minute. */
static uint32_t tenant_of(const struct request *request)
{
	if (!request->key)
		return 0;
	return 1 + (uint32_t)(request->key - request->config->keys) % TENANTS_MAX;
}

static struct control_limits limits_of(const struct key_config *key)
{
	if (!key)
		return (struct control_limits){ 0 };
	return (struct control_limits){
		.weight_permille = (uint32_t)max_ll((long long)(key->weight * 1000), 1),
		.concurrency = (uint32_t)key->limits_concurrency,
		.requests_per_minute = (uint32_t)key->limits_requests,
		.tokens_per_minute = (uint32_t)key->limits_tokens,
	};
}

/* It may wait, and then be worked on, each as long as it is allowed. */
static int64_t deadline_ns(const struct request *request)
{
	int64_t wait_ns = request->config->pools[request->pool].queue_wait;
	return attempt_deadline_ns(request, request_now_ns(request) + wait_ns);
}

static void ask(struct request *request)
{
	static const uint32_t anonymous_class = CLASS_STANDARD;
	request->deadline_ns = deadline_ns(request);
	request->order = (struct order){ .kind = ORDER_KINDS };
	uint32_t known_tokens = 0;
	uint64_t known_replicas = affinity_find(request, &known_tokens);
	desk_add(request->services->desk,
	         &(struct event){
				 .kind = EVENT_ARRIVE,
				 .request = request->ref,
				 .pool = request->pool,
				 .class = request->key ? (uint32_t)request->key->class : anonymous_class,
				 .prompt_tokens = prompt_work(request),
				 .output_tokens = request->output_tokens_expected,
				 .route = request->route_label - 1,
				 .tenant = tenant_of(request),
				 .limits = limits_of(request->key),
				 .begun_ns = request->begin_ns,
				 .deadline_ns = request->deadline_ns,
				 .first_token_ns = attempt_is_whole(request) ? 0 : request->route->timeouts_first_token,
				 .is_repeat = request->is_repeat,
				 .known_replicas = known_replicas,
				 .known_tokens = known_tokens,
				 .is_whole = attempt_is_whole(request),
			 });
}

enum verdict stage_admit(struct request *request)
{
	if (request->deadline_ns == 0)
		ask(request);
	switch (request->order.kind) {
	case ORDER_PREPARE:
		request->predicted_ns = request->order.predicted_ns;
		request->predicted_wait_ns = request->order.wait_ns;
		trace_event(request->services->trace, request->trace, TRACE_ADMITTED, request_now_ns(request),
		            request->order.queue_ahead, request->order.predicted_ns / NS_PER_MS);
		return NEXT;
	case ORDER_REFUSE:
		return respond_refusal(request);
	default:
		pipeline_wait_until(request, request->deadline_ns);
		return WAIT;
	}
}
