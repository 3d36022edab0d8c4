/* Which tier answers. With one tier there is nothing to decide; the first is the cheap one. */
#include <stdio.h>

#include "stages/checks.h"
#include "stages/conversation.h"
#include "stages/respond.h"
#include "stages/rung.h"
#include "stages/services.h"

enum verdict stage_route(struct request *request)
{
	const struct config *config = request->config;
	request->route = config_route(config, request->api.model);
	if (!request->route) {
		struct api_fault fault = {
			.status = 404, .type = api_error_type(404), .code = "model_not_found", .param = "model"
		};
		snprintf(fault.message, sizeof(fault.message),
		         "The model '%.*s' does not exist; GET /v1/models lists those that do.",
		         (int)(request->api.model.len < 100 ? request->api.model.len : 100), request->api.model.at);
		return respond_fault(request, OUTCOME_no_such_model, &fault);
	}
	request->route_label = (uint32_t)(request->route - config->routes) + 1;
	uint32_t tier = rung_tier(request->route, request->rung);
	if (request->route->tiers.count > 1)
		tier = conversation_tier(request, tier);
	const struct pool_config *pool = config_pool(config, span_of(request->route->tiers.items[tier]));
	request->pool = (uint32_t)(pool - config->pools);
	request->has_checks = checks_are_promised(request->route) && endpoint_row(request->endpoint)->has_output;
	return NEXT;
}
