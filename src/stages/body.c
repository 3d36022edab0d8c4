/* The rest of the request, under the tenant's limit; one that announces too much is refused before it is read. */
#include <stdio.h>

#include "base/clock.h"
#include "stages/respond.h"
#include "stages/services.h"

static int64_t limit_bytes(const struct request *request)
{
	if (request->key && request->key->limits_body_bytes)
		return request->key->limits_body_bytes;
	return request->config->limits_body_bytes;
}

static enum verdict refuse_size(struct request *request)
{
	char message[160];
	snprintf(message, sizeof(message), "The body is larger than the %lld bytes allowed.",
	         (long long)limit_bytes(request));
	return respond_outcome_text(request, OUTCOME_too_large, message);
}

static bool is_unread(const struct http_exchange *exchange)
{
	return http_exchange_head(exchange) && !http_exchange_body_is_accepted(exchange);
}

enum verdict stage_body(struct request *request)
{
	struct http_exchange *exchange = request->exchange;
	const struct http_fault *fault = http_exchange_fault(exchange);
	if (!fault && is_unread(exchange)) {
		enum error error = http_exchange_accept_body(exchange, (uint64_t)limit_bytes(request));
		if (error == ERROR_LIMIT)
			return refuse_size(request);
		if (error)
			return respond_outcome(request, OUTCOME_out_of_memory);
	}
	if (fault && fault->status == 413)
		return refuse_size(request);
	if (fault) {
		struct api_fault answer = { .status = fault->status, .code = "malformed_http" };
		snprintf(answer.message, sizeof(answer.message), "%s.", fault->text);
		metric_add(request->services->metrics, METRIC_http_faults_total, 0, 0, 1);
		return respond_fault(request, OUTCOME_malformed, &answer);
	}
	if (http_exchange_body_is_complete(exchange)) {
		trace_event(request->services->trace, request->trace, TRACE_BODY, request_now_ns(request),
		            (int64_t)http_exchange_body(exchange).len, 0);
		return NEXT;
	}
	if (request->woken & WAKE_TIMEOUT)
		return respond_outcome(request, OUTCOME_body_timeout);
	pipeline_wait_until(request, request->stage_since_ns + request->config->limits_body_time);
	return WAIT;
}
