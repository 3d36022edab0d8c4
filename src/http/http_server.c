/* One struct a connection; see the states below. Input is one buffer: a head is parsed in place and the buffer then becomes the
 * exchange's, so that the head's spans need no copies. */
#include "http/http_server.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "http/http_exchange.h"

/* What a client may send ahead of its answer before it is dropped. */
#define STASH_BYTES_MAX (256 * 1024)
/* Buffers over this are given back when a connection goes idle. */
#define KEEP_BYTES (16 * 1024)
/* After the last byte: until the client closes, too. */
#define LINGER_NS (2 * NS_PER_S)
/* While bytes still wait for a client that reads slowly. */
#define LINGER_WRITING_NS (60 * NS_PER_S)

static void process_input(struct http_exchange *exchange);

static void count_connection(struct http_server *server, int change)
{
	server->connections = (unsigned)((int)server->connections + change);
	if (server->events->on_connections)
		server->events->on_connections(server->context, server->connections);
}

static void unlink_and_free(struct http_exchange *exchange)
{
	struct http_server *server = exchange->server;
	if (exchange->previous)
		exchange->previous->next = exchange->next;
	else
		server->first = exchange->next;
	if (exchange->next)
		exchange->next->previous = exchange->previous;
	count_connection(server, -1);
	timer_stop(&exchange->timer);
	stream_close(&exchange->stream);
	bytes_fini(&exchange->input);
	bytes_fini(&exchange->head_storage);
	bytes_fini(&exchange->body);
	free(exchange);
}

static void notify(struct http_exchange *exchange, enum http_event event)
{
	exchange->server->events->on_event(exchange->owner, exchange, event);
}

static void become_faulty(struct http_exchange *exchange, int status, const char *text)
{
	exchange->state = STATE_FAULTY;
	exchange->fault = (struct http_fault){ .status = status, .text = text };
	exchange->close_after = true;
	notify(exchange, HTTP_EVENT_FAULT);
}

/* ---- reading ---- */

static void read_head(struct http_exchange *exchange)
{
	struct bytes *input = &exchange->input;
	size_t used = 0;
	struct http_fault fault = { 0 };
	enum http_result result = http_parse_request(input->data, input->len, &exchange->server->settings.limits,
	                                             &exchange->scanned, &exchange->head, &used, &fault);
	if (result == HTTP_MORE)
		return;
	if (result == HTTP_BAD) {
		become_faulty(exchange, fault.status, fault.text);
		return;
	}
	/* The buffer becomes the head's storage; what follows the head starts a new one. */
	struct bytes rest = exchange->head_storage;
	bytes_clear(&rest);
	bytes_append(&rest, input->data + used, input->len - used);
	exchange->head_storage = *input;
	exchange->input = rest;
	exchange->scanned = 0;
	exchange->state = STATE_WAITING;
	if (!exchange->head.keep_alive)
		exchange->close_after = true;
	if (!bytes_ok(&exchange->input))
		become_faulty(exchange, 503, "out of memory");
	else
		notify(exchange, HTTP_EVENT_HEAD);
}

static void complete_body(struct http_exchange *exchange)
{
	exchange->state = STATE_COMPLETE;
	if (bytes_ok(&exchange->body))
		notify(exchange, HTTP_EVENT_BODY);
	else
		become_faulty(exchange, 503, "out of memory for the body");
}

static void read_chunked_body(struct http_exchange *exchange)
{
	size_t taken = 0;
	enum http_result result = HTTP_MORE;
	struct http_fault fault = { 0 };
	while (result == HTTP_MORE && taken < exchange->input.len) {
		size_t used = 0;
		struct span piece = { 0 };
		result = http_chunked_feed(&exchange->chunked, exchange->input.data + taken, exchange->input.len - taken, &used,
		                           &piece, &fault);
		taken += used;
		if (exchange->body.len + piece.len > exchange->body_limit) {
			fault = (struct http_fault){ .status = 413, .text = "the body is larger than allowed" };
			result = HTTP_BAD;
		} else {
			bytes_append_span(&exchange->body, piece);
		}
	}
	bytes_consume(&exchange->input, taken);
	if (result == HTTP_BAD)
		become_faulty(exchange, fault.status, fault.text);
	else if (result == HTTP_DONE)
		complete_body(exchange);
}

static void read_body(struct http_exchange *exchange)
{
	if (exchange->head.body == HTTP_BODY_CHUNKED) {
		read_chunked_body(exchange);
		return;
	}
	size_t left = (size_t)exchange->head.content_length - exchange->body.len;
	size_t here = exchange->input.len < left ? exchange->input.len : left;
	bytes_append(&exchange->body, exchange->input.data, here);
	bytes_consume(&exchange->input, here);
	if (here == left)
		complete_body(exchange);
	else if (!bytes_ok(&exchange->body))
		become_faulty(exchange, 503, "out of memory for the body");
}

static void begin(struct http_exchange *exchange)
{
	timer_stop(&exchange->timer);
	exchange->begin_ns = loop_now_ns(exchange->server->loop);
	exchange->owner = exchange->server->events->on_begin(exchange->server->context, exchange);
	exchange->state = STATE_HEAD;
}

/* Goes as far as the bytes reach. The owner may end the exchange in any notify, which then takes the connection to the next request
 * here, not deeper on the stack. */
static void process_input(struct http_exchange *exchange)
{
	if (exchange->is_processing)
		return;
	exchange->is_processing = true;
	for (;;) {
		enum http_exchange_state before = exchange->state;
		size_t len_before = exchange->input.len;
		if (exchange->gone && !exchange->owner)
			break;
		if (before == STATE_IDLE && exchange->input.len) {
			begin(exchange);
			if (!exchange->owner) {
				exchange->gone = true;
				break;
			}
		}
		if (exchange->state == STATE_HEAD)
			read_head(exchange);
		else if (exchange->state == STATE_BODY)
			read_body(exchange);
		bool moved = exchange->state != before || exchange->input.len != len_before;
		if (!moved || (exchange->state == STATE_IDLE && exchange->input.len == 0))
			break;
	}
	exchange->is_processing = false;
	if (exchange->gone && !exchange->owner)
		unlink_and_free(exchange);
}

static void on_read(void *owner, const char *data, size_t len)
{
	struct http_exchange *exchange = owner;
	if (exchange->state == STATE_FAULTY)
		return;
	bool is_taking = exchange->state == STATE_BODY || exchange->state == STATE_HEAD || exchange->state == STATE_IDLE;
	bytes_append(&exchange->input, data, len);
	if (!bytes_ok(&exchange->input) || (!is_taking && exchange->input.len > STASH_BYTES_MAX)) {
		stream_close(&exchange->stream);
		exchange->gone = true;
		if (exchange->owner)
			notify(exchange, HTTP_EVENT_GONE);
		else
			unlink_and_free(exchange);
		return;
	}
	process_input(exchange);
}

static void on_close(void *owner, enum error why)
{
	struct http_exchange *exchange = owner;
	(void)why;
	exchange->gone = true;
	if (exchange->owner)
		notify(exchange, HTTP_EVENT_GONE);
	else
		unlink_and_free(exchange);
}

static void on_drain(void *owner)
{
	struct http_exchange *exchange = owner;
	if (exchange->owner && !exchange->gone)
		notify(exchange, HTTP_EVENT_DRAIN);
}

static const struct stream_events stream_events = { .on_read = on_read, .on_close = on_close, .on_drain = on_drain };

static void on_timer(struct timer *timer)
{
	struct http_exchange *exchange = container_of(timer, struct http_exchange, timer);
	if (exchange->owner) {
		if (!exchange->gone)
			process_input(exchange);
	} else if (stream_queued_bytes(exchange->stream)) {
		timer_start_after(timer, exchange->server->settings.idle_ns); /* the last answer is still on its way */
	} else {
		stream_close_after_writing(&exchange->stream, 0); /* in order: nothing is cut short */
		unlink_and_free(exchange);
	}
}

/* ---- the server ---- */

enum error http_server_new(struct loop *loop, const struct http_server_settings *settings,
                           const struct http_server_events *events, void *context, struct http_server **out)
{
	struct http_server *server = calloc(1, sizeof(*server));
	if (!server)
		return ERROR_MEMORY;
	server->loop = loop;
	server->settings = *settings;
	server->events = events;
	server->context = context;
	*out = server;
	return OK;
}

/* What is still on its way to a slow reader goes out all the same. */
static void close_idle(struct http_server *server)
{
	for (struct http_exchange *exchange = server->first, *next; exchange; exchange = next) {
		next = exchange->next;
		if (exchange->owner || exchange->is_processing)
			continue;
		if (exchange->stream)
			stream_close_after_writing(&exchange->stream,
			                           stream_queued_bytes(exchange->stream) ? LINGER_WRITING_NS : 0);
		unlink_and_free(exchange);
	}
}

void http_server_free(struct http_server **server_slot)
{
	struct http_server *server = *server_slot;
	if (!server)
		return;
	*server_slot = NULL;
	close_idle(server);
	MUST(!server->first);
	free(server);
}

void http_server_drain(struct http_server *server)
{
	server->draining = true;
	close_idle(server);
}

unsigned http_server_connections(const struct http_server *server)
{
	return server->connections;
}

void http_server_adopt(struct http_server *server, int fd, const struct tls_context *tls)
{
	struct http_exchange *exchange = calloc(1, sizeof(*exchange));
	struct stream *stream = NULL;
	if (stream_adopt(server->loop, fd, tls, &stream_events, exchange, &stream) != OK || !exchange) {
		stream_close(&stream);
		free(exchange);
		return;
	}
	exchange->server = server;
	exchange->stream = stream;
	exchange->next = server->first;
	if (server->first)
		server->first->previous = exchange;
	server->first = exchange;
	count_connection(server, 1);
	timer_init(&exchange->timer, server->loop, on_timer);
	timer_start_after(&exchange->timer, server->settings.idle_ns);
}

/* ---- the request ---- */

const struct http_head *http_exchange_head(const struct http_exchange *exchange)
{
	bool has_head =
		exchange->state == STATE_WAITING || exchange->state == STATE_BODY || exchange->state == STATE_COMPLETE;
	return has_head ? &exchange->head : NULL;
}

int64_t http_exchange_begin_ns(const struct http_exchange *exchange)
{
	return exchange->begin_ns;
}

enum error http_exchange_accept_body(struct http_exchange *exchange, uint64_t limit_bytes)
{
	MUST(exchange->state == STATE_WAITING);
	exchange->body_limit = limit_bytes;
	if (!http_exchange_announces_body(&exchange->head)) {
		exchange->state = STATE_COMPLETE;
		return OK;
	}
	if (exchange->head.body == HTTP_BODY_LENGTH && exchange->head.content_length > limit_bytes) {
		exchange->close_after = true;
		return ERROR_LIMIT;
	}
	http_chunked_init(&exchange->chunked);
	exchange->state = STATE_BODY;
	/* The bytes may all be here, and none come any more that would make us read them. */
	if (exchange->input.len && !exchange->is_processing)
		timer_start_at(&exchange->timer, 0);
	if (exchange->head.expect_continue && exchange->input.len == 0 && !exchange->gone) {
		struct span interim = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
		http_exchange_write(exchange, &interim, 1);
	}
	return OK;
}

bool http_exchange_body_is_complete(const struct http_exchange *exchange)
{
	return exchange->state == STATE_COMPLETE;
}

bool http_exchange_body_is_accepted(const struct http_exchange *exchange)
{
	return exchange->state == STATE_BODY || exchange->state == STATE_COMPLETE;
}

struct span http_exchange_body(const struct http_exchange *exchange)
{
	return bytes_span(&exchange->body);
}

const struct http_fault *http_exchange_fault(const struct http_exchange *exchange)
{
	return exchange->state == STATE_FAULTY ? &exchange->fault : NULL;
}

bool http_exchange_is_gone(const struct http_exchange *exchange)
{
	return exchange->gone;
}

/* ---- the end ---- */

static void release_buffer(struct bytes *bytes)
{
	if (bytes->capacity > KEEP_BYTES)
		bytes_fini(bytes);
	else
		bytes_clear(bytes);
}

static void await_next_request(struct http_exchange *exchange)
{
	exchange->state = STATE_IDLE;
	exchange->response = RESPONSE_NONE;
	release_buffer(&exchange->head_storage);
	release_buffer(&exchange->body);
	if (exchange->input.len == 0) {
		release_buffer(&exchange->input);
		timer_start_after(&exchange->timer, exchange->server->settings.idle_ns);
	}
	process_input(exchange);
}

void http_exchange_end(struct http_exchange **exchange_slot)
{
	struct http_exchange *exchange = *exchange_slot;
	*exchange_slot = NULL;
	exchange->owner = NULL;
	bool is_whole = exchange->response == RESPONSE_DONE && !exchange->is_broken;
	if (!exchange->gone && is_whole && !exchange->close_after && !exchange->server->draining) {
		await_next_request(exchange);
		return;
	}
	if (is_whole && !exchange->gone)
		stream_close_after_writing(&exchange->stream,
		                           stream_queued_bytes(exchange->stream) ? LINGER_WRITING_NS : LINGER_NS);
	else
		stream_close(&exchange->stream);
	exchange->gone = true;
	if (!exchange->is_processing)
		unlink_and_free(exchange);
}
