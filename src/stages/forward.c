/* Sends the request to its replica and waits for the first token, so that nothing is promised to the client that may still be refused. */
#include "base/clock.h"
#include "stages/respond.h"
#include "stages/services.h"

#define BACKSTOP_NS NS_PER_S

/* The replica answered with an error of its own: the client's fault is passed on with its text, a replica's becomes a 502. */
static enum verdict relay_refusal(struct request *request)
{
	const struct upstream *upstream = &request->upstream;
	if (upstream->status >= 400 && upstream->status < 500 && !http_exchange_has_started(request->exchange))
		return respond_body(request, OUTCOME_upstream_refused, upstream->status, "application/json",
		                    bytes_span(&upstream->out));
	return respond_outcome(request, OUTCOME_upstream_failed);
}

enum verdict stage_forward(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	if (!upstream->is_started && upstream_start(request) != OK)
		return respond_outcome(request, OUTCOME_upstream_failed);
	if (upstream->has_first_token)
		return NEXT;
	if (upstream->has_ended)
		return upstream->error == OK && upstream->status != 200 ? relay_refusal(request)
		                                                        : respond_outcome(request, OUTCOME_upstream_failed);
	if (upstream->has_error_event)
		return respond_outcome(request, OUTCOME_upstream_failed);
	if (request->order.kind == ORDER_CANCEL || request->woken & WAKE_TIMEOUT) {
		trace_event(request->services->trace, request->trace, TRACE_TIMED_OUT, clock_now_ns(), request->stage, 0);
		return respond_outcome(request, OUTCOME_first_token_timeout);
	}
	respond_keep_alive_start(request);
	pipeline_wait_until(request, request->deadline_ns + BACKSTOP_NS);
	return WAIT;
}
