/* SIGHUP: a new config replaces the old one between two requests. What was made from it at the start (listeners, loops, pools and the list of
 * routes, which number the metrics) can't change while running; a config that changes it is refused whole. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config_pool.h"
#include "gateway/certificate.h"
#include "gateway/gateway_parts.h"

static bool same_list(const struct string_list *a, const struct string_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

static bool same_pools(const struct config *a, const struct config *b)
{
	bool same = a->pool_count == b->pool_count;
	for (size_t i = 0; same && i < a->pool_count; i++)
		same = config_pool_same(&a->pools[i], &b->pools[i]);
	return same;
}

static bool same_routes(const struct config *a, const struct config *b)
{
	bool same = a->route_count == b->route_count;
	for (size_t i = 0; same && i < a->route_count; i++)
		same = strcmp(a->routes[i].name, b->routes[i].name) == 0;
	return same;
}

static bool same_promises(const struct config *a, const struct config *b)
{
	bool same = true;
	for (size_t i = 0; same && i < a->route_count; i++)
		same = config_route_same_promise(&a->routes[i], &b->routes[i]);
	return same;
}

/* The first thing that differs and must not; NULL when there is none. */
static const char *fixed_difference(const struct config *a, const struct config *b)
{
	if (!same_list(&a->listen, &b->listen))
		return "listen";
	if (!same_list(&a->admin, &b->admin))
		return "admin";
	if (a->loops != b->loops)
		return "loops";
	if (strcmp(a->state, b->state) != 0)
		return "state";
	if ((a->key_count == 0) != (b->key_count == 0))
		return "keys (from none to some, or back)"; /* their secret is read at the start */
	if ((*a->tls_certificate == '\0') != (*b->tls_certificate == '\0'))
		return "tls (from none to some, or back)";
	if (!same_pools(a, b))
		return "pools";
	if (!same_routes(a, b))
		return "routes (their names or order)";
	return same_promises(a, b) ? NULL : "routes (their promises, tiers or rates)";
}

struct config_change {
	struct services *services;
	struct config *config; /* a reference */
};

static void replace(void *argument)
{
	struct config_change *change = argument;
	config_unref(&change->services->config);
	change->services->config = change->config;
	free(change);
}

static void hand_out(struct gateway *gateway)
{
	for (unsigned i = 0; i < gateway->loop_count; i++) {
		struct config_change *change = malloc(sizeof(*change));
		if (change)
			*change = (struct config_change){ &gateway->loops[i].services, config_ref(gateway->config) };
		if (!change || loop_post(gateway->loops[i].services.loop, replace, change) != OK) {
			log_line(LOG_ERROR, "out of memory: loop %u keeps the old config", i);
			if (change)
				config_unref(&change->config);
			free(change);
		}
	}
}

static void log_faults(struct bytes *faults)
{
	struct span rest = bytes_span(faults);
	while (rest.len) {
		size_t end = span_find(rest, '\n');
		log_line(LOG_ERROR, "%.*s", (int)end, rest.at);
		size_t gone = end < rest.len ? end + 1 : end;
		rest = (struct span){ rest.at + gone, rest.len - gone };
	}
}

void reload(struct gateway *gateway)
{
	struct config *config = NULL;
	struct tls_context *tls = NULL;
	struct alert_thresholds thresholds;
	struct bytes faults = { 0 };
	const char *fixed = NULL;
	enum error error = config_load(gateway->options->config_path, &config, &faults);
	if (!error)
		fixed = fixed_difference(gateway->config, config);
	if (fixed)
		bytes_printf(&faults, "%s: '%s' can't change while running; restart to change it",
		             gateway->options->config_path, fixed);
	else if (!error)
		error = certificate_load(config, &tls, &faults);
	if (!error && !fixed)
		error = gateway_load_thresholds(config, &thresholds, &faults);
	if (error || fixed) {
		log_faults(&faults);
		log_line(LOG_ERROR, "the config was not reloaded; the old one stays");
		metric_add(gateway->main_shard, METRIC_config_reload_failures_total, 0, 0, 1);
		tls_context_unref(&tls);
		config_unref(&config);
	} else {
		config_unref(&gateway->config);
		gateway->config = config;
		/* Connections keep the certificate that they began with. */
		tls_context_unref(&gateway->tls);
		gateway->tls = tls;
		hand_out(gateway);
		gateway_alerts_reload(gateway, &thresholds);
		log_set_level((enum log_level)config->log_level);
		metric_add(gateway->main_shard, METRIC_config_reloads_total, 0, 0, 1);
		log_line(LOG_INFO, "the config was reloaded");
	}
	bytes_fini(&faults);
}
