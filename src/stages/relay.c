/* Streams tokens out, or hands over a whole answer. Reads the replica no faster than the client reads us. */
#include <stdio.h>

#include "base/clock.h"
#include "stages/attempt.h"
#include "stages/checks.h"
#include "stages/respond.h"
#include "stages/services.h"

/* Bytes that may wait in us for one client. */
#define CLIENT_BYTES_MAX (64 * 1024)
/* A client that takes nothing for so long has stalled. */
#define CLIENT_STALL_NS (60 * NS_PER_S)

/* The answer is complete; its connection is kept when the framing ends, too, within this. */
#define FRAMING_END_NS NS_PER_S

static enum verdict finish_stream(struct request *request)
{
	http_respond_finish(request->exchange);
	request->outcome = OUTCOME_completed;
	return ANSWERED;
}

/* What was held back goes to the client if it passes the checks; false: it does not. */
static bool let_go(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	struct bytes text = { 0 };
	enum error error = checks_text_of(bytes_span(&upstream->out), request->api.stream, &text);
	request->failed_check = error ? "" : checks_failed(request->route, bytes_span(&text));
	bytes_fini(&text);
	if (request->failed_check)
		return false;
	upstream_note_client_token(request);
	if (request->api.stream) {
		respond_start_stream(request);
		respond_stream(request, &upstream->out);
	}
	return true;
}

static enum verdict refuse_answer(struct request *request)
{
	char message[160] = "The answer did not pass the checks that are promised, so it is not given; try again.";
	if (*request->failed_check)
		snprintf(message, sizeof(message),
		         "The answer did not pass the check '%.60s' that is promised, so it is not "
		         "given; try again.",
		         request->failed_check);
	return respond_outcome_text(request, OUTCOME_check_failed, message);
}

static enum verdict end_of_upstream(struct request *request)
{
	const struct upstream *upstream = &request->upstream;
	if (!upstream->is_done)
		return respond_outcome(request, OUTCOME_upstream_cut);
	if (request->has_checks && !let_go(request))
		return refuse_answer(request);
	if (request->api.stream)
		return finish_stream(request);
	return respond_body(request, OUTCOME_completed, 200, "application/json", bytes_span(&upstream->out));
}

static enum verdict out_of_time(struct request *request)
{
	struct services *services = request->services;
	trace_event(services->trace, request->trace, TRACE_TIMED_OUT, request_now_ns(request), request->stage, 0);
	if (request_now_ns(request) >= pipeline_total_deadline_ns(request))
		return respond_outcome(request, OUTCOME_total_timeout);
	if (request->is_paused) {
		request->outcome = OUTCOME_client_stalled;
		return ANSWERED;
	}
	return respond_outcome(request, OUTCOME_idle_timeout);
}

static void hold_back(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	size_t queued = http_exchange_queued_bytes(request->exchange);
	bool should_pause = queued > (request->is_paused ? 0 : CLIENT_BYTES_MAX);
	if (should_pause == request->is_paused || !upstream->call)
		return;
	request->is_paused = should_pause;
	if (should_pause)
		request->paused_since_ns = request_now_ns(request);
	else
		request->paused_ns += request_now_ns(request) - request->paused_since_ns;
	trace_event(request->services->trace, request->trace, should_pause ? TRACE_PAUSED : TRACE_RESUMED,
	            request_now_ns(request), (int64_t)queued, 0);
	if (should_pause)
		http_call_pause(upstream->call);
	else
		http_call_resume(upstream->call);
}

static int64_t patience_ns(const struct request *request)
{
	if (request->is_paused)
		return CLIENT_STALL_NS;
	return request->upstream.is_done ? FRAMING_END_NS : request->route->timeouts_idle;
}

enum verdict stage_relay(struct request *request)
{
	struct upstream *upstream = &request->upstream;
	if (request->has_checks && upstream->out.len > CHECKS_BYTES_MAX) {
		request->failed_check = "";
		return refuse_answer(request);
	}
	if (request->api.stream && upstream->out.len && !request->has_checks) {
		respond_start_stream(request);
		respond_stream(request, &upstream->out);
	}
	if (upstream->has_error_event || upstream->is_broken)
		return attempt_answer_cut(request);
	if (upstream->has_ended || (upstream->is_done && request->woken & WAKE_TIMEOUT))
		return end_of_upstream(request);
	if (request->woken & WAKE_TIMEOUT)
		return out_of_time(request);
	hold_back(request);
	pipeline_wait_until(request, request_now_ns(request) + patience_ns(request));
	return WAIT;
}
