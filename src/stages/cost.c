#include "stages/cost.h"

#include "base/macros.h"
#include "stages/conversation.h"
#include "stages/request.h"
#include "stages/services.h"

#define NANO 1e9

static double tokens_per_price(const struct pool_config *pool)
{
	static const double tokens[] = { 1e6, 1e3, 1 };
	return tokens[pool->price_per];
}

/* 0 where nobody counted its tokens, which usage_unknown_total tells. */
static double token_cost(const struct request *request)
{
	const struct pool_config *pool = &request->config->pools[request->pool];
	const struct upstream *upstream = &request->upstream;
	double cached_price = pool->price_cached < 0 ? pool->price_input : pool->price_cached;
	double cached = (double)min_ll(max_ll(upstream->cached_tokens, 0), max_ll(upstream->prompt_tokens, 0));
	double fresh = (double)max_ll(upstream->prompt_tokens, 0) - cached;
	double cost = fresh * pool->price_input + cached * cached_price +
	              (double)max_ll(upstream->output_tokens, 0) * pool->price_output;
	return cost / tokens_per_price(pool);
}

/* A unit is counted when it is first seen. */
bool cost_is_new_unit(const struct request *request)
{
	if (!request->route || request->outcome != OUTCOME_completed)
		return false;
	return request->route->promise_per == PROMISE_PER_REQUEST || conversation_is_new_unit(request);
}

void cost_count(const struct request *request, int64_t now_ns)
{
	struct metrics_shard *metrics = request->services->metrics;
	if (!request->route)
		return;
	metric_add(metrics, METRIC_units_total, request->route_label, 0, request->is_new_unit);
	if (!request->is_dispatched)
		return;
	metric_add(metrics, METRIC_cost_total, request->route_label, 0, (int64_t)(token_cost(request) * NANO));
	metric_add(metrics, METRIC_replica_time_seconds_total, request->route_label, request->pool,
	           now_ns - request->dispatched_ns);
}
