/* The end: readiness says 503, listeners close, open requests finish until the limit, the rest gets an error, workers are told to stop. */
#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "gateway/gateway_parts.h"
#include "stages/pipeline.h"

/* From the error events to the last byte of them. */
#define GRACE_NS (2 * NS_PER_S)

static void stop_loops(void *owner)
{
	struct gateway *gateway = owner;
	for (unsigned i = 0; i < gateway->loop_count; i++)
		loop_stop(gateway->loops[i].services.loop);
}

static void stop_fleet(struct gateway *gateway)
{
	timer_stop(&gateway->drain);
	fleet_stop(gateway->fleet, stop_loops);
}

static void note_drained(void *argument)
{
	struct worker_loop *loop = argument;
	struct gateway *gateway = loop->gateway;
	if (loop->drained)
		return;
	loop->drained = true;
	for (unsigned i = 0; i < gateway->loop_count; i++) {
		if (!gateway->loops[i].drained)
			return;
	}
	stop_fleet(gateway);
}

static void tell_if_drained(struct worker_loop *loop)
{
	if (!loop->services.draining || loop->services.open)
		return;
	if (loop_post(loop->gateway->loops[0].services.loop, note_drained, loop) != OK)
		log_line(LOG_ERROR, "out of memory: the drain ends by its limit");
}

static void on_request_end(void *owner, unsigned open)
{
	(void)open;
	tell_if_drained(owner);
}

void drain_watch(struct worker_loop *loop)
{
	loop->services.owner = loop;
	loop->services.on_request_end = on_request_end;
}

static void begin_on_loop(void *argument)
{
	struct worker_loop *loop = argument;
	loop->services.draining = true;
	http_server_drain(loop->services.server);
	tell_if_drained(loop);
}

static void end_on_loop(void *argument)
{
	struct worker_loop *loop = argument;
	struct services *services = &loop->services;
	for (uint32_t i = 0; i < services->slot_count; i++) {
		if (services->slots[i].request)
			pipeline_wake(services->slots[i].request, WAKE_SHUTDOWN);
	}
}

static void on_all_loops(struct gateway *gateway, void (*function)(void *argument))
{
	for (unsigned i = 0; i < gateway->loop_count; i++) {
		if (loop_post(gateway->loops[i].services.loop, function, &gateway->loops[i]) != OK)
			log_line(LOG_ERROR, "out of memory: loop %u is not told", i);
	}
}

static void on_grace_over(struct timer *timer)
{
	stop_fleet(container_of(timer, struct gateway, drain));
}

static void on_limit(struct timer *timer)
{
	struct gateway *gateway = container_of(timer, struct gateway, drain);
	log_line(LOG_WARNING, "the drain took as long as it may; what is still open ends now");
	on_all_loops(gateway, end_on_loop);
	timer_init(&gateway->drain, timer->loop, on_grace_over);
	timer_start_after(&gateway->drain, GRACE_NS);
}

void drain_start(struct gateway *gateway)
{
	if (gateway->draining) {
		stop_fleet(gateway); /* asked twice: at once */
		return;
	}
	gateway->draining = true;
	log_line(LOG_INFO, "stopping: open requests may finish within %lld s",
	         (long long)(gateway->config->drain / NS_PER_S));
	acceptor_close(gateway, false);
	on_all_loops(gateway, begin_on_loop);
	timer_init(&gateway->drain, gateway->loops[0].services.loop, on_limit);
	timer_start_after(&gateway->drain, gateway->config->drain);
}
