/* The request line and headers: limits on bytes and count are the parser's, the one on time is here. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "stages/respond.h"
#include "stages/services.h"

#define ID_BYTES_MAX 127

struct path_row {
	const char *path;
	const char *method;
	enum endpoint endpoint;
};

static const struct path_row paths[] = {
	{ "/v1/chat/completions", "POST", ENDPOINT_CHAT },
	{ "/v1/completions", "POST", ENDPOINT_COMPLETION },
	{ "/v1/embeddings", "POST", ENDPOINT_EMBEDDING },
	{ "/v1/models", "GET", ENDPOINT_MODELS },
};

/* digits: at most 64. */
static void random_hex(struct request *request, char *out, size_t digits)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t bytes[32];
	random_reserve_take(&request->services->ids, bytes, digits / 2);
	for (size_t i = 0; i < digits; i++)
		out[i] = hex[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

/* What clients may call a request: it goes into logs, headers and file names of others. */
static bool is_good_id(struct span id)
{
	if (!id.len || id.len > ID_BYTES_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];
		bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!is_plain && !memchr("-_.:", c, 4))
			return false;
	}
	return true;
}

static void take_id(struct request *request, const struct http_head *head)
{
	struct span given = head ? http_header_value(head, "x-request-id") : (struct span){ 0 };
	if (is_good_id(given)) {
		request->id = given;
		return;
	}
	char id[4 + 32 + 1] = "req_";
	random_hex(request, id + 4, 32);
	char *kept = arena_copy_text(&request->arena, (struct span){ id, sizeof(id) - 1 });
	request->id = span_of(kept);
}

static bool is_lower_hex(struct span text)
{
	bool has_other_than_zero = false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		has_other_than_zero |= c != '0';
	}
	return has_other_than_zero;
}

/* W3C Trace Context: version-traceid-parentid-flags. The trace goes on, the span is ours; a bad one starts a new trace. */
static void take_trace(struct request *request, const struct http_head *head)
{
	struct span given = http_header_value(head, "traceparent");
	char text[] = "00-00000000000000000000000000000000-0000000000000000-01";
	bool is_good = given.len == 55 && given.at[2] == '-' && given.at[35] == '-' && given.at[52] == '-' &&
	               span_starts_with(given, SPAN("00")) && is_lower_hex((struct span){ given.at + 3, 32 }) &&
	               is_lower_hex((struct span){ given.at + 36, 16 });
	if (is_good) {
		memcpy(text + 3, given.at + 3, 32);
		memcpy(text + 53, given.at + 53, 2);
	} else {
		random_hex(request, text + 3, 32);
	}
	random_hex(request, text + 36, 16);
	char *kept = arena_copy_text(&request->arena, (struct span){ text, 55 });
	request->traceparent = span_of(kept);
}

static void begin_trace(struct request *request, const struct http_head *head)
{
	struct services *services = request->services;
	int64_t age_ns = request_now_ns(request) - request->begin_ns;
	take_id(request, head);
	request->trace = trace_begin(services->trace, request->id, request->begin_ns, clock_wall_ns() - age_ns);
}

static enum verdict find_path(struct request *request, const struct http_head *head)
{
	bool path_exists = false;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!span_is(head->path, paths[i].path))
			continue;
		path_exists = true;
		if (span_is(head->method, paths[i].method)) {
			request->endpoint = paths[i].endpoint;
			return NEXT;
		}
	}
	return respond_outcome(request, path_exists ? OUTCOME_no_such_method : OUTCOME_no_such_path);
}

enum verdict stage_head(struct request *request)
{
	struct services *services = request->services;
	const struct http_head *head = http_exchange_head(request->exchange);
	const struct http_fault *fault = http_exchange_fault(request->exchange);
	if (fault) {
		struct api_fault answer = { .status = fault->status, .code = "malformed_http" };
		snprintf(answer.message, sizeof(answer.message), "%s.", fault->text);
		begin_trace(request, NULL);
		metric_add(services->metrics, METRIC_http_faults_total, 0, 0, 1);
		return respond_fault(request, OUTCOME_malformed, &answer);
	}
	if (!head && request->woken & WAKE_TIMEOUT) {
		begin_trace(request, NULL);
		return respond_outcome(request, OUTCOME_head_timeout);
	}
	if (!head) {
		pipeline_wait_until(request, request->begin_ns + request->config->limits_head_time);
		return WAIT;
	}
	begin_trace(request, head);
	take_trace(request, head);
	trace_event(services->trace, request->trace, TRACE_HEAD, request_now_ns(request), head->header_count, 0);
	return find_path(request, head);
}
