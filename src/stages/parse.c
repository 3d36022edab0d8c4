/* JSON to what is asked. The body's bytes stay as they are: the engine reads the same ones with the same decoder. */
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

enum verdict stage_parse(struct request *request)
{
	if (request->endpoint == ENDPOINT_MODELS)
		return list_models(request);
	enum api_endpoint endpoint = endpoint_row(request->endpoint)->api;
	struct api_fault fault = { 0 };
	enum error error = api_request_parse(&request->api, endpoint, http_exchange_body(request->exchange),
	                                     (unsigned)request->config->limits_json_depth, &request->arena, &fault);
	if (error == ERROR_MEMORY)
		return respond_outcome(request, OUTCOME_out_of_memory);
	return error ? respond_fault(request, OUTCOME_invalid, &fault) : NEXT;
}
