/* Everything that wakes a request comes through here: the server's events, its timers, control's orders, the replica's answer. On the request's loop. */
#include "stages/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "stages/respond.h"
#include "stages/services.h"

struct stage_row {
	enum verdict (*run)(struct request *request);
};

static const struct stage_row stages[STAGE_COUNT] = {
#define STAGE(name, waits_for, may_answer) [STAGE_##name] = { stage_##name },
#include "stages/stages.def"
#undef STAGE
};

#ifdef PENSTOCK_TEST_HOOKS
/* Set before the loops run, constant afterwards. */
static int64_t test_delays_ns[STAGE_COUNT];

void pipeline_read_test_delays(void)
{
	const char *text = getenv("PENSTOCK_TEST_DELAY");
	struct span rest = span_of(text);
	while (rest.len) {
		size_t end = span_find(rest, ',');
		size_t equals = span_find((struct span){ rest.at, end }, '=');
		uint64_t delay_ms = 0;
		for (int i = 0; i < STAGE_COUNT && equals < end; i++) {
			struct span name = { rest.at, equals };
			if (span_is(name, stage_text((enum stage)i)) &&
			    span_to_u64((struct span){ rest.at + equals + 1, end - equals - 1 }, 60000, &delay_ms) == OK)
				test_delays_ns[i] = (int64_t)delay_ms * NS_PER_MS;
		}
		rest = end < rest.len ? (struct span){ rest.at + end + 1, rest.len - end - 1 } : (struct span){ 0 };
	}
}

static int64_t test_delay_ns(enum stage stage)
{
	return test_delays_ns[stage];
}
#else
static int64_t test_delay_ns(enum stage stage)
{
	(void)stage;
	return 0;
}
#endif

static void charge(struct request *request)
{
	int64_t now_ns = loop_refresh_now_ns(request->services->loop);
	request->stage_ns[request->stage] += now_ns - request->stage_since_ns;
	trace_stage(request->services->trace, request->trace, request->stage, now_ns - request->stage_since_ns);
	request->stage_since_ns = now_ns;
}

static void enter(struct request *request, enum stage stage)
{
	charge(request);
	timer_stop(&request->timer);
	request->stage = stage;
}

int64_t pipeline_total_deadline_ns(const struct request *request)
{
	return request->route ? request->begin_ns + request->route->timeouts_total : NS_NEVER;
}

void pipeline_wait_until(struct request *request, int64_t due_ns)
{
	timer_start_at(&request->timer, min_ll(due_ns, pipeline_total_deadline_ns(request)));
	request->has_deadline = true;
}

/* The client left, or the server ends: no stage needs to know how to stop. finish gives back what they hold. */
static bool is_interrupted(struct request *request)
{
	if (request->stage == STAGE_finish)
		return false;
	if (request->wakes & WAKE_CANCELLED) {
		request->outcome = OUTCOME_client_gone;
		trace_event(request->services->trace, request->trace, TRACE_CLIENT_GONE, request_now_ns(request),
		            request->stage, 0);
		return true;
	}
	if (request->wakes & WAKE_SHUTDOWN) {
		enum verdict verdict = respond_outcome(request, OUTCOME_drained);
		trace_event(request->services->trace, request->trace, TRACE_DRAINED, request_now_ns(request), 0, 0);
		return verdict == ANSWERED;
	}
	return false;
}

/* A test's delay at the entry of a stage passes as the stage's own time, whatever wakes the request meanwhile. */
static bool is_delayed(struct request *request)
{
	int64_t delay_ns = test_delay_ns(request->stage);
	if (!delay_ns)
		return false;
	if (!(request->delayed & 1U << request->stage)) {
		request->delayed |= 1U << request->stage;
		request->delayed_until_ns = clock_now_ns() + delay_ns;
	}
	if (clock_now_ns() >= request->delayed_until_ns)
		return false;
	timer_start_at(&request->timer, request->delayed_until_ns);
	return true;
}

static void run(struct request *request)
{
	request->is_running = true;
	for (;;) {
		if (is_interrupted(request))
			enter(request, STAGE_finish);
		if (is_delayed(request))
			break;
		request->woken = request->wakes;
		request->wakes = 0;
		request->has_deadline = false;
		enum verdict verdict = stages[request->stage].run(request);
		if (request->stage == STAGE_finish) {
			request_free(request);
			return;
		}
		if (verdict == NEXT) {
			enter(request, request->stage + 1);
		} else if (verdict == ANSWERED) {
			enter(request, STAGE_finish);
		} else if (!request->wakes) {
			MUST(request->has_deadline); /* nobody waits without one */
			break;
		}
	}
	request->is_running = false;
}

void pipeline_wake(struct request *request, enum wake why)
{
	request->wakes |= why;
	if (!request->is_running)
		run(request);
}

/* ---- the server's side: an exchange is a request from its first byte ---- */

static void *on_begin(void *context, struct http_exchange *exchange)
{
	struct request *request = request_new(context, exchange);
	/* The first wake comes with a whole head, which may never be there: this is the deadline until then. */
	if (request)
		pipeline_wait_until(request, request->begin_ns + request->config->limits_head_time);
	return request;
}

static void on_event(void *owner, struct http_exchange *exchange, enum http_event event)
{
	(void)exchange;
	pipeline_wake(owner, event == HTTP_EVENT_GONE ? WAKE_CANCELLED : WAKE_READY);
}

static void on_connections(void *context, unsigned open)
{
	struct services *services = context;
	metric_set(services->metrics, METRIC_connections_open, 0, 0, open);
}

const struct http_server_events pipeline_http_events = {
	.on_begin = on_begin,
	.on_event = on_event,
	.on_connections = on_connections,
};
