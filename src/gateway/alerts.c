/* Alerts inside the gateway: loop 0 looks at its own metrics every ten seconds, and tells the webhook what has changed. */
#include "observe/alerts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "gateway/alerts_webhook.h"
#include "gateway/gateway_parts.h"

struct gateway_alerts {
	struct gateway *gateway;
	struct alerts *alerts;
	struct alerts_webhook *webhook; /* NULL: nobody is told */
	struct timer timer;
	int64_t period_ns;
	struct bytes entries; /* of the message that is being made */
	bool has_firing;
};

/* Test builds look more often: PENSTOCK_TEST_ALERTS_MS. */
static int64_t period_ns(void)
{
#ifdef PENSTOCK_TEST_HOOKS
	const char *text = getenv("PENSTOCK_TEST_ALERTS_MS");
	uint64_t ms;
	if (text && span_to_u64(span_of(text), 60000, &ms) == OK && ms)
		return (int64_t)ms * NS_PER_MS;
#endif
	return ALERTS_PERIOD_NS;
}

static void on_change(void *owner, const struct alert_view *view)
{
	struct gateway_alerts *own = owner;
	bool is_firing = view->state == ALERT_FIRING;
	log_line(is_firing ? LOG_WARNING : LOG_INFO, "alert %s %s%s%s %s: %.4g, threshold %.4g %s", view->name,
	         view->values[0], *view->values[1] ? "/" : "", view->values[1], is_firing ? "fires" : "has resolved",
	         view->value, view->threshold, view->unit);
	if (!own->webhook)
		return;
	if (own->entries.len)
		bytes_append_byte(&own->entries, ',');
	alert_write_webhook(view, clock_wall_ns(), &own->entries);
	own->has_firing |= is_firing;
}

static void on_period(struct timer *timer)
{
	struct gateway_alerts *own = container_of(timer, struct gateway_alerts, timer);
	struct gateway *gateway = own->gateway;
	bytes_clear(&own->entries);
	own->has_firing = false;
	admin_refresh_gauges(gateway);
	alerts_evaluate(own->alerts, loop_now_ns(timer->loop), clock_wall_ns(), on_change, own);
	metric_set(gateway->main_shard, METRIC_alerts_firing, 0, 0, alerts_firing(own->alerts));
	if (own->webhook && own->entries.len && bytes_ok(&own->entries))
		alerts_webhook_send(own->webhook, bytes_span(&own->entries), own->has_firing);
	timer_start_after(timer, own->period_ns);
}

static enum error make_webhook(struct gateway_alerts *own, struct bytes *fault)
{
	struct gateway *gateway = own->gateway;
	if (!*gateway->config->alerts_webhook)
		return OK;
	return alerts_webhook_new(gateway->loops[0].services.loop, gateway->config, gateway->main_shard, &own->webhook,
	                          fault);
}

enum error gateway_alerts_start(struct gateway *gateway, struct bytes *fault)
{
	struct alert_thresholds thresholds;
	struct gateway_alerts *own = calloc(1, sizeof(*own));
	if (!own)
		return ERROR_MEMORY;
	gateway->alerts = own;
	own->gateway = gateway;
	own->period_ns = period_ns();
	timer_init(&own->timer, gateway->loops[0].services.loop, on_period);
	enum error error = gateway_load_thresholds(gateway->config, &thresholds, fault);
	if (!error)
		error = alerts_new(gateway->metrics, &thresholds, &own->alerts);
	if (!error)
		error = make_webhook(own, fault);
	if (!error)
		timer_start_after(&own->timer, 0);
	return error;
}

void gateway_alerts_stop(struct gateway *gateway)
{
	struct gateway_alerts *own = gateway->alerts;
	if (!own)
		return;
	gateway->alerts = NULL;
	timer_stop(&own->timer);
	alerts_webhook_free(&own->webhook);
	alerts_free(&own->alerts);
	bytes_fini(&own->entries);
	free(own);
}

void gateway_alerts_reload(struct gateway *gateway, const struct alert_thresholds *thresholds)
{
	struct gateway_alerts *own = gateway->alerts;
	struct bytes fault = { 0 };
	alerts_set_thresholds(own->alerts, thresholds);
	if (own->webhook && alerts_webhook_is_for(own->webhook, gateway->config))
		return; /* its queue stays */
	alerts_webhook_free(&own->webhook);
	if (make_webhook(own, &fault) != OK)
		log_line(LOG_ERROR, "alerts.webhook can't be used: %s", fault.len ? bytes_text(&fault) : "out of memory");
	bytes_fini(&fault);
}

void gateway_alerts_write(struct gateway *gateway, struct span query, struct bytes *out)
{
	alerts_write(gateway->alerts->alerts, span_is(query, "all=1"), clock_wall_ns(), out);
}
