/* A server whose owner notes every event and answers as the test wants, and clients that are plain sockets. */
#ifndef PENSTOCK_TEST_SERVING_H
#define PENSTOCK_TEST_SERVING_H

#include "turns.h"

#include "http/http_server.h"

#define VISITS_MAX 64

struct service;

/* One exchange. */
struct visit {
	struct service *service;
	struct http_exchange *exchange; /* NULL once ended */
	int heads;
	int bodies;
	int faults;
	int gones;
	int drains;
	int fault_status;
	bool inside; /* an event of it is on the stack */
};

struct service {
	struct loop *loop;
	struct http_server *server;
	bool accepts; /* the body, as soon as the head is here */
	bool answers; /* as soon as the request is complete, or faulty */
	bool keeps;   /* an exchange whose client is gone, until the test ends it */
	bool turns_away;
	uint64_t limit; /* of bodies */
	struct visit visits[VISITS_MAX];
	int visit_count;
};

/* "METHOD path body". */
static inline void visit_answer(struct visit *visit)
{
	struct bytes text = { 0 };
	const struct http_head *head = http_exchange_head(visit->exchange);
	ck_assert_ptr_nonnull(head);
	bytes_append_span(&text, head->method);
	bytes_append_byte(&text, ' ');
	bytes_append_span(&text, head->path);
	bytes_append_byte(&text, ' ');
	bytes_append_span(&text, http_exchange_body(visit->exchange));
	http_respond(visit->exchange, 200, SPAN("x-test: yes\r\n"), bytes_span(&text));
	ck_assert(http_exchange_has_started(visit->exchange));
	bytes_fini(&text);
	http_exchange_end(&visit->exchange);
}

static inline void visit_refuse(struct visit *visit, int status)
{
	http_respond(visit->exchange, status, (struct span){ 0 }, SPAN("refused"));
	http_exchange_end(&visit->exchange);
}

static inline void visit_accept(struct visit *visit)
{
	const enum error error = http_exchange_accept_body(visit->exchange, visit->service->limit);
	if (error) {
		ck_error_is(error, ERROR_LIMIT);
		visit_refuse(visit, 413);
	} else if (visit->service->answers && http_exchange_body_is_complete(visit->exchange)) {
		visit_answer(visit);
	}
}

static inline void visit_on_fault(struct visit *visit)
{
	const struct http_fault *fault = http_exchange_fault(visit->exchange);
	ck_assert_ptr_nonnull(fault);
	ck_assert_ptr_nonnull(fault->text);
	ck_assert_ptr_null(http_exchange_head(visit->exchange));
	visit->faults++;
	visit->fault_status = fault->status;
	if (visit->service->answers)
		visit_refuse(visit, fault->status);
}

static inline void visit_on_event(void *owner, struct http_exchange *exchange, enum http_event event)
{
	struct visit *visit = owner;
	const struct service *service = visit->service;
	ck_assert_ptr_eq(exchange, visit->exchange);
	/* Nothing comes after the client has gone, and no event inside another. */
	ck_assert_int_eq(visit->gones, 0);
	ck_assert(!visit->inside);
	visit->inside = true;
	if (event == HTTP_EVENT_HEAD) {
		ck_assert_int_eq(visit->heads++, 0);
		ck_assert_ptr_nonnull(http_exchange_head(exchange));
		if (service->accepts)
			visit_accept(visit);
	} else if (event == HTTP_EVENT_BODY) {
		ck_assert_int_eq(visit->bodies++, 0);
		ck_assert(http_exchange_body_is_complete(exchange));
		if (service->answers)
			visit_answer(visit);
	} else if (event == HTTP_EVENT_FAULT) {
		visit_on_fault(visit);
	} else if (event == HTTP_EVENT_GONE) {
		visit->gones++;
		ck_assert(http_exchange_is_gone(exchange));
		if (!service->keeps)
			http_exchange_end(&visit->exchange);
	} else {
		visit->drains++;
	}
	visit->inside = false;
}

static inline void *service_on_begin(void *context, struct http_exchange *exchange)
{
	struct service *service = context;
	if (service->turns_away)
		return NULL;
	ck_assert_int_lt(service->visit_count, VISITS_MAX);
	ck_assert_int_gt(http_exchange_begin_ns(exchange), 0);
	ck_assert_ptr_null(http_exchange_head(exchange));
	struct visit *visit = &service->visits[service->visit_count++];
	*visit = (struct visit){ .service = service, .exchange = exchange };
	return visit;
}

static const struct http_server_events service_events = { .on_begin = service_on_begin, .on_event = visit_on_event };

/* Accepts and answers everything at once. */
static inline void service_init(struct service *service)
{
	struct http_server_settings settings = { .limits = http_limits_default, .idle_ns = 3600 * NS_PER_S };
	*service = (struct service){ .accepts = true, .answers = true, .limit = 1 << 20 };
	service->loop = new_loop();
	ck_error_is(http_server_new(service->loop, &settings, &service_events, service, &service->server), OK);
}

/* Every exchange must have ended. */
static inline void service_fini(struct service *service)
{
	for (int i = 0; i < service->visit_count; i++)
		ck_assert_msg(!service->visits[i].exchange, "exchange %d is still open", i);
	http_server_free(&service->server);
	ck_assert_ptr_null(service->server);
	loop_free(&service->loop);
}

static inline void visitor(struct service *service, struct peer *peer)
{
	int other;
	peer_pair(peer, &other);
	http_server_adopt(service->server, other, NULL);
}

static inline void visitor_tcp(struct service *service, struct peer *peer)
{
	int other;
	peer_pair_tcp(peer, &other);
	http_server_adopt(service->server, other, NULL);
}

/* A response as a client reads it. */
struct reply {
	int status;
	bool keep_alive;
	enum http_body_kind kind;
	bool has_length;
	char connection[32];
	struct bytes body;
};

static inline size_t decode_chunked(struct span text, struct bytes *body)
{
	struct http_chunked chunked;
	size_t taken = 0;
	http_chunked_init(&chunked);
	while (taken < text.len) {
		size_t used = 0;
		struct span piece = { 0 };
		struct http_fault fault;
		const enum http_result result =
			http_chunked_feed(&chunked, text.at + taken, text.len - taken, &used, &piece, &fault);
		ck_assert_int_ne(result, HTTP_BAD);
		taken += used;
		bytes_append_span(body, piece);
		if (result == HTTP_DONE)
			return taken;
	}
	return 0;
}

/* Takes a whole response from what the peer got; false when it is not all here. The caller ends reply->body. */
static inline bool take_reply(struct peer *peer, bool to_head, struct reply *reply)
{
	struct http_head head;
	struct http_fault fault;
	size_t scanned = 0, used = 0;
	peer_pull(peer);
	const struct span text = bytes_span(&peer->got);
	const enum http_result result =
		http_parse_response(text.at, text.len, &http_limits_default, &scanned, to_head, &head, &used, &fault);
	ck_assert_msg(result != HTTP_BAD, "%.*s", (int)text.len, text.at);
	if (result != HTTP_DONE)
		return false;
	*reply = (struct reply){ .status = head.status, .keep_alive = head.keep_alive, .kind = head.body };
	reply->has_length = http_header_value(&head, "content-length").at != NULL;
	const struct span connection = http_header_value(&head, "connection");
	snprintf(reply->connection, sizeof(reply->connection), "%.*s", (int)connection.len,
	         connection.at ? connection.at : "");
	ck_assert(head.status < 200 || http_header_value(&head, "date").len == strlen("Sun, 06 Nov 1994 08:49:37 GMT"));
	const struct span rest = { text.at + used, text.len - used };
	if (head.body == HTTP_BODY_LENGTH && rest.len >= head.content_length) {
		bytes_append(&reply->body, rest.at, (size_t)head.content_length);
		used += (size_t)head.content_length;
	} else if (head.body == HTTP_BODY_CHUNKED) {
		const size_t taken = decode_chunked(rest, &reply->body);
		if (taken == 0) {
			bytes_fini(&reply->body);
			return false;
		}
		used += taken;
	} else if (head.body == HTTP_BODY_UNTIL_CLOSE && peer->has_ended) {
		bytes_append_span(&reply->body, rest);
		used = text.len;
	} else if (head.body != HTTP_BODY_NONE) {
		return false;
	}
	bytes_consume(&peer->got, used);
	return true;
}

/* The next response has this status and body. */
static inline void expect_reply(struct service *service, struct peer *peer, int status, const char *body)
{
	struct reply reply;
	run_until(service->loop, take_reply(peer, false, &reply));
	ck_assert_int_eq(reply.status, status);
	ck_span_is(bytes_span(&reply.body), body);
	bytes_fini(&reply.body);
}

/* ... and the connection ends after it, without a reset. */
static inline void expect_last_reply(struct service *service, struct peer *peer, int status, const char *body)
{
	struct reply reply;
	run_until(service->loop, take_reply(peer, false, &reply));
	ck_assert_int_eq(reply.status, status);
	ck_assert(!reply.keep_alive);
	ck_span_is(bytes_span(&reply.body), body);
	bytes_fini(&reply.body);
	run_until(service->loop, peer_ended(peer));
	ck_assert_int_eq(peer->error, 0);
	ck_assert_uint_eq(peer->got.len, 0);
	peer_close(peer);
	run_until(service->loop, http_server_connections(service->server) == 0);
}

#endif
