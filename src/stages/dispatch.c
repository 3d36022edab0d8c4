/* Waits for a credit on a replica, or for the end of its patience. */
#include "base/clock.h"
#include "stages/attempt.h"
#include "stages/desk.h"
#include "stages/respond.h"

/* Control keeps the deadline; this one only catches an order that was lost. */
#define BACKSTOP_NS NS_PER_S

enum verdict stage_dispatch(struct request *request)
{
	switch (request->order.kind) {
	case ORDER_DISPATCH:
		request->deadline_ns = attempt_deadline_ns(request, request_now_ns(request));
		trace_event(request->services->trace, request->trace, TRACE_DISPATCHED, request_now_ns(request),
		            request->replica, 0);
		return NEXT;
	case ORDER_REFUSE:
		return respond_refusal(request);
	case ORDER_PREPARE:
		desk_add(request->services->desk,
		         &(struct event){ .kind = EVENT_PREPARED, .request = request->ref, .ticket = request->ticket });
		request->order.kind = ORDER_KINDS;
		break;
	default:
		break;
	}
	if (request->woken & WAKE_TIMEOUT)
		return respond_outcome(request, OUTCOME_first_token_timeout);
	respond_keep_alive_start(request);
	pipeline_wait_until(request, request->deadline_ns + BACKSTOP_NS);
	return WAIT;
}
