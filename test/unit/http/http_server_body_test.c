/* Bodies and what is wrong with requests: limits, Expect, bodies asked for late, faults. */
#include "http/http_server.h"

#include "http/serving.h"

#include "base/macros.h"

#define CHUNKED "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LENGTH(len) "POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: " len "\r\n\r\n"

START_TEST(limits_are_inclusive)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.limit = 5;
	visitor(&service, &peer);
	peer_say(&peer, LENGTH("5") "12345");
	expect_reply(&service, &peer, 200, "POST /l 12345");
	peer_say(&peer, CHUNKED "2\r\n12\r\n3\r\n345\r\n0\r\n\r\n");
	expect_reply(&service, &peer, 200, "POST /c 12345");
	/* Refused by its length, before any of it is here. */
	peer_say(&peer, LENGTH("6"));
	expect_last_reply(&service, &peer, 413, "refused");
	ck_assert_int_eq(service.visits[2].faults, 0);
	visitor(&service, &peer);
	peer_say(&peer, CHUNKED "2\r\n12\r\n3\r\n345\r\n1\r\n6\r\n0\r\n\r\n");
	expect_last_reply(&service, &peer, 413, "refused");
	ck_assert_int_eq(service.visits[3].faults, 1);
	ck_assert_int_eq(service.visits[3].bodies, 0);
	service_fini(&service);
}
END_TEST

START_TEST(a_limit_of_none)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.limit = 0;
	visitor(&service, &peer);
	peer_say(&peer, LENGTH("0"));
	expect_reply(&service, &peer, 200, "POST /l ");
	peer_say(&peer, CHUNKED "0\r\n\r\n");
	expect_reply(&service, &peer, 200, "POST /c ");
	peer_say(&peer, LENGTH("1") "x");
	expect_last_reply(&service, &peer, 413, "refused");
	service_fini(&service);
}
END_TEST

static void check_continue(const char *head, const char *early, const char *late, const char *wanted)
{
	struct service service;
	struct peer peer;
	struct reply reply;
	service_init(&service);
	visitor(&service, &peer);
	peer_say(&peer, head);
	peer_say(&peer, early);
	if (late) {
		run_until(service.loop, take_reply(&peer, false, &reply));
		ck_assert_int_eq(reply.status, 100);
		ck_assert_uint_eq(peer.got.len, 0);
		peer_say(&peer, late);
	}
	expect_reply(&service, &peer, 200, wanted);
	peer_close(&peer);
	service_fini(&service);
}

#define EXPECT "Expect: 100-continue\r\n\r\n"

START_TEST(expect_100_continue)
{
	check_continue("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" EXPECT, "", "abc", "POST /a abc");
	check_continue("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" EXPECT, "", "3\r\nabc\r\n0\r\n\r\n",
	               "POST /a abc");
	/* Not when the body comes anyway, when there is none, or to HTTP/1.0. */
	check_continue("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" EXPECT, "abc", NULL, "POST /a abc");
	check_continue("GET /a HTTP/1.1\r\nHost: x\r\n" EXPECT, "", NULL, "GET /a ");
	check_continue("POST /a HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n" EXPECT, "abc", NULL,
	               "POST /a abc");
}
END_TEST

START_TEST(a_refusal_instead_of_100_continue)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.limit = 2;
	visitor(&service, &peer);
	peer_say(&peer, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" EXPECT);
	expect_last_reply(&service, &peer, 413, "refused");
	service_fini(&service);
}
END_TEST

START_TEST(a_body_in_two_parts_at_every_byte)
{
	static const char *const texts[] = { LENGTH("11") "hello world",
		                                 CHUNKED "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nt: 1\r\n\r\n" };
	struct service service;
	struct peer peer;
	service_init(&service);
	visitor(&service, &peer);
	for (size_t t = 0; t < COUNT_OF(texts); t++) {
		for (size_t split = 1; split < strlen(texts[t]); split++) {
			char first[256];
			snprintf(first, sizeof(first), "%.*s", (int)split, texts[t]);
			service.visit_count = 0;
			peer_say(&peer, first);
			run_turns(service.loop, 2);
			peer_say(&peer, texts[t] + split);
			expect_reply(&service, &peer, 200, t ? "POST /c hello world" : "POST /l hello world");
		}
	}
	peer_close(&peer);
	service_fini(&service);
}
END_TEST

/* The owner looked something up first; meanwhile all bytes came, and more after them. */
START_TEST(a_body_asked_for_late)
{
	static const char *const texts[] = {
		LENGTH("3") "abc" LENGTH("1") "d",
		CHUNKED "3\r\nabc\r\n0\r\n\r\n" CHUNKED "1\r\nd\r\n0\r\n\r\n",
		LENGTH("0") LENGTH("1") "d",
		LENGTH("3") "a",
	};
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct service service;
		struct peer peer;
		service_init(&service);
		service.accepts = service.answers = false;
		visitor(&service, &peer);
		peer_say(&peer, texts[i]);
		struct visit *visit = &service.visits[0];
		run_until(service.loop, visit->heads == 1);
		run_turns(service.loop, 5);
		visit_accept(visit);
		ck_assert_int_eq(visit->bodies, 0); /* never inside the call */
		ck_assert(http_exchange_body_is_complete(visit->exchange) == (i == 2));
		if (i == 3) {
			run_turns(service.loop, 5);
			ck_assert_int_eq(visit->bodies, 0);
			peer_say(&peer, "bc");
		}
		run_until(service.loop, http_exchange_body_is_complete(visit->exchange));
		ck_assert_int_eq(visit->bodies, i != 2);
		service.accepts = service.answers = true;
		ck_span_is(http_exchange_body(visit->exchange), i == 2 ? "" : "abc");
		visit_answer(visit);
		struct reply reply;
		run_until(service.loop, take_reply(&peer, false, &reply));
		bytes_fini(&reply.body);
		if (i != 3)
			expect_reply(&service, &peer, 200, i == 1 ? "POST /c d" : "POST /l d");
		peer_close(&peer);
		service_fini(&service);
	}
}
END_TEST

START_TEST(what_is_wrong_with_a_late_body)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.accepts = false;
	visitor(&service, &peer);
	peer_say(&peer, CHUNKED "zz\r\n");
	run_until(service.loop, service.visit_count == 1 && service.visits[0].heads == 1);
	visit_accept(&service.visits[0]);
	ck_assert_int_eq(service.visits[0].faults, 0);
	expect_last_reply(&service, &peer, 400, "refused");
	/* And a client that left in the meantime: gone, and no body any more. */
	service.keeps = true;
	visitor(&service, &peer);
	peer_say(&peer, LENGTH("3") "abc");
	run_until(service.loop, service.visit_count == 2 && service.visits[1].heads == 1);
	struct visit *visit = &service.visits[1];
	peer_close(&peer);
	run_until(service.loop, visit->gones == 1);
	ck_error_is(http_exchange_accept_body(visit->exchange, 10), OK);
	run_turns(service.loop, 5);
	ck_assert_int_eq(visit->bodies, 0);
	http_exchange_end(&visit->exchange);
	service_fini(&service);
}
END_TEST

START_TEST(faults_are_answered_and_end_the_connection)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{ "GARBAGE\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505 },
		{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 501 },
		{ CHUNKED "x\r\n", 400 },
		{ CHUNKED "1\r\nab\r\n", 400 },
		{ CHUNKED "fffffffffffffffff\r\n", 400 },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct service service;
		struct peer peer;
		service_init(&service);
		visitor_tcp(&service, &peer);
		/* What is sent on top is not read as another request, nor does it turn the answer into a reset. */
		peer_say(&peer, rows[i].text);
		peer_say(&peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
		expect_last_reply(&service, &peer, rows[i].status, "refused");
		ck_assert_int_eq(service.visit_count, 1);
		ck_assert_int_eq(service.visits[0].faults, 1);
		service_fini(&service);
	}
}
END_TEST

START_TEST(a_head_that_does_not_end)
{
	struct service service;
	struct peer peer;
	struct bytes text = { 0 };
	service_init(&service);
	visitor(&service, &peer);
	bytes_append_text(&text, "GET / HTTP/1.1\r\nHost: x\r\n");
	while (text.len <= http_limits_default.head_bytes)
		bytes_append_text(&text, "a: 123456789 123456789 123456789 123456789 123456789\r\n");
	peer_say(&peer, bytes_text(&text));
	expect_last_reply(&service, &peer, 431, "refused");
	bytes_fini(&text);
	service_fini(&service);
}
END_TEST

START_TEST(a_fault_answered_later)
{
	struct service service;
	struct peer peer;
	service_init(&service);
	service.answers = false;
	visitor(&service, &peer);
	peer_say(&peer, "GARBAGE\r\n\r\n");
	run_until(service.loop, service.visit_count == 1 && service.visits[0].faults == 1);
	peer_say(&peer, "more of it");
	run_turns(service.loop, 5);
	ck_assert_int_eq(service.visits[0].faults, 1);
	visit_refuse(&service.visits[0], 400);
	expect_last_reply(&service, &peer, 400, "refused");
	service_fini(&service);
}
END_TEST

UNIT_MAIN("http/http_server_body", limits_are_inclusive, a_limit_of_none, expect_100_continue,
          a_refusal_instead_of_100_continue, a_body_in_two_parts_at_every_byte, a_body_asked_for_late,
          what_is_wrong_with_a_late_body, faults_are_answered_and_end_the_connection, a_head_that_does_not_end,
          a_fault_answered_later)
