/* What is going on, for metrics and tests. */
#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

void control_view_pool(const struct control *control, uint32_t pool_index, struct control_pool_view *out)
{
	MUST(pool_index < control->pool_count);
	const struct pool *pool = &control->pools[pool_index];
	const struct event nobody = { .pool = pool_index, .class = CLASS_STANDARD };
	const struct forecast forecast = forecast_request(control, pool, &nobody);
	*out = (struct control_pool_view){
		.queued = pool->queued_count,
		.in_flight = pool->in_flight,
		.predicted_wait_ns = forecast_promised_ns(control, pool, CLASS_STANDARD, forecast.wait_ns),
		.ratio_p95 = 1,
		.wanted = pool->wanted,
		.cold_start_p95_ns = demand_start_p95_ns(&pool->demand, 0),
		.busy_ns = pool_busy_ns(control, pool),
	};
	for (uint32_t i = 0; i < CLASS_COUNT; i++) {
		double ratio = predict_ratio_p95(&pool->ratios[i]);
		out->ratio_p95 = ratio > out->ratio_p95 ? ratio : out->ratio_p95;
	}
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		out->replicas_ready += control->replicas[pool->first_replica + i].state == REPLICA_READY;
}

void control_view_replica(const struct control *control, uint32_t replica_index, struct control_replica_view *out)
{
	MUST(replica_index < control->replica_count);
	const struct replica *replica = &control->replicas[replica_index];
	*out = (struct control_replica_view){
		.in_flight = replica->in_flight,
		.limit = replica->sequences,
		.health = replica->health.state,
		.first_token_ns = predict_prefill_ns(
			&replica->rates, replica_work(replica, 1000, replica_backlog(control, replica)), replica->in_flight),
	};
}

void control_view_route(const struct control *control, uint32_t route_index, struct control_route_view *out)
{
	MUST(route_index < control->route_count);
	const struct route *route = &control->routes[route_index];
	*out = (struct control_route_view){
		.rung = route->ladder.rung,
		.is_latched = ladder_is_latched(&route->ladder, control->now_ns),
		.moves = route->ladder.move_count,
		.pressure = route->pressure,
	};
}
