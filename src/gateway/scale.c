#include "gateway/scale.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/macros.h"
#include "config/config_pool.h"
#include "gateway/gateway_parts.h"

struct wish {
	struct gateway *gateway;
	uint32_t pool;
	uint32_t wanted;
};

static void carry_out(void *argument)
{
	struct wish *wish = argument;
	struct gateway *gateway = wish->gateway;
	log_line(LOG_INFO, "pool %s should have %u replicas", gateway->pool_names[wish->pool], wish->wanted);
	fleet_scale(gateway->fleet, wish->pool, wish->wanted);
	free(wish);
}

void scale_wish(struct gateway *gateway, uint32_t pool, uint32_t wanted)
{
	struct wish *wish = malloc(sizeof(*wish));
	if (wish)
		*wish = (struct wish){ gateway, pool, wanted };
	/* What is lost is wished for again with the next change. */
	if (!wish || loop_post(gateway->loops[0].services.loop, carry_out, wish) != OK)
		free(wish);
}

void scale_note_state(struct gateway *gateway, uint32_t replica, int state)
{
	int64_t *since_ns = &gateway->starting_since_ns[replica];
	int64_t now_ns = clock_now_ns();
	bool is_starting = state == ENGINE_STARTING || state == ENGINE_LOADING || state == ENGINE_WARMING;
	if (is_starting && *since_ns == 0)
		*since_ns = now_ns;
	if (is_starting)
		return;
	if (state == ENGINE_READY && *since_ns)
		metric_observe_ns(gateway->main_shard, METRIC_cold_start_seconds, fleet_pool(gateway->fleet, replica), 0,
		                  now_ns - *since_ns);
	*since_ns = 0;
}

/* ---- showing ---- */

struct pool_count {
	uint32_t ready;
	uint32_t starting;
};

static struct pool_count count_of(struct gateway *gateway, uint32_t pool)
{
	struct pool_count count = { 0 };
	for (uint32_t i = 0; i < fleet_count(gateway->fleet); i++) {
		struct load_report load;
		if (fleet_pool(gateway->fleet, i) != pool)
			continue;
		fleet_load(gateway->fleet, i, &load);
		count.ready += load.state == ENGINE_READY;
		count.starting += load.state < ENGINE_READY;
	}
	return count;
}

void scale_set_gauges(struct gateway *gateway)
{
	struct metrics_shard *shard = gateway->main_shard;
	int64_t now_ns = clock_now_ns();
	for (uint32_t i = 0; i < gateway->config->pool_count; i++) {
		struct control_pool_view view;
		desk_view_pool(gateway->room, i, &view);
		uint32_t replicas = config_pool_replicas(&gateway->config->pools[i]);
		metric_set(shard, METRIC_replicas_wanted, i, 0, view.wanted ? view.wanted : replicas);
		metric_set(shard, METRIC_cold_start_p95_seconds, i, 0, view.cold_start_p95_ns);
	}
	for (uint32_t i = 0; i < fleet_count(gateway->fleet); i++) {
		int64_t since_ns = gateway->starting_since_ns[i];
		metric_set(shard, METRIC_cold_start_elapsed_seconds, i, 0, since_ns ? now_ns - since_ns : 0);
	}
}

void scale_write(struct gateway *gateway, struct bytes *out)
{
	bytes_append_text(out, "{\"pools\":[");
	for (uint32_t i = 0; i < gateway->config->pool_count; i++) {
		const struct pool_config *pool = &gateway->config->pools[i];
		struct control_pool_view view;
		struct pool_count count = count_of(gateway, i);
		desk_view_pool(gateway->room, i, &view);
		bool is_scaled = pool->replicas_max != CONFIG_AUTO;
		uint32_t replicas = config_pool_replicas(pool);
		bytes_append_text(out, i ? ",\n{\"pool\":" : "{\"pool\":");
		json_write_string(out, span_of(pool->name));
		bytes_printf(out,
		             ",\"wanted\":%u,\"ready\":%u,\"starting\":%u,\"min\":%lld,\"max\":%lld,\"spare\":%lld,"
		             "\"ours\":%s,\"queued\":%u,\"in_flight\":%u,\"predicted_wait_s\":%.3f,\"cold_start_p95_s\":%.3f}",
		             view.wanted ? view.wanted : replicas, count.ready, count.starting,
		             (long long)(is_scaled ? pool->replicas_min : replicas),
		             (long long)(is_scaled ? pool->replicas_max : replicas), (long long)pool->replicas_spare,
		             config_pool_is_upstream(pool) ? "false" : "true", view.queued, view.in_flight,
		             view.predicted_wait_ns == NS_NEVER ? -1.0 : (double)view.predicted_wait_ns / NS_PER_S,
		             (double)view.cold_start_p95_ns / NS_PER_S);
	}
	bytes_append_text(out, "]}\n");
}
