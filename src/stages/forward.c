/* Sends the request to its replica and waits for the first token, so that nothing is promised to the client that may still be refused. What fails before it is
 * another attempt's matter: control says whether there is one and where (EVENT_RETRY). */
#include "base/clock.h"
#include "base/macros.h"
#include "stages/attempt.h"
#include "stages/desk.h"
#include "stages/respond.h"
#include "stages/services.h"

#define BACKSTOP_NS NS_PER_S

static enum verdict wait_for_control(struct request *request)
{
	respond_keep_alive_start(request);
	pipeline_wait_until(request, request->deadline_ns + BACKSTOP_NS);
	return WAIT;
}

/* The attempt is over; is there another one? */
static enum verdict try_again(struct request *request, enum failure failure)
{
	struct services *services = request->services;
	struct upstream *upstream = &request->upstream;
	int64_t now_ns = request_now_ns(request);
	upstream->failure = failure;
	upstream_abandon(upstream);
	trace_event(services->trace, request->trace, TRACE_ATTEMPT_FAILED, now_ns, upstream->attempts, failure);
	metric_add(services->metrics, METRIC_attempt_failures_total, request->replica, failure, 1);
	if (failure == FAILURE_SILENT)
		request->deadline_ns = attempt_deadline_ns(request, now_ns);
	request->order = (struct order){ .kind = ORDER_KINDS };
	desk_add(services->desk, &(struct event){
								 .kind = EVENT_RETRY,
								 .request = request->ref,
								 .ticket = request->ticket,
								 .failure = failure,
								 .retry_after_ns = upstream->retry_after_ns,
								 .deadline_ns = request->deadline_ns,
							 });
	return wait_for_control(request);
}

enum verdict stage_forward(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	if (request->order.kind == ORDER_REFUSE)
		return attempt_answer_failure(request);
	if (!upstream->is_started && request->order.kind != ORDER_DISPATCH) {
		if (!(request->woken & WAKE_TIMEOUT))
			return wait_for_control(request);
		return attempt_answer_failure(request);
	}
	if (!upstream->is_started && upstream_start(request) != OK)
		return respond_outcome(request, OUTCOME_out_of_memory);
	if (upstream->has_first_token && !upstream->is_broken)
		return NEXT;
	enum failure failure = upstream_failure(upstream);
	if (failure)
		return try_again(request, failure);
	if (upstream->has_ended)
		return attempt_answer_refusal(request);
	if (request->order.kind == ORDER_CANCEL || request->woken & WAKE_TIMEOUT) {
		trace_event(request->services->trace, request->trace, TRACE_TIMED_OUT, request_now_ns(request), request->stage,
		            0);
		return try_again(request, FAILURE_SILENT);
	}
	return wait_for_control(request);
}
