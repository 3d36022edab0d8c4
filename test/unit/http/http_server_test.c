/* Requests and responses on one connection: order, reuse, the versions, what has no body. */
#include "http/http_server.h"

#include "http/serving.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(path, len, body) "POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: " len "\r\n\r\n" body

START_TEST(a_connection_is_used_again)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	visitor(&service, &peer);
	ck_assert_uint_eq(http_server_connections(service.server), 1);
	for (int i = 0; i < 3; i++) {
		peer_say(&peer, GET("/a?q"));
		expect_reply(&service, &peer, 200, "GET /a ");
		peer_say(&peer, POST("/b", "5", "hello"));
		expect_reply(&service, &peer, 200, "POST /b hello");
	}
	ck_assert_int_eq(service.visit_count, 6);
	ck_assert_uint_eq(http_server_connections(service.server), 1);
	ck_assert(!peer_ended(&peer));
	/* Freed with an idle connection: it is closed. */
	service_fini(&service);
	ck_assert(peer_ended(&peer));
	peer_close(&peer);
}
END_TEST

START_TEST(bytes_one_by_one)
{
	static const char text[] = POST("/one", "3", "abc") GET("/two");
	struct service service;
	struct peer peer;
	service_init(&service);
	visitor(&service, &peer);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		const char byte[2] = { text[i], '\0' };
		peer_say(&peer, byte);
		run_turns(service.loop, 2);
	}
	expect_reply(&service, &peer, 200, "POST /one abc");
	expect_reply(&service, &peer, 200, "GET /two ");
	ck_assert_int_eq(service.visit_count, 2);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

static void say_many(struct peer *peer, int count)
{
	struct bytes text = { 0 };
	for (int i = 0; i < count; i++) {
		if (i % 2)
			bytes_printf(&text, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i);
		else
			bytes_printf(&text,
			             "POST /%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nb%d\r\n0\r\n\r\n", i,
			             i % 10);
	}
	peer_say(peer, bytes_text(&text));
	bytes_fini(&text);
}

static void expect_many(struct service *service, struct peer *peer, int count)
{
	for (int i = 0; i < count; i++) {
		char wanted[40];
		if (i % 2)
			snprintf(wanted, sizeof(wanted), "GET /%d ", i);
		else
			snprintf(wanted, sizeof(wanted), "POST /%d b%d", i, i % 10);
		expect_reply(service, peer, 200, wanted);
	}
}

START_TEST(pipelined_requests_are_answered_in_order)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	visitor(&service, &peer);
	say_many(&peer, 40);
	expect_many(&service, &peer, 40);
	peer_close(&peer);
	run_until(service.loop, http_server_connections(service.server) == 0);
	service_fini(&service);
}
END_TEST

START_TEST(the_next_request_waits_for_the_answer)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.answers = false;
	visitor(&service, &peer);
	say_many(&peer, 10);
	for (int i = 0; i < 10; i++) {
		struct visit *visit = &service.visits[i];
		run_until(service.loop,
		          service.visit_count == i + 1 && visit->exchange && http_exchange_body_is_complete(visit->exchange));
		run_turns(service.loop, 5);
		ck_assert_int_eq(service.visit_count, i + 1);
		visit_answer(visit);
	}
	expect_many(&service, &peer, 10);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

static void expect_head_of_reply(struct service *service, struct peer *peer, bool to_head, struct reply *reply)
{
	run_until(service->loop, take_reply(peer, to_head, reply));
}

/* Where no body was announced, nothing is left unread: an owner that never asked for it costs no connection. */
START_TEST(an_answer_before_the_body_was_asked_for)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.accepts = false;
	visitor(&service, &peer);
	for (int i = 0; i < 2; i++) {
		peer_say(&peer, i ? GET("/") : POST("/", "0", ""));
		run_until(service.loop, service.visit_count == i + 1 && service.visits[i].heads == 1);
		visit_answer(&service.visits[i]);
		expect_reply(&service, &peer, 200, i ? "GET / " : "POST / ");
	}
	ck_assert(!peer_ended(&peer));
	peer_say(&peer, POST("/", "5", "he"));
	run_until(service.loop, service.visit_count == 3 && service.visits[2].heads == 1);
	visit_refuse(&service.visits[2], 401);
	expect_last_reply(&service, &peer, 401, "refused");
	service_fini(&service);
}
END_TEST

START_TEST(http_1_0)
{
	struct service service;
	struct peer peer;
	struct reply reply;
	service_init(&service);
	visitor(&service, &peer);
	peer_say(&peer, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_head_of_reply(&service, &peer, false, &reply);
	ck_assert_str_eq(reply.connection, "keep-alive");
	bytes_fini(&reply.body);
	peer_say(&peer, "GET /b HTTP/1.0\r\n\r\n");
	expect_last_reply(&service, &peer, 200, "GET /b ");
	/* No chunks for it: the end of the answer is the end of the connection. */
	service.answers = false;
	visitor(&service, &peer);
	peer_say(&peer, "GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	run_until(service.loop, service.visit_count == 3 && service.visits[2].heads);
	struct visit *visit = &service.visits[2];
	http_respond_start(visit->exchange, 200, (struct span){ 0 });
	http_respond_write(visit->exchange, SPAN("one "));
	http_respond_write(visit->exchange, SPAN("two"));
	http_respond_finish(visit->exchange);
	http_exchange_end(&visit->exchange);
	run_until(service.loop, take_reply(&peer, false, &reply));
	ck_assert_int_eq(reply.kind, HTTP_BODY_UNTIL_CLOSE);
	ck_span_is(bytes_span(&reply.body), "one two");
	bytes_fini(&reply.body);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

START_TEST(connection_close_is_honoured)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	visitor(&service, &peer);
	peer_say(&peer, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/never"));
	expect_last_reply(&service, &peer, 200, "GET /a ");
	ck_assert_int_eq(service.visit_count, 1);
	service_fini(&service);
}
END_TEST

START_TEST(a_head_request_gets_no_body)
{
	struct service service;
	struct peer peer;
	struct reply reply;
	service_init(&service);
	visitor(&service, &peer);
	peer_say(&peer, "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" GET("/b"));
	expect_head_of_reply(&service, &peer, true, &reply);
	ck_assert(reply.status == 200 && reply.has_length && reply.keep_alive);
	expect_reply(&service, &peer, 200, "GET /b ");
	service.answers = false;
	peer_say(&peer, "HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n" GET("/d"));
	run_until(service.loop, service.visit_count == 3 && service.visits[2].heads);
	http_respond_start(service.visits[2].exchange, 200, (struct span){ 0 });
	http_respond_write(service.visits[2].exchange, SPAN("not for it"));
	http_respond_finish(service.visits[2].exchange);
	service.answers = true;
	http_exchange_end(&service.visits[2].exchange);
	expect_head_of_reply(&service, &peer, true, &reply);
	ck_assert_int_eq(reply.status, 200);
	expect_reply(&service, &peer, 200, "GET /d ");
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

START_TEST(statuses_without_a_body)
{
	struct service service;
	struct peer peer;
	struct reply reply;
	service_init(&service);
	service.answers = false;
	visitor(&service, &peer);
	peer_say(&peer, GET("/a") GET("/b"));
	for (int i = 0; i < 2; i++) {
		run_until(service.loop, service.visit_count == i + 1 && service.visits[i].heads);
		http_respond(service.visits[i].exchange, i ? 304 : 204, (struct span){ 0 }, (struct span){ 0 });
		http_exchange_end(&service.visits[i].exchange);
		expect_head_of_reply(&service, &peer, false, &reply);
		ck_assert(reply.status == (i ? 304 : 204) && reply.keep_alive);
		ck_assert(i || !reply.has_length);
	}
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

START_TEST(chunked_writes)
{
	struct service service;
	struct peer peer;
	struct bytes wanted = { 0 };
	service_init(&service);
	service.answers = false;
	visitor(&service, &peer);
	peer_say(&peer, GET("/a"));
	run_until(service.loop, service.visit_count == 1 && service.visits[0].heads);
	struct visit *visit = &service.visits[0];
	ck_assert(!http_exchange_has_started(visit->exchange));
	http_respond_start(visit->exchange, 200, SPAN("content-type: text/event-stream\r\n"));
	ck_assert(http_exchange_has_started(visit->exchange));
	for (size_t len = 0; len < 300000; len = len * 3 + 1) {
		struct bytes piece = { 0 };
		ck_assert(bytes_reserve(&piece, len + 1));
		memset(piece.data, 'a' + (int)(len % 26), len);
		piece.len = len;
		http_respond_write(visit->exchange, bytes_span(&piece));
		bytes_append_span(&wanted, bytes_span(&piece));
		bytes_fini(&piece);
	}
	ck_assert_uint_gt(http_exchange_queued_bytes(visit->exchange), 0);
	http_respond_finish(visit->exchange);
	struct reply reply;
	run_until(service.loop, take_reply(&peer, false, &reply));
	ck_assert_int_eq(reply.kind, HTTP_BODY_CHUNKED);
	ck_assert(span_equal(bytes_span(&reply.body), bytes_span(&wanted)));
	run_until(service.loop, visit->drains == 1);
	ck_assert_uint_eq(http_exchange_queued_bytes(visit->exchange), 0);
	http_exchange_end(&visit->exchange);
	service.answers = true;
	peer_say(&peer, GET("/next"));
	expect_reply(&service, &peer, 200, "GET /next ");
	bytes_fini(&reply.body);
	bytes_fini(&wanted);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

START_TEST(an_owner_may_turn_a_client_away)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.turns_away = true;
	visitor(&service, &peer);
	peer_say(&peer, GET("/a"));
	run_until(service.loop, peer_ended(&peer));
	ck_assert_uint_eq(peer.got.len, 0);
	ck_assert_uint_eq(http_server_connections(service.server), 0);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

UNIT_MAIN("http/http_server", a_connection_is_used_again, bytes_one_by_one, pipelined_requests_are_answered_in_order,
          the_next_request_waits_for_the_answer, an_answer_before_the_body_was_asked_for, http_1_0,
          connection_close_is_honoured, a_head_request_gets_no_body, statuses_without_a_body, chunked_writes,
          an_owner_may_turn_a_client_away)
