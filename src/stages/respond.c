/* Every answer to a client is written here, by the stages and on their loop; whether it can still be a status or must be an error event is decided here, too. */
#include "stages/respond.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/macros.h"
#include "stages/rung.h"
#include "stages/services.h"

/* Those of an ordinary answer fit. */
#define HEADERS_BYTES 768
#define KEEP_ALIVE_NS (10 * NS_PER_S)
/* Some clients sleep on any Retry-After, however long: past this they are told to leave it to their caller. */
#define RETRY_MAX_NS (60 * NS_PER_S)

enum retry { MAY, NEVER };

struct outcome_row {
	int status;
	const char *code;
	enum retry retry;
	const char *message;
};

static const struct outcome_row outcome_rows[] = {
#define OUTCOME(name, status, code, retry, account, message) [OUTCOME_##name] = { status, code, retry, message },
#include "stages/outcomes.def"
#undef OUTCOME
};

static void write_duration(struct bytes *out, const char *name, int64_t duration_ns, const char **comma)
{
	bytes_append_text(out, *comma);
	bytes_append_text(out, name);
	bytes_append_literal(out, ";dur=");
	bytes_append_ms(out, duration_ns);
	*comma = ", ";
}

/* Every stage up to now, the current one as far as it has come, and the engine's own account where it is known. */
static void write_server_timing(const struct request *request, struct bytes *out)
{
	const char *comma = "";
	int64_t now_ns = request_now_ns(request);
	bytes_append_text(out, "server-timing: ");
	for (int i = 0; i <= (int)request->stage; i++) {
		int64_t spent_ns = request->stage_ns[i];
		if (i == (int)request->stage)
			spent_ns += now_ns - request->stage_since_ns;
		write_duration(out, stage_text((enum stage)i), spent_ns, &comma);
	}
	const struct trace_engine *engine = &request->upstream.engine;
	if (engine->known) {
		write_duration(out, "engine-tokenize", engine->tokenize_ns, &comma);
		write_duration(out, "engine-queue", engine->queue_ns, &comma);
		write_duration(out, "engine-prefill", engine->prefill_ns, &comma);
		write_duration(out, "engine-decode", engine->decode_ns, &comma);
	}
	bytes_append_text(out, "\r\n");
}

/* A field's name from a client's JSON, as far as it may stand in a header. */
static void write_safe(struct bytes *out, struct span text)
{
	for (size_t i = 0; i < text.len && i < 64; i++)
		bytes_append_byte(out, text.at[i] > ' ' && text.at[i] < 0x7F && text.at[i] != ',' ? text.at[i] : '?');
}

static void write_ignored(const struct request *request, struct bytes *out)
{
	size_t count = request->api.ignored_count < API_IGNORED_MAX ? request->api.ignored_count : API_IGNORED_MAX;
	if (!count)
		return;
	bytes_append_text(out, "x-penstock-ignored: ");
	for (size_t i = 0; i < count; i++) {
		bytes_append_text(out, i ? "," : "");
		write_safe(out, request->api.ignored[i]);
	}
	bytes_append_text(out, "\r\n");
}

static void write_header(struct bytes *out, struct span name, struct span value)
{
	bytes_append_span(out, name);
	bytes_append_span(out, value);
	bytes_append_literal(out, "\r\n");
}

static void write_promise(const struct request *request, struct bytes *out)
{
	char text[RUNG_TEXT_BYTES];
	write_header(out, SPAN("x-penstock-rung: "), span_of(rung_text(request->route, request->rung, text)));
	if (request->predicted_ns >= 0)
		bytes_printf(out, "x-penstock-predicted-ms: %.3f\r\n", (double)request->predicted_ns / NS_PER_MS);
}

static void write_headers(const struct request *request, const char *content_type, struct bytes *out)
{
	const struct services *services = request->services;
	bytes_reserve(out, HEADERS_BYTES);
	write_header(out, SPAN("content-type: "), span_of(content_type));
	write_header(out, SPAN("x-request-id: "), request->id);
	if (request->route)
		write_header(out, SPAN("x-penstock-tier: "), span_of(request->config->pools[request->pool].name));
	if (request->route && request->route->promise_kind != PROMISE_KIND_NONE)
		write_promise(request, out);
	if (request->is_dispatched)
		write_header(out, SPAN("x-penstock-replica: "), span_of(services->replica_names[request->replica]));
	write_ignored(request, out);
	if (request->trim.count)
		bytes_printf(out, "x-penstock-trimmed: %u\r\n", request->trim.count);
	write_server_timing(request, out);
}

static void respond_whole(struct request *request, int status, struct bytes *headers, struct span body)
{
	request->status = status;
	request->client_bytes += body.len;
	http_respond(request->exchange, status, bytes_span(headers), body);
}

/* A stream that has begun ends with an error event and no [DONE]: it must not look complete. */
static void end_stream_with(struct request *request, const struct api_fault *fault)
{
	struct bytes event = { 0 };
	bytes_append_text(&event, "data: ");
	api_write_error(&event, fault);
	bytes_append_text(&event, "\n\n");
	respond_stream(request, &event);
	http_respond_finish(request->exchange);
	bytes_fini(&event);
}

static void write_fault(struct request *request, const struct api_fault *fault, struct bytes *extra)
{
	struct bytes headers = { 0 };
	struct bytes body = { 0 };
	write_headers(request, "application/json", &headers);
	bytes_append_span(&headers, bytes_span(extra));
	api_write_error(&body, fault);
	respond_whole(request, fault->status, &headers, bytes_span(&body));
	bytes_fini(&headers);
	bytes_fini(&body);
}

static enum verdict settle(struct request *request, enum outcome outcome, const struct api_fault *fault,
                           struct bytes *extra)
{
	request->outcome = outcome;
	if (http_exchange_has_started(request->exchange))
		end_stream_with(request, fault);
	else if (fault->status)
		write_fault(request, fault, extra);
	return ANSWERED;
}

/* Some clients' SDKs try again by themselves after 408, 409, 429 and 5xx: where that helps nobody they are told. */
static void write_retry(struct bytes *out, enum outcome outcome, int64_t wait_ns)
{
	/* The header has whole seconds; OpenAI's clients look for the milliseconds first. */
	if (wait_ns > 0)
		bytes_printf(out, "retry-after: %lld\r\nretry-after-ms: %lld\r\n",
		             (long long)((wait_ns + NS_PER_S - 1) / NS_PER_S),
		             (long long)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
	if (outcome_rows[outcome].retry == NEVER || wait_ns > RETRY_MAX_NS)
		bytes_append_text(out, "x-should-retry: false\r\n");
}

static enum verdict settle_with_wait(struct request *request, enum outcome outcome, const struct api_fault *fault,
                                     int64_t wait_ns)
{
	struct bytes extra = { 0 };
	if (wait_ns > 0)
		request->retry_after_ns = wait_ns;
	write_retry(&extra, outcome, wait_ns);
	enum verdict verdict = settle(request, outcome, fault, &extra);
	bytes_fini(&extra);
	return verdict;
}

enum verdict respond_fault(struct request *request, enum outcome outcome, const struct api_fault *fault)
{
	return settle_with_wait(request, outcome, fault, 0);
}

static struct api_fault fault_of(enum outcome outcome, const char *message)
{
	const struct outcome_row *row = &outcome_rows[outcome];
	struct api_fault fault = { .status = row->status, .type = api_error_type(row->status), .code = row->code };
	snprintf(fault.message, sizeof(fault.message), "%s", message);
	return fault;
}

enum verdict respond_failure(struct request *request, enum outcome outcome, const char *detail, int64_t wait_ns)
{
	char message[sizeof(((struct api_fault *)0)->message)];
	const char *text = outcome_rows[outcome].message;
	snprintf(message, sizeof(message), *detail ? "%s It said: %s" : "%s", text, detail);
	struct api_fault fault = fault_of(outcome, message);
	return settle_with_wait(request, outcome, &fault, wait_ns);
}

enum verdict respond_outcome_text(struct request *request, enum outcome outcome, const char *message)
{
	struct api_fault fault = fault_of(outcome, message);
	return respond_fault(request, outcome, &fault);
}

enum verdict respond_outcome(struct request *request, enum outcome outcome)
{
	return respond_outcome_text(request, outcome, outcome_rows[outcome].message);
}

static enum outcome outcome_of(enum refusal refusal)
{
	switch (refusal) {
	case REFUSAL_QUEUE_FULL:
		return OUTCOME_queue_full;
	case REFUSAL_EXPIRED:
		return OUTCOME_queue_expired;
	case REFUSAL_NO_REPLICA:
		return OUTCOME_no_replica;
	case REFUSAL_DEADLINE:
		return OUTCOME_first_token_timeout;
	case REFUSAL_PROMISE:
		return OUTCOME_over_promise;
	case REFUSAL_TRY_AGAIN:
		return OUTCOME_try_again;
	case REFUSAL_RATE:
		return OUTCOME_rate_limited;
	case REFUSAL_CONCURRENCY:
		return OUTCOME_too_many_open;
	default:
		return OUTCOME_hopeless;
	}
}

enum verdict respond_refusal(struct request *request)
{
	const struct order *order = &request->order;
	request->predicted_ns = order->predicted_ns;
	request->predicted_wait_ns = order->wait_ns;
	trace_event(request->services->trace, request->trace, TRACE_REFUSED, request_now_ns(request), order->refusal,
	            order->retry_after_ns / NS_PER_MS);
	return respond_failure(request, outcome_of(order->refusal), "", max_ll(order->retry_after_ns, 1));
}

enum verdict respond_body(struct request *request, enum outcome outcome, int status, const char *content_type,
                          struct span body)
{
	struct bytes headers = { 0 };
	request->outcome = outcome;
	write_headers(request, content_type, &headers);
	respond_whole(request, status, &headers, body);
	bytes_fini(&headers);
	return ANSWERED;
}

void respond_start_stream(struct request *request)
{
	struct bytes headers = { 0 };
	if (http_exchange_has_started(request->exchange))
		return;
	timer_stop(&request->keep_alive);
	write_headers(request, "text/event-stream; charset=utf-8", &headers);
	bytes_append_text(&headers, "cache-control: no-cache\r\nx-accel-buffering: no\r\n");
	request->status = 200;
	http_respond_start(request->exchange, 200, bytes_span(&headers));
	bytes_fini(&headers);
}

void respond_stream(struct request *request, struct bytes *data)
{
	request->client_bytes += data->len;
	http_respond_write(request->exchange, bytes_span(data));
	bytes_clear(data);
}

void respond_keep_alive_start(struct request *request)
{
	if (request->api.stream && !timer_is_armed(&request->keep_alive) && !http_exchange_has_started(request->exchange))
		timer_start_at(&request->keep_alive, request->begin_ns + KEEP_ALIVE_NS);
}

void respond_on_keep_alive(struct timer *timer)
{
	struct request *request = container_of(timer, struct request, keep_alive);
	struct bytes comment = { 0 };
	if (!http_exchange_has_started(request->exchange))
		trace_event(request->services->trace, request->trace, TRACE_KEEP_ALIVE, request_now_ns(request),
		            KEEP_ALIVE_NS / NS_PER_S, 0);
	respond_start_stream(request);
	bytes_append_text(&comment, ": keep-alive\n\n");
	respond_stream(request, &comment);
	bytes_fini(&comment);
	timer_start_after(timer, KEEP_ALIVE_NS);
}
