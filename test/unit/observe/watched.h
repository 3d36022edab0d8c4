/* Metrics with small domains, and alerts over them on a clock of their own. */
#ifndef PENSTOCK_TEST_WATCHED_H
#define PENSTOCK_TEST_WATCHED_H

#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "observe/alerts.h"

#define WALL_NS (INT64_C(1760000000) * NS_PER_S)

static const char *const watched_routes[] = { "-", "assistant" };
static const char *const watched_pools[] = { "small" };
static const char *const watched_replicas[] = { "small/0", "small/1" };
static const char *const watched_stages[] = { "head", "forward" };
static const char *const watched_outcomes[] = { "completed", "queue_full" };
static const char *const watched_failures[] = { "none", "connect" };
static const char *const watched_indicators[] = { "ttft", "e2e" };
enum { HEAD, FORWARD };
enum { COMPLETED, QUEUE_FULL };
enum { TTFT, E2E };
#define ROUTE 1

static const struct metric_values watched_domains[DOMAIN_COUNT] = {
	[DOMAIN_ROUTE] = { watched_routes, COUNT_OF(watched_routes) },
	[DOMAIN_POOL] = { watched_pools, COUNT_OF(watched_pools) },
	[DOMAIN_REPLICA] = { watched_replicas, COUNT_OF(watched_replicas) },
	[DOMAIN_STAGE] = { watched_stages, COUNT_OF(watched_stages) },
	[DOMAIN_OUTCOME] = { watched_outcomes, COUNT_OF(watched_outcomes) },
	[DOMAIN_FAILURE] = { watched_failures, COUNT_OF(watched_failures) },
	[DOMAIN_INDICATOR] = { watched_indicators, COUNT_OF(watched_indicators) },
};

struct watched_rig {
	struct metrics *metrics;
	struct metrics_shard *shard;
	struct alerts *alerts;
	int64_t now_ns;
	unsigned fired[ALERT_COUNT]; /* times somebody was told */
	unsigned resolved[ALERT_COUNT];
	struct bytes webhook; /* the entries, comma separated */
};

static inline void rig_init(struct watched_rig *rig, const struct alert_thresholds *thresholds)
{
	*rig = (struct watched_rig){ .now_ns = 1000 * NS_PER_S };
	ck_error_is(metrics_new(watched_domains, 1, &rig->metrics), OK);
	rig->shard = metrics_shard(rig->metrics, 0);
	ck_error_is(alerts_new(rig->metrics, thresholds, &rig->alerts), OK);
}

static inline void rig_fini(struct watched_rig *rig)
{
	alerts_free(&rig->alerts);
	metrics_free(&rig->metrics);
	bytes_fini(&rig->webhook);
}

static inline void rig_note(void *owner, const struct alert_view *view)
{
	struct watched_rig *rig = owner;
	*(view->state == ALERT_FIRING ? &rig->fired[view->alert] : &rig->resolved[view->alert]) += 1;
	bytes_append_text(&rig->webhook, rig->webhook.len ? "," : "");
	alert_write_webhook(view, WALL_NS + rig->now_ns, &rig->webhook);
}

static inline void rig_evaluate(struct watched_rig *rig)
{
	alerts_evaluate(rig->alerts, rig->now_ns, WALL_NS + rig->now_ns, rig_note, rig);
	rig->now_ns += ALERTS_PERIOD_NS;
}

/* That many requests held against a promise, every ten seconds, for so long. */
static inline void rig_promise(struct watched_rig *rig, int64_t for_ns, int requests, int met)
{
	for (int64_t gone_ns = 0; gone_ns < for_ns; gone_ns += ALERTS_PERIOD_NS) {
		metric_add(rig->shard, METRIC_promise_requests_total, ROUTE, TTFT, requests);
		metric_add(rig->shard, METRIC_promise_met_total, ROUTE, TTFT, met);
		rig_evaluate(rig);
	}
}

static inline void rig_wait(struct watched_rig *rig, int64_t for_ns)
{
	rig_promise(rig, for_ns, 0, 0);
}

#endif
