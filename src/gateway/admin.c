/* The operators' listener: health, readiness, metrics, one request's record. Runs on loop 0. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_parts.h"
#include "gateway/promises.h"
#include "gateway/scale.h"
#include "stages/keys.h"

#define BODY_BYTES_MAX 4096
#define IDLE_NS (75 * NS_PER_S)

struct admin_exchange {
	struct gateway *gateway;
	struct http_exchange *exchange;
};

static void respond(struct admin_exchange *admin, int status, const char *content_type, const struct bytes *body)
{
	struct bytes headers = { 0 };
	bytes_printf(&headers, "content-type: %s\r\ncache-control: no-store\r\n", content_type);
	http_respond(admin->exchange, status, bytes_span(&headers), bytes_span(body));
	bytes_fini(&headers);
}

static void respond_error(struct admin_exchange *admin, int status, const char *code, const char *message)
{
	struct bytes body = { 0 };
	api_write_error_text(&body, api_error_type(status), code, message);
	respond(admin, status, "application/json", &body);
	bytes_fini(&body);
}

/* ---- /metrics ---- */

static void set_pool_gauges(struct gateway *gateway)
{
	struct metrics_shard *shard = gateway->main_shard;
	for (uint32_t i = 0; i < gateway->config->pool_count; i++) {
		struct control_pool_view view;
		desk_view_pool(gateway->room, i, &view);
		metric_set(shard, METRIC_queue_requests, i, 0, view.queued);
		metric_set(shard, METRIC_in_flight_requests, i, 0, view.in_flight);
		metric_set(shard, METRIC_predicted_wait_seconds, i, 0, view.predicted_wait_ns);
		metric_set(shard, METRIC_prediction_ratio_p95, i, 0, (int64_t)(view.ratio_p95 * 1000));
	}
}

static void set_replica_gauges(struct gateway *gateway)
{
	struct metrics_shard *shard = gateway->main_shard;
	for (uint32_t i = 0; i < fleet_count(gateway->fleet); i++) {
		struct load_report load;
		fleet_load(gateway->fleet, i, &load);
		metric_set(shard, METRIC_replica_ready, i, 0, load.state == ENGINE_READY);
		struct control_replica_view view;
		desk_view_replica(gateway->room, i, &view);
		metric_set(shard, METRIC_replica_in_flight_requests, i, 0, view.in_flight);
		metric_set(shard, METRIC_replica_concurrency, i, 0, view.limit);
		metric_set(shard, METRIC_replica_circuit_open, i, 0, view.health != HEALTH_CLOSED);
		metric_set(shard, METRIC_replica_restarts_total, i, 0, fleet_restarts(gateway->fleet, i));
		metric_set(shard, METRIC_replica_load_seconds, i, 0, (int64_t)load.load_ns);
		metric_set(shard, METRIC_replica_warm_seconds, i, 0, (int64_t)load.warm_ns);
		metric_set(shard, METRIC_engine_running_requests, i, 0, (int64_t)load.running);
		metric_set(shard, METRIC_engine_kv_cells, i, 0, (int64_t)load.cells);
		metric_set(shard, METRIC_engine_kv_cells_used, i, 0, (int64_t)load.cells_used);
		metric_set(shard, METRIC_engine_backlog_tokens, i, 0, (int64_t)load.backlog_tokens);
		metric_set(shard, METRIC_engine_steps, i, 0, (int64_t)load.steps);
		metric_set(shard, METRIC_engine_preemptions, i, 0, (int64_t)load.preemptions);
		metric_set(shard, METRIC_engine_cached_tokens, i, 0, (int64_t)load.cached_tokens);
		metric_set(shard, METRIC_engine_prefix_bytes, i, 0, (int64_t)load.prefix_bytes);
		metric_set(shard, METRIC_engine_prompt_share, i, 0, (int64_t)load.prompt_share_permille);
		metric_set(shard, METRIC_engine_prompt_fixed_seconds, i, 0, (int64_t)load.prompt_fixed_ns);
		metric_set(shard, METRIC_engine_prompt_token_seconds, i, 0, (int64_t)load.prompt_token_ns);
		metric_set(shard, METRIC_engine_prompt_beside_seconds, i, 0, (int64_t)load.prompt_beside_ns);
		metric_set(shard, METRIC_engine_stream_fixed_seconds, i, 0, (int64_t)load.stream_fixed_ns);
		metric_set(shard, METRIC_engine_stream_token_seconds, i, 0, (int64_t)load.stream_token_ns);
		metric_set(shard, METRIC_engine_stream_beside_seconds, i, 0, (int64_t)load.stream_beside_ns);
		metric_set(shard, METRIC_engine_stream_cell_seconds, i, 0, (int64_t)load.stream_context_ps);
	}
}

void admin_refresh_gauges(struct gateway *gateway)
{
	set_pool_gauges(gateway);
	set_replica_gauges(gateway);
	promises_set_gauges(gateway->promises);
	scale_set_gauges(gateway);
	metric_set(gateway->main_shard, METRIC_log_lines_dropped, 0, 0, (int64_t)log_dropped());
}

static void serve_metrics(struct admin_exchange *admin)
{
	struct gateway *gateway = admin->gateway;
	struct bytes body = { 0 };
	admin_refresh_gauges(gateway);
	metrics_write(gateway->metrics, &body);
	respond(admin, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
	bytes_fini(&body);
}

/* ---- promises and scale ---- */

static void serve_promises(struct admin_exchange *admin)
{
	struct bytes body = { 0 };
	promises_write(admin->gateway->promises, &body);
	respond(admin, 200, "application/json", &body);
	bytes_fini(&body);
}

static void serve_scale(struct admin_exchange *admin)
{
	struct bytes body = { 0 };
	scale_write(admin->gateway, &body);
	respond(admin, 200, "application/json", &body);
	bytes_fini(&body);
}

/* ---- health ---- */

static bool pool_is_ready(struct gateway *gateway, uint32_t pool)
{
	for (uint32_t i = 0; i < fleet_count(gateway->fleet); i++) {
		struct load_report load;
		fleet_load(gateway->fleet, i, &load);
		if (fleet_pool(gateway->fleet, i) == pool && load.state == ENGINE_READY)
			return true;
	}
	return false;
}

bool gateway_is_ready(struct gateway *gateway)
{
	bool ready = !gateway->draining;
	for (uint32_t i = 0; i < gateway->config->pool_count && ready; i++)
		ready = pool_is_ready(gateway, i);
	return ready;
}

static void serve_health(struct admin_exchange *admin)
{
	struct bytes body = { 0 };
	bytes_append_text(&body, "{\"status\":\"ok\",\"version\":\"" PENSTOCK_VERSION "\"}\n");
	respond(admin, 200, "application/json", &body);
	bytes_fini(&body);
}

static void serve_readiness(struct admin_exchange *admin)
{
	struct gateway *gateway = admin->gateway;
	struct bytes body = { 0 };
	bool ready = gateway_is_ready(gateway);
	bytes_printf(&body, "{\"ready\":%s,\"draining\":%s,\"replicas\":{", ready ? "true" : "false",
	             gateway->draining ? "true" : "false");
	for (uint32_t i = 0; i < fleet_count(gateway->fleet); i++) {
		struct load_report load;
		fleet_load(gateway->fleet, i, &load);
		bytes_append_text(&body, i ? "," : "");
		json_write_string(&body, span_of(fleet_names(gateway->fleet)[i]));
		bytes_printf(&body, ":{\"state\":\"%s\",\"percent\":%llu,\"process\":%d,\"restarts\":%u}",
		             engine_state_text(load.state), (unsigned long long)load.percent,
		             fleet_process_id(gateway->fleet, i), fleet_restarts(gateway->fleet, i));
	}
	bytes_append_text(&body, "}}\n");
	respond(admin, ready ? 200 : 503, "application/json", &body);
	bytes_fini(&body);
}

/* ---- /requests/ID ---- */

static void serve_request(struct admin_exchange *admin, struct span id)
{
	struct gateway *gateway = admin->gateway;
	struct bytes body = { 0 };
	bool found = false;
	for (unsigned i = 0; i < gateway->loop_count && !found; i++)
		found = trace_find(gateway->loops[i].services.trace, id, &body);
	bytes_append_text(&body, "\n");
	if (found)
		respond(admin, 200, "application/json", &body);
	else
		respond_error(admin, 404, "not_found", "No request of that id is remembered; each loop keeps its last 2,048.");
	bytes_fini(&body);
}

static void serve_last_requests(struct admin_exchange *admin, struct span query)
{
	struct bytes body = { 0 };
	if (gateway_write_last_requests(admin->gateway, query, &body))
		respond(admin, 200, "application/x-ndjson", &body);
	else
		respond_error(admin, 400, "invalid_value",
		              "Write /requests?last=N, N from 1 to 1,000; one request is /requests/ID.");
	bytes_fini(&body);
}

static void serve_alerts(struct admin_exchange *admin, struct span query)
{
	struct bytes body = { 0 };
	gateway_alerts_write(admin->gateway, query, &body);
	respond(admin, 200, "application/json", &body);
	bytes_fini(&body);
}

static void serve_index(struct admin_exchange *admin)
{
	struct bytes body = { 0 };
	bytes_append_text(&body,
	                  "penstock " PENSTOCK_VERSION
	                  "\n\n/healthz      alive\n/readyz       taking requests, with every replica's state\n"
	                  "/metrics      Prometheus\n/requests/ID  one request: stages, events, times (ID = x-request-id)\n"
	                  "/requests?last=N  the newest N finished ones, a line each\n/alerts       what fires, with its "
	                  "reason and remedy (?all=1: "
	                  "the others, too)\n");
	respond(admin, 200, "text/plain; charset=utf-8", &body);
	bytes_fini(&body);
}

/* Beyond this machine, admins need a key like everybody else. */
static bool may_enter(const struct admin_exchange *admin, const struct http_head *head)
{
	const struct gateway *gateway = admin->gateway;
	for (size_t i = 0; i < gateway->admin_listener_count; i++) {
		if (!address_is_loopback(listener_address(gateway->admin_listeners[i])))
			return keys_find(gateway->config, gateway->loops[0].services.digest, head) != NULL;
	}
	return true;
}

static void serve(struct admin_exchange *admin, const struct http_head *head)
{
	struct span prefix = SPAN("/requests/");
	if (!may_enter(admin, head))
		respond_error(admin, 401, "invalid_api_key",
		              "A valid API key is needed: send it as 'Authorization: Bearer KEY'.");
	else if (!span_is(head->method, "GET") && !span_is(head->method, "HEAD"))
		respond_error(admin, 405, "method_not_allowed", "Only GET is served here.");
	else if (span_is(head->path, "/metrics"))
		serve_metrics(admin);
	else if (span_is(head->path, "/healthz"))
		serve_health(admin);
	else if (span_is(head->path, "/promises"))
		serve_promises(admin);
	else if (span_is(head->path, "/scale"))
		serve_scale(admin);
	else if (span_is(head->path, "/readyz"))
		serve_readiness(admin);
	else if (span_is(head->path, "/alerts"))
		serve_alerts(admin, head->query);
	else if (span_is(head->path, "/requests"))
		serve_last_requests(admin, head->query);
	else if (span_starts_with(head->path, prefix))
		serve_request(admin, (struct span){ head->path.at + prefix.len, head->path.len - prefix.len });
	else if (span_is(head->path, "/"))
		serve_index(admin);
	else
		respond_error(admin, 404, "not_found", "There is no such path; GET / lists those that are.");
}

/* ---- the server's side ---- */

static void *on_begin(void *context, struct http_exchange *exchange)
{
	struct admin_exchange *admin = malloc(sizeof(*admin));
	if (admin)
		*admin = (struct admin_exchange){ context, exchange };
	return admin;
}

static void on_event(void *owner, struct http_exchange *exchange, enum http_event event)
{
	struct admin_exchange *admin = owner;
	if (event == HTTP_EVENT_DRAIN)
		return;
	if (event == HTTP_EVENT_FAULT) {
		const struct http_fault *fault = http_exchange_fault(exchange);
		respond_error(admin, fault->status, "malformed_http", fault->text);
	} else if (event == HTTP_EVENT_HEAD) {
		enum error error = http_exchange_accept_body(exchange, BODY_BYTES_MAX);
		if (!error && !http_exchange_body_is_complete(exchange))
			return;
		if (error)
			respond_error(admin, 413, "too_large", "The body is too large.");
		else
			serve(admin, http_exchange_head(exchange));
	} else if (event == HTTP_EVENT_BODY) {
		serve(admin, http_exchange_head(exchange));
	}
	http_exchange_end(&admin->exchange);
	free(admin);
}

static const struct http_server_events admin_events = { .on_begin = on_begin, .on_event = on_event };

enum error admin_new(struct gateway *gateway)
{
	struct http_server_settings settings = { .limits = http_limits_default, .idle_ns = IDLE_NS };
	return http_server_new(gateway->loops[0].services.loop, &settings, &admin_events, gateway, &gateway->admin_server);
}
