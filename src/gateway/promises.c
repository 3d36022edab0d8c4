#include "gateway/promises.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"
#include "config/config_promise.h"
#include "gateway/gateway_parts.h"
#include "policy/promise.h"
#include "stages/rung.h"

#define SHARE_P95 0.95
#define NANO 1e9
/* With fewer units in the window a mean cost says nothing. */
#define COST_UNITS_MIN 5
#define HOUR_NS (3600.0 * NS_PER_S)

/* What has passed up to now, so that a window is a difference. */
struct mark {
	int64_t cost_nano;
	int64_t units;
	int64_t output_tokens;
	int64_t requests;
};

struct route_promise {
	struct promise_window windows[INDICATORS];
	int64_t eligible[INDICATORS]; /* as the counters stood last */
	int64_t met[INDICATORS];
	struct promise_view views[INDICATORS];
	struct mark marks[PROMISE_BUCKETS_MAX + 1]; /* a ring by bucket: as things stood at its beginning */
	struct mark window;                         /* what the window has seen */
	enum promise_state state;
};

/* Of a pool whose replicas cost by the hour: what they have cost while busy, and which routes that is to be told to. */
struct pool_cost {
	int64_t busy_ns;   /* as told last */
	double owed_nano;  /* not yet told to a route */
	int64_t *route_ns; /* owned, by route: time at its replicas, as counted last */
};

struct promises {
	struct gateway *gateway;
	struct timer timer;
	struct route_promise *routes;
	struct pool_cost *pools;
	int64_t bucket;
};

/* ---- cost ---- */

/* Busy time is paid by the routes whose requests ended since somebody was last told, by their time at the pool's replicas. */
static void share_cost(struct promises *promises, uint32_t pool)
{
	struct gateway *gateway = promises->gateway;
	const struct config *config = gateway->config;
	struct pool_cost *cost = &promises->pools[pool];
	struct control_pool_view view;
	int64_t total_ns = 0;
	desk_view_pool(gateway->room, pool, &view);
	cost->owed_nano += (double)(view.busy_ns - cost->busy_ns) / HOUR_NS * config->pools[pool].price_hour * NANO;
	cost->busy_ns = view.busy_ns;
	for (uint32_t i = 0; i < config->route_count; i++)
		total_ns += metrics_sum(gateway->metrics, METRIC_replica_time_seconds_total, i + 1, pool) - cost->route_ns[i];
	if (total_ns <= 0)
		return;
	for (uint32_t i = 0; i < config->route_count; i++) {
		int64_t now_ns = metrics_sum(gateway->metrics, METRIC_replica_time_seconds_total, i + 1, pool);
		double share = (double)(now_ns - cost->route_ns[i]) / (double)total_ns;
		metric_add(gateway->main_shard, METRIC_cost_total, i + 1, 0, (int64_t)(cost->owed_nano * share));
		cost->route_ns[i] = now_ns;
	}
	cost->owed_nano = 0;
}

/* ---- windows ---- */

static struct mark mark_now(const struct promises *promises, uint32_t route)
{
	const struct metrics *metrics = promises->gateway->metrics;
	return (struct mark){
		.cost_nano = metrics_sum(metrics, METRIC_cost_total, route + 1, 0),
		.units = metrics_sum(metrics, METRIC_units_total, route + 1, 0),
		.output_tokens = metrics_sum(metrics, METRIC_output_tokens_total, route + 1, 0),
		.requests = metrics_sum(metrics, METRIC_promise_requests_total, route + 1, INDICATOR_refuse),
	};
}

static void gather_counts(struct promises *promises, uint32_t route, int64_t now_ns)
{
	const struct metrics *metrics = promises->gateway->metrics;
	struct route_promise *promise = &promises->routes[route];
	for (uint32_t i = 0; i < INDICATORS; i++) {
		int64_t eligible = metrics_sum(metrics, METRIC_promise_requests_total, route + 1, i);
		int64_t met = metrics_sum(metrics, METRIC_promise_met_total, route + 1, i);
		/* Loops count one before the other: a met one may be seen first. */
		met = min_ll(met, promise->met[i] + eligible - promise->eligible[i]);
		promise_window_add(&promise->windows[i], now_ns, (uint32_t)(eligible - promise->eligible[i]),
		                   (uint32_t)(met - promise->met[i]));
		promise->eligible[i] = eligible;
		promise->met[i] = met;
	}
}

/* Marks at each bucket's beginning; the window is what has happened since the oldest one in it. */
static void gather_marks(struct promises *promises, uint32_t route, int64_t bucket, int64_t window_ns)
{
	struct route_promise *promise = &promises->routes[route];
	struct mark now = mark_now(promises, route);
	for (int64_t i = promises->bucket + 1; i <= bucket; i++)
		promise->marks[i % (PROMISE_BUCKETS_MAX + 1)] = now;
	int64_t first = max_ll(bucket - window_ns / PROMISE_BUCKET_NS + 1, 0);
	const struct mark *then = &promise->marks[first % (PROMISE_BUCKETS_MAX + 1)];
	promise->window = (struct mark){ now.cost_nano - then->cost_nano, now.units - then->units,
		                             now.output_tokens - then->output_tokens, now.requests - then->requests };
}

/* ---- the state ---- */

static bool is_promised(const struct route_config *route, enum indicator indicator)
{
	switch (indicator) {
	case INDICATOR_ttft:
		return route->promise_ttft_p95 > 0;
	case INDICATOR_tpot:
		return route->promise_tpot_p95 > 0;
	case INDICATOR_e2e:
		return route->promise_e2e_p95 > 0;
	case INDICATOR_checks:
		return route->promise_checks.count > 0;
	case INDICATOR_refuse:
		return true;
	default:
		return false;
	}
}

static double share_of(const struct route_config *route, enum indicator indicator)
{
	if (indicator == INDICATOR_refuse)
		return 1 - route->promise_refuse_max;
	return indicator == INDICATOR_checks ? 1 - route->promise_failures_max : SHARE_P95;
}

static double cost_of_unit(const struct route_promise *promise)
{
	return promise->window.units > 0 ? (double)promise->window.cost_nano / NANO / (double)promise->window.units : 0;
}

static enum promise_state worse(enum promise_state a, enum promise_state b)
{
	if (a == PROMISE_BROKEN || b == PROMISE_BROKEN)
		return PROMISE_BROKEN;
	return a == PROMISE_UNKNOWN || b == PROMISE_UNKNOWN ? PROMISE_UNKNOWN : PROMISE_KEPT;
}

static void judge(struct route_promise *promise, const struct route_config *route, int64_t now_ns)
{
	promise->state = PROMISE_KEPT;
	for (uint32_t i = 0; i < INDICATORS; i++) {
		if (!is_promised(route, i)) {
			promise->views[i] = (struct promise_view){ .attainment = 1 };
			continue;
		}
		promise->views[i] = promise_window_view(&promise->windows[i], now_ns, route->promise_window, share_of(route, i),
		                                        (uint64_t)route->promise_min_samples);
		promise->state = worse(promise->state, promise->views[i].state);
	}
	if (route->promise_kind != PROMISE_KIND_COST)
		return;
	bool is_known = promise->window.units >= route->promise_min_samples;
	bool is_kept = cost_of_unit(promise) <= route->promise_ceiling;
	promise->state = worse(promise->state, !is_known ? PROMISE_UNKNOWN : is_kept ? PROMISE_KEPT : PROMISE_BROKEN);
}

/* Cost is not a matter of time: control's ladder is told how it stands. */
static void tell_pressure(struct promises *promises, uint32_t route)
{
	const struct route_config *config = &promises->gateway->config->routes[route];
	const struct route_promise *promise = &promises->routes[route];
	bool is_known = promise->window.units >= COST_UNITS_MIN;
	double pressure = is_known ? cost_of_unit(promise) / config->promise_ceiling : 0;
	desk_add(promises->gateway->loops[0].services.desk,
	         &(struct event){ .kind = EVENT_PRESSURE,
	                          .route = route,
	                          .permille = (uint32_t)min_ll((long long)(pressure * 1000), 100000) });
}

static void look(struct promises *promises)
{
	const struct config *config = promises->gateway->config;
	int64_t now_ns = clock_now_ns();
	int64_t bucket = now_ns / PROMISE_BUCKET_NS;
	for (uint32_t i = 0; i < config->pool_count; i++)
		share_cost(promises, i);
	for (uint32_t i = 0; i < config->route_count; i++) {
		const struct route_config *route = &config->routes[i];
		gather_counts(promises, i, now_ns);
		gather_marks(promises, i, bucket, route->promise_window);
		if (route->promise_kind == PROMISE_KIND_NONE)
			continue;
		judge(&promises->routes[i], route, now_ns);
		if (route->promise_kind == PROMISE_KIND_COST)
			tell_pressure(promises, i);
	}
	promises->bucket = bucket;
}

static void on_second(struct timer *timer)
{
	look(container_of(timer, struct promises, timer));
	timer_start_after(timer, NS_PER_S);
}

/* ---- making ---- */

enum error promises_new(struct gateway *gateway, struct promises **out)
{
	const struct config *config = gateway->config;
	struct promises *promises = calloc(1, sizeof(*promises));
	*out = promises;
	if (!promises)
		return ERROR_MEMORY;
	promises->gateway = gateway;
	/* All counters are 0 now, and so are the marks. */
	promises->bucket = clock_now_ns() / PROMISE_BUCKET_NS;
	promises->routes = calloc(config->route_count, sizeof(*promises->routes));
	promises->pools = calloc(config->pool_count, sizeof(*promises->pools));
	if (!promises->routes || !promises->pools)
		return ERROR_MEMORY;
	for (uint32_t i = 0; i < config->pool_count; i++) {
		promises->pools[i].route_ns = calloc(config->route_count, sizeof(int64_t));
		if (!promises->pools[i].route_ns)
			return ERROR_MEMORY;
	}
	timer_init(&promises->timer, gateway->loops[0].services.loop, on_second);
	timer_start_after(&promises->timer, NS_PER_S);
	return OK;
}

void promises_free(struct promises **promises_slot)
{
	struct promises *promises = *promises_slot;
	if (!promises)
		return;
	*promises_slot = NULL;
	timer_stop(&promises->timer);
	for (uint32_t i = 0; promises->pools && i < promises->gateway->config->pool_count; i++)
		free(promises->pools[i].route_ns);
	free(promises->pools);
	free(promises->routes);
	free(promises);
}

/* ---- showing ---- */

static int64_t target_ns(const struct route_config *route, enum indicator indicator)
{
	switch (indicator) {
	case INDICATOR_ttft:
		return route->promise_ttft_p95;
	case INDICATOR_tpot:
		return route->promise_tpot_p95;
	default:
		return indicator == INDICATOR_e2e ? route->promise_e2e_p95 : 0;
	}
}

void promises_set_gauges(struct promises *promises)
{
	struct gateway *gateway = promises->gateway;
	struct metrics_shard *shard = gateway->main_shard;
	for (uint32_t i = 0; i < gateway->config->route_count; i++) {
		const struct route_config *route = &gateway->config->routes[i];
		const struct route_promise *promise = &promises->routes[i];
		struct control_route_view ladder;
		desk_view_route(gateway->room, i, &ladder);
		bool has_promise = route->promise_kind != PROMISE_KIND_NONE;
		metric_set(shard, METRIC_promise_state, i + 1, 0, has_promise ? (int64_t)promise->state : PROMISE_NONE);
		for (uint32_t k = 0; k < INDICATORS; k++) {
			metric_set(shard, METRIC_promise_target_seconds, i + 1, k, target_ns(route, k));
			metric_set(shard, METRIC_promise_attainment_ratio, i + 1, k,
			           has_promise ? (int64_t)(promise->views[k].attainment * 1e6) : 0);
		}
		metric_set(shard, METRIC_rung, i + 1, 0, ladder.rung);
		metric_set(shard, METRIC_rung_moves_total, i + 1, 0, (int64_t)ladder.moves);
		metric_set(shard, METRIC_ladder_latched, i + 1, 0, ladder.is_latched);
		metric_set(shard, METRIC_ladder_pressure_ratio, i + 1, 0, (int64_t)(ladder.pressure * 1000));
	}
}

static const char *state_text(enum promise_state state)
{
	static const char *const texts[] = { "none", "unknown", "kept", "broken" };
	return texts[state];
}

static void write_indicators(const struct route_config *route, const struct route_promise *promise, struct bytes *out)
{
	const char *comma = "";
	bytes_append_text(out, ",\"indicators\":{");
	for (uint32_t i = 0; i < INDICATORS; i++) {
		const struct promise_view *view = &promise->views[i];
		if (!is_promised(route, i))
			continue;
		bytes_printf(out, "%s\"%s\":{\"state\":\"%s\",\"attainment\":%.5f,\"needed\":%.5f,\"requests\":%llu", comma,
		             indicator_texts()[i], state_text(view->state), view->attainment, share_of(route, i),
		             (unsigned long long)view->eligible);
		if (target_ns(route, i))
			bytes_printf(out, ",\"target_ms\":%.3f", (double)target_ns(route, i) / NS_PER_MS);
		bytes_append_byte(out, '}');
		comma = ",";
	}
	bytes_append_byte(out, '}');
}

static void write_route(struct promises *promises, uint32_t index, struct bytes *out)
{
	static const char *const kinds[] = { "none", "latency", "quality", "cost" };
	static const char *const units[] = { "request", "conversation", "document", "action" };
	const struct route_config *route = &promises->gateway->config->routes[index];
	const struct route_promise *promise = &promises->routes[index];
	struct control_route_view ladder;
	char rung[RUNG_TEXT_BYTES];
	desk_view_route(promises->gateway->room, index, &ladder);
	bytes_append_text(out, "{\"route\":");
	json_write_string(out, span_of(route->name));
	bytes_printf(out, ",\"kind\":\"%s\",\"state\":\"%s\",\"window_s\":%lld", kinds[route->promise_kind],
	             state_text(route->promise_kind ? promise->state : PROMISE_NONE),
	             (long long)(route->promise_window / NS_PER_S));
	bytes_printf(out, ",\"rung\":%u,\"rung_name\":\"%s\",\"rung_moves\":%llu,\"latched\":%s,\"pressure\":%.3f",
	             ladder.rung, rung_text(route, ladder.rung, rung), (unsigned long long)ladder.moves,
	             ladder.is_latched ? "true" : "false", ladder.pressure);
	if (route->promise_kind != PROMISE_KIND_NONE)
		write_indicators(route, promise, out);
	bytes_printf(out,
	             ",\"requests\":%lld,\"output_tokens\":%lld,\"cost\":{\"per\":\"%s\",\"units\":%lld,\"total\":%.9f",
	             (long long)promise->window.requests, (long long)promise->window.output_tokens,
	             units[route->promise_per], (long long)promise->window.units, (double)promise->window.cost_nano / NANO);
	if (promise->window.units > 0)
		bytes_printf(out, ",\"unit\":%.9f", cost_of_unit(promise));
	if (route->promise_ceiling > 0)
		bytes_printf(out, ",\"ceiling\":%.9f", route->promise_ceiling);
	bytes_append_text(out, ",\"currency\":");
	json_write_string(out, span_of(route->promise_currency));
	bytes_append_text(out, "}}");
}

void promises_write(struct promises *promises, struct bytes *out)
{
	bytes_append_text(out, "{\"promises\":[");
	for (uint32_t i = 0; i < promises->gateway->config->route_count; i++) {
		bytes_append_text(out, i ? ",\n" : "");
		write_route(promises, i, out);
	}
	bytes_append_text(out, "]}\n");
}
