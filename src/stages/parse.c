/* JSON to what is asked. The body's bytes stay as they are. */
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
static bool is_passed_on(const struct request *request)
{
	const struct route_config *route = config_route(request->config, request->api.model);
	return route && config_pool_is_upstream(config_pool(request->config, span_of(route->tiers.items[0])));
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
		error = is_passed_on(request) ? api_request_pass_on(api, &request->arena, &fault)
		                              : api_request_check(api, &request->arena, &fault);
	if (error == ERROR_MEMORY)
		return respond_outcome(request, OUTCOME_out_of_memory);
	return error ? respond_fault(request, OUTCOME_invalid, &fault) : NEXT;
}
