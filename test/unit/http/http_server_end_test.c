/* How connections end: clients that leave at any moment, idle ones, a server that drains, answers that are cut. */
#include "http/http_server.h"

#include "http/serving.h"

#include "base/macros.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* What the client has sent, and what the owner has done, when the client leaves. */
struct moment {
	const char *text;
	bool accepts;
	int heads;
	int bodies;
	int faults;
	int starts; /* the response: 1 = begun, 2 = finished */
};

static const struct moment moments[] = {
	{ "GET / HT", true, 0, 0, 0, 0 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", false, 1, 0, 0, 0 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab", true, 1, 0, 0, 0 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", true, 1, 0, 0, 0 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", true, 1, 1, 0, 0 },
	{ GET("/") GET("/next"), true, 1, 0, 0, 0 },
	{ GET("/"), true, 1, 0, 0, 1 },
	{ GET("/"), true, 1, 0, 0, 2 },
	{ "NONSENSE\r\n\r\n", true, 0, 0, 1, 0 },
};

enum leaving { LEAVES, HALF_CLOSES, RESETS, LEAVINGS };

static void check_leaving(const struct moment *moment, enum leaving leaving, bool keeps)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.accepts = moment->accepts;
	service.answers = false;
	service.keeps = keeps;
	visitor_tcp(&service, &peer);
	peer_say(&peer, moment->text);
	struct visit *visit = &service.visits[0];
	run_until(service.loop, service.visit_count == 1 && visit->heads == moment->heads &&
	                            visit->bodies == moment->bodies && visit->faults == moment->faults);
	run_turns(service.loop, 3);
	if (moment->starts > 0)
		http_respond_start(visit->exchange, 200, (struct span){ 0 });
	if (moment->starts > 1)
		http_respond_finish(visit->exchange);
	if (leaving == HALF_CLOSES)
		shutdown(peer.fd, SHUT_WR);
	else if (leaving == RESETS)
		peer_reset(&peer);
	else
		peer_close(&peer);
	run_until(service.loop, visit->gones == 1);
	run_turns(service.loop, 5);
	if (keeps) {
		/* Whatever is still done to it does no harm. */
		ck_assert_ptr_nonnull(visit->exchange);
		ck_assert(http_exchange_is_gone(visit->exchange));
		if (moment->starts == 1)
			http_respond_write(visit->exchange, SPAN("nobody reads this"));
		else if (moment->starts == 0)
			http_respond(visit->exchange, 200, (struct span){ 0 }, SPAN("nor this"));
		ck_assert_uint_eq(http_server_connections(service.server), 1);
		http_exchange_end(&visit->exchange);
	}
	ck_assert_ptr_null(visit->exchange);
	ck_assert_uint_eq(http_server_connections(service.server), 0);
	ck_assert_int_eq(service.visit_count, 1);
	peer_close(&peer);
	service_fini(&service);
}

START_TEST(a_client_that_leaves_is_noticed_once_at_any_moment)
{
	for (size_t i = 0; i < COUNT_OF(moments); i++) {
		for (int leaving = 0; leaving < LEAVINGS; leaving++) {
			check_leaving(&moments[i], (enum leaving)leaving, false);
			check_leaving(&moments[i], (enum leaving)leaving, true);
		}
	}
}
END_TEST

START_TEST(leaving_between_requests)
{
	struct service service;
	struct peer peers[2];
	service_init(&service);
	visitor(&service, &peers[0]);
	visitor(&service, &peers[1]);
	peer_say(&peers[1], GET("/"));
	expect_reply(&service, &peers[1], 200, "GET / ");
	ck_assert_uint_eq(http_server_connections(service.server), 2);
	peer_close(&peers[0]);
	run_until(service.loop, http_server_connections(service.server) == 1);
	peer_close(&peers[1]);
	run_until(service.loop, http_server_connections(service.server) == 0);
	ck_assert(service.visit_count == 1 && service.visits[0].gones == 0);
	service_fini(&service);
}
END_TEST

/* The client of a slow answer is noticed when it leaves behind a wall of pipelined bytes, too: they are read, up to a bound. */
START_TEST(more_than_the_stash_holds)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.answers = false;
	visitor(&service, &peer);
	peer_say(&peer, GET("/slow"));
	run_until(service.loop, service.visits[0].heads == 1);
	char block[8192];
	size_t sent = 0;
	memset(block, 'x', sizeof(block));
	while (!service.visits[0].gones) {
		const ssize_t count = send(peer.fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += count > 0 ? (size_t)count : 0;
		ck_assert_uint_lt(sent, 2 << 20);
		run_turns(service.loop, 1);
	}
	ck_assert_uint_gt(sent, 256 * 1024);
	ck_assert_ptr_null(service.visits[0].exchange);
	ck_assert_uint_eq(http_server_connections(service.server), 0);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

START_TEST(less_than_the_stash_is_kept)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.answers = false;
	visitor(&service, &peer);
	peer_say(&peer, GET("/slow"));
	run_until(service.loop, service.visits[0].heads == 1);
	struct bytes text = { 0 };
	bytes_append_text(&text, "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n");
	ck_assert(bytes_reserve(&text, 150000));
	memset(text.data + text.len, 'y', 150000);
	text.len += 150000;
	size_t sent = 0;
	while (sent < text.len) {
		const ssize_t count = send(peer.fd, text.data + sent, text.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += count > 0 ? (size_t)count : 0;
		run_turns(service.loop, 1);
	}
	ck_assert_int_eq(service.visit_count, 1);
	visit_answer(&service.visits[0]);
	expect_reply(&service, &peer, 200, "GET /slow ");
	run_until(service.loop, service.visit_count == 2 && service.visits[1].bodies == 1);
	ck_assert_uint_eq(http_exchange_body(service.visits[1].exchange).len, 150000);
	visit_refuse(&service.visits[1], 400);
	expect_reply(&service, &peer, 400, "refused");
	bytes_fini(&text);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

START_TEST(idle_connections_are_closed)
{
	struct http_server_settings settings = { .limits = http_limits_default, .idle_ns = 2 * NS_PER_MS };
	struct service service = { .accepts = true, .limit = 100, .loop = new_loop() };
	struct peer silent, served, busy;
	ck_error_is(http_server_new(service.loop, &settings, &service_events, &service, &service.server), OK);
	visitor(&service, &busy);
	peer_say(&busy, "GET / HTTP/1.1\r\n"); /* in the middle of a head: the owner's business */
	run_until(service.loop, service.visit_count == 1);
	service.answers = true;
	visitor(&service, &silent);
	visitor(&service, &served);
	peer_say(&served, GET("/"));
	expect_reply(&service, &served, 200, "GET / ");
	run_until(service.loop, peer_ended(&silent) && peer_ended(&served));
	ck_assert_uint_eq(silent.got.len + served.got.len, 0);
	ck_assert_uint_eq(http_server_connections(service.server), 1);
	peer_say(&busy, "Host: x\r\n\r\n");
	expect_reply(&service, &busy, 200, "GET / ");
	run_until(service.loop, peer_ended(&busy));
	peer_close(&silent);
	peer_close(&served);
	peer_close(&busy);
	service_fini(&service);
}
END_TEST

START_TEST(draining)
{
	struct service service;
	struct peer idle, waiting, started;
	struct reply reply;
	service_init(&service);
	service.answers = false;
	visitor(&service, &idle);
	visitor(&service, &waiting);
	peer_say(&waiting, GET("/waiting"));
	run_until(service.loop, service.visit_count == 1 && service.visits[0].heads);
	visitor(&service, &started);
	peer_say(&started, GET("/started"));
	run_until(service.loop, service.visit_count == 2 && service.visits[1].heads);
	http_respond_start(service.visits[1].exchange, 200, (struct span){ 0 });
	http_server_drain(service.server);
	run_until(service.loop, peer_ended(&idle));
	ck_assert_uint_eq(http_server_connections(service.server), 2);
	visit_answer(&service.visits[0]);
	run_until(service.loop, take_reply(&waiting, false, &reply));
	ck_assert_str_eq(reply.connection, "close");
	ck_span_is(bytes_span(&reply.body), "GET /waiting ");
	bytes_fini(&reply.body);
	run_until(service.loop, peer_ended(&waiting));
	/* Its head could not say so any more, but it ends all the same. */
	http_respond_write(service.visits[1].exchange, SPAN("whole"));
	http_respond_finish(service.visits[1].exchange);
	http_exchange_end(&service.visits[1].exchange);
	run_until(service.loop, take_reply(&started, false, &reply));
	ck_span_is(bytes_span(&reply.body), "whole");
	bytes_fini(&reply.body);
	run_until(service.loop, peer_ended(&started));
	ck_assert_uint_eq(http_server_connections(service.server), 0);
	peer_close(&idle);
	peer_close(&waiting);
	peer_close(&started);
	service_fini(&service);
}
END_TEST

START_TEST(an_unfinished_answer_looks_cut)
{
	for (int pieces = 0; pieces < 3; pieces++) {
		struct service service;
		struct peer peer;
		struct reply reply;
		service_init(&service);
		service.answers = false;
		visitor(&service, &peer);
		peer_say(&peer, GET("/") GET("/never"));
		run_until(service.loop, service.visit_count == 1 && service.visits[0].heads);
		if (pieces > 0)
			http_respond_start(service.visits[0].exchange, 200, (struct span){ 0 });
		if (pieces > 1)
			http_respond_write(service.visits[0].exchange, SPAN("half"));
		http_exchange_end(&service.visits[0].exchange);
		run_until(service.loop, peer_ended(&peer));
		if (pieces == 0)
			ck_assert_uint_eq(peer.got.len, 0);
		else
			ck_assert(!take_reply(&peer, false, &reply));
		ck_assert_int_eq(service.visit_count, 1);
		ck_assert_uint_eq(http_server_connections(service.server), 0);
		peer_close(&peer);
		service_fini(&service);
	}
}
END_TEST

/* A large answer to a slow reader: all of it arrives although the exchange has ended long before. */
START_TEST(a_slow_reader_of_a_last_answer)
{
	struct service service;
	struct peer peer;
	struct bytes body = { 0 };
	struct reply reply = { 0 };
	service_init(&service);
	service.answers = false;
	visitor_tcp(&service, &peer);
	peer_say(&peer, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	run_until(service.loop, service.visit_count == 1 && service.visits[0].heads);
	ck_assert(bytes_reserve(&body, 8 << 20));
	memset(body.data, 'z', 8 << 20);
	body.len = 8 << 20;
	http_respond(service.visits[0].exchange, 200, (struct span){ 0 }, bytes_span(&body));
	ck_assert_uint_gt(http_exchange_queued_bytes(service.visits[0].exchange), 0);
	http_exchange_end(&service.visits[0].exchange);
	ck_assert_uint_eq(http_server_connections(service.server), 0);
	run_until(service.loop, (peer_pull_some(&peer, 1 << 20), peer.has_ended));
	ck_assert(take_reply(&peer, false, &reply));
	ck_assert(span_equal(bytes_span(&reply.body), bytes_span(&body)));
	bytes_fini(&reply.body);
	bytes_fini(&body);
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

UNIT_MAIN("http/http_server_end", a_client_that_leaves_is_noticed_once_at_any_moment, leaving_between_requests,
          more_than_the_stash_holds, less_than_the_stash_is_kept, idle_connections_are_closed, draining,
          an_unfinished_answer_looks_cut, a_slow_reader_of_a_last_answer)
