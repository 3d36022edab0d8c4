#include "stages/attempt.h"

#include <stdio.h>

#include "base/macros.h"
#include "config/config_pool.h"
#include "stages/respond.h"
#include "stages/services.h"

#define TEXT_BYTES_MAX 256
#define ERROR_DEPTH 16

bool attempt_is_whole(const struct request *request)
{
	return !request->api.stream && config_pool_is_upstream(&request->config->pools[request->pool]);
}

int64_t attempt_deadline_ns(const struct request *request, int64_t now_ns)
{
	int64_t total_ns = pipeline_total_deadline_ns(request);
	return attempt_is_whole(request) ? total_ns : min_ll(now_ns + request->route->timeouts_first_token, total_ns);
}

/* The message in what the replica said, {"error":{"message":...}} or the like, as far as it may stand in ours. */
static void take_message(struct span text, char *out, size_t size)
{
	struct json json = { 0 };
	struct arena arena;
	struct span message = { 0 };
	arena_init(&arena, 0);
	if (json_parse(&json, text.at, text.len, ERROR_DEPTH, NULL) == OK) {
		uint32_t error = json_get(&json, JSON_ROOT, "error");
		uint32_t node = json_get(&json, error, "message");
		if (node == JSON_NONE)
			node = json_get(&json, JSON_ROOT, "message");
		if (node == JSON_NONE && error != JSON_NONE && json_type(&json, error) == JSON_STRING)
			node = error;
		if (node != JSON_NONE && json_string(&json, node, &arena, &message) != OK)
			message = (struct span){ 0 };
	}
	size_t len = min_ll((long long)message.len, TEXT_BYTES_MAX);
	snprintf(out, size, "%.*s", (int)len, len ? message.at : "");
	arena_fini(&arena);
	json_fini(&json);
}

enum verdict attempt_answer_refusal(struct request *request)
{
	const struct upstream *upstream = &request->upstream;
	struct span text = bytes_span(&upstream->refusal);
	struct json json = { 0 };
	/* On a stream whose head is out it must be an event, and an event is one line of JSON. */
	bool is_json = json_parse(&json, text.at, text.len, ERROR_DEPTH, NULL) == OK;
	json_fini(&json);
	if (is_json && !http_exchange_has_started(request->exchange))
		return respond_body(request, OUTCOME_upstream_refused, upstream->status, "application/json", text);
	struct api_fault fault = { .status = upstream->status, .type = api_error_type(upstream->status) };
	take_message(text, fault.message, sizeof(fault.message));
	return respond_fault(request, OUTCOME_upstream_refused, &fault);
}

static enum outcome outcome_of(const struct request *request)
{
	switch (request->upstream.failure) {
	case FAILURE_RATE:
		return OUTCOME_upstream_limited;
	case FAILURE_BUSY:
		return OUTCOME_upstream_busy;
	case FAILURE_SILENT:
		return OUTCOME_first_token_timeout;
	case FAILURE_LOCAL:
		return OUTCOME_out_of_resources;
	default:
		return OUTCOME_upstream_failed;
	}
}

enum verdict attempt_answer_failure(struct request *request)
{
	const struct upstream *upstream = &request->upstream;
	char message[TEXT_BYTES_MAX + 1];
	take_message(bytes_span(&upstream->refusal), message, sizeof(message));
	int64_t wait_ns = max_ll(request->order.retry_after_ns, upstream->retry_after_ns);
	return respond_failure(request, outcome_of(request), message, wait_ns);
}

enum verdict attempt_answer_cut(struct request *request)
{
	char message[TEXT_BYTES_MAX + 1];
	take_message(bytes_span(&request->upstream.refusal), message, sizeof(message));
	return respond_failure(request, OUTCOME_upstream_cut, message, 0);
}
