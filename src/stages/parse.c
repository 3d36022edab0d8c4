/* JSON to what is asked. The body's bytes stay as they are. */
#include "api/anthropic.h"
#include "config/config_pool.h"
#include "stages/respond.h"
#include "stages/services.h"

static enum verdict list_models(struct request *request)
{
	const struct config *config = request->config;
	struct bytes body = { 0 };
	bytes_append_text(&body, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < config->route_count; i++) {
		bytes_append_text(&body, i ? ",{\"id\":" : "{\"id\":");
		json_write_string(&body, span_of(config->routes[i].name));
		bytes_append_text(&body, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"penstock\"}");
	}
	bytes_append_text(&body, "]}");
	enum verdict verdict = respond_body(request, OUTCOME_answered, 200, "application/json", bytes_span(&body));
	bytes_fini(&body);
	return verdict;
}

/* An engine of ours reads the body with the same decoder, and everything is checked here; another one has its own mind, and is sent what we don't know, too. */
static bool is_passed_on(const struct pool_config *pool)
{
	return pool && config_pool_is_upstream(pool);
}

/* What can't be said in its API is refused here, before the request has a place in any queue. */
static bool is_translated(const struct pool_config *pool)
{
	return is_passed_on(pool) && pool->upstream_kind == UPSTREAM_ANTHROPIC;
}

/* NULL for an unknown route: the route stage refuses it. */
static const struct pool_config *pool_of(const struct request *request)
{
	const struct route_config *route = config_route(request->config, request->api.model);
	return route ? config_pool(request->config, span_of(route->tiers.items[0])) : NULL;
}

static enum error check(struct request *request, struct api_fault *fault)
{
	struct api_request *api = &request->api;
	const struct pool_config *pool = pool_of(request);
	if (is_translated(pool) && request->endpoint != ENDPOINT_CHAT)
		return api_refuse(fault, ERROR_UNSUPPORTED, "model",
		                  "This model answers /v1/chat/completions only; send the request there, or to another model.");
	if (is_translated(pool))
		return anthropic_check_request(api, &request->arena, fault);
	return is_passed_on(pool) ? api_request_pass_on(api, &request->arena, fault)
	                          : api_request_check(api, &request->arena, fault);
}

enum verdict stage_parse(struct request *request)
{
	if (request->endpoint == ENDPOINT_MODELS)
		return list_models(request);
	enum api_endpoint endpoint = endpoint_row(request->endpoint)->api;
	struct api_request *api = &request->api;
	struct api_fault fault = { 0 };
	enum error error = api_request_read(api, endpoint, http_exchange_body(request->exchange),
	                                    (unsigned)request->config->limits_json_depth, &request->arena, &fault);
	if (!error)
		error = check(request, &fault);
	if (error == ERROR_MEMORY)
		return respond_outcome(request, OUTCOME_out_of_memory);
	return error ? respond_fault(request, OUTCOME_invalid, &fault) : NEXT;
}
