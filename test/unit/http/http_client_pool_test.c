/* Kept connections: used again, replaced when they have died, bounded, forgotten. */
#include "http/http_client.h"

#include "http/calling.h"

#include "base/macros.h"

#define OK_TEXT "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* One call from start to end on this connection. */
static void one_call(struct upstream *upstream, struct peer *peer)
{
	struct call call = { 0 };
	call_start(upstream, HEAD_TEXT, &call);
	if (peer->fd < 0)
		*peer = upstream_accept(upstream);
	expect_request(upstream, peer, HEAD_TEXT);
	peer_say(peer, OK_TEXT);
	expect_end(upstream, &call, OK, "ok");
}

START_TEST(a_connection_is_used_again)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	upstream_init(&upstream, 4);
	for (int i = 0; i < 5; i++)
		one_call(&upstream, &peer);
	ck_assert_int_eq(upstream.accepted, 1);
	http_pool_forget_idle(upstream.pool);
	run_until(upstream.loop, peer_ended(&peer));
	peer_close(&peer);
	one_call(&upstream, &peer);
	ck_assert_int_eq(upstream.accepted, 2);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(a_call_that_ends_paused_leaves_a_connection_that_reads)
{
	struct upstream upstream;
	struct call call = { .pauses_in_body = true };
	upstream_init(&upstream, 1);
	call_start(&upstream, HEAD_TEXT, &call);
	struct peer peer = upstream_accept(&upstream);
	expect_request(&upstream, &peer, HEAD_TEXT);
	peer_say(&peer, OK_TEXT);
	expect_end(&upstream, &call, OK, "ok");
	one_call(&upstream, &peer);
	ck_assert(nobody_connects(&upstream));
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(the_next_call_may_start_in_on_end)
{
	struct upstream upstream;
	struct call second = { 0 };
	struct call first = { .next = &second };
	upstream_init(&upstream, 1);
	call_start(&upstream, HEAD_TEXT, &first);
	struct peer peer = upstream_accept(&upstream);
	peer_say(&peer, OK_TEXT);
	expect_end(&upstream, &first, OK, "ok");
	peer_say(&peer, OK_TEXT);
	expect_end(&upstream, &second, OK, "ok");
	ck_assert(nobody_connects(&upstream));
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(a_connection_that_died_is_replaced_silently)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	struct call call = { 0 };
	upstream_init(&upstream, 1);
	one_call(&upstream, &peer);
	/* Before the client has had a turn to notice. */
	peer_close(&peer);
	call_start(&upstream, HEAD_TEXT, &call);
	peer = upstream_accept(&upstream);
	expect_request(&upstream, &peer, HEAD_TEXT);
	peer_say(&peer, OK_TEXT);
	expect_end(&upstream, &call, OK, "ok");
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(but_only_once)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	struct call call = { 0 };
	upstream_init(&upstream, 1);
	one_call(&upstream, &peer);
	peer_close(&peer);
	call_start(&upstream, HEAD_TEXT, &call);
	peer = upstream_accept(&upstream);
	expect_request(&upstream, &peer, HEAD_TEXT);
	peer_close(&peer);
	expect_end(&upstream, &call, ERROR_CLOSED, "");
	ck_assert(nobody_connects(&upstream));
	upstream_fini(&upstream);
}
END_TEST

/* It was read, and perhaps acted upon: asking again is not ours to decide. */
START_TEST(and_never_after_a_byte_of_the_answer)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	struct call call = { 0 };
	upstream_init(&upstream, 1);
	one_call(&upstream, &peer);
	call_start(&upstream, HEAD_TEXT, &call);
	expect_request(&upstream, &peer, HEAD_TEXT);
	peer_say(&peer, "H");
	run_turns(upstream.loop, 3);
	peer_close(&peer);
	expect_end(&upstream, &call, ERROR_CLOSED, "");
	ck_assert(nobody_connects(&upstream));
	upstream_fini(&upstream);
}
END_TEST

START_TEST(the_server_is_gone_altogether)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	struct call call = { 0 };
	upstream_init(&upstream, 1);
	one_call(&upstream, &peer);
	peer_close(&peer);
	close(upstream.listening);
	call_start(&upstream, HEAD_TEXT, &call);
	expect_end(&upstream, &call, ERROR_REFUSED, "");
	upstream.listening = -1;
	upstream_fini(&upstream);
}
END_TEST

START_TEST(a_call_cancelled_while_it_is_replaced)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	upstream_init(&upstream, 1);
	for (int turns = 0; turns < 4; turns++) {
		struct call call = { 0 };
		one_call(&upstream, &peer);
		peer_close(&peer);
		call_start(&upstream, HEAD_TEXT, &call);
		run_turns(upstream.loop, turns);
		http_call_cancel(&call.call);
		run_turns(upstream.loop, 5);
		ck_assert_int_eq(call.ends, 0);
		const int fd = accept(upstream.listening, NULL, NULL);
		if (fd >= 0)
			close(fd);
	}
	upstream_fini(&upstream);
}
END_TEST

START_TEST(no_more_are_kept_than_wanted)
{
	struct upstream upstream;
	struct call calls[3] = { 0 };
	struct peer peers[3];
	upstream_init(&upstream, 2);
	for (int i = 0; i < 3; i++) {
		call_start(&upstream, HEAD_TEXT, &calls[i]);
		peers[i] = upstream_accept(&upstream);
	}
	for (int i = 0; i < 3; i++) {
		peer_say(&peers[i], OK_TEXT);
		expect_end(&upstream, &calls[i], OK, "ok");
	}
	run_until(upstream.loop, peer_ended(&peers[2]));
	ck_assert(!peer_ended(&peers[0]) && !peer_ended(&peers[1]));
	for (int i = 0; i < 3; i++)
		peer_close(&peers[i]);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(idle_connections_time_out)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	const struct http_pool_settings settings = { .idle_ns = 2 * NS_PER_MS, .idle_max = 2 };
	upstream_init(&upstream, 1);
	http_pool_free(&upstream.pool);
	ck_error_is(http_pool_new(upstream.loop, &upstream.address, &settings, &upstream.pool), OK);
	one_call(&upstream, &peer);
	run_until(upstream.loop, peer_ended(&peer));
	peer_close(&peer);
	one_call(&upstream, &peer);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(bytes_that_nobody_asked_for)
{
	struct upstream upstream;
	struct peer peer = { .fd = -1 };
	struct call call = { 0 };
	upstream_init(&upstream, 1);
	one_call(&upstream, &peer);
	peer_say(&peer, "HTTP/1.1 408 Request Timeout\r\n\r\n");
	run_until(upstream.loop, peer_ended(&peer));
	peer_close(&peer);
	/* Also in the same breath as the response. */
	call_start(&upstream, HEAD_TEXT, &call);
	peer = upstream_accept(&upstream);
	peer_say(&peer, OK_TEXT "x");
	expect_end(&upstream, &call, OK, "ok");
	run_until(upstream.loop, peer_ended(&peer));
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(what_is_not_kept)
{
	static const char *const texts[] = {
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	};
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct upstream upstream;
		struct call call = { 0 };
		upstream_init(&upstream, 4);
		call_start(&upstream, HEAD_TEXT, &call);
		struct peer peer = upstream_accept(&upstream);
		peer_say(&peer, texts[i]);
		expect_end(&upstream, &call, OK, "ok");
		run_until(upstream.loop, peer_ended(&peer));
		peer_close(&peer);
		upstream_fini(&upstream);
	}
}
END_TEST

/* An answer before the request was read: what is still on its way belongs to the old request. */
START_TEST(an_early_answer_costs_the_connection)
{
	struct upstream upstream;
	struct call call = { 0 };
	struct bytes body = { 0 };
	upstream_init(&upstream, 4);
	ck_assert(bytes_reserve(&body, 4 << 20));
	memset(body.data, 'b', 4 << 20);
	body.len = 4 << 20;
	const struct http_request request = { .head = SPAN("POST /x HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n"),
		                                  .body = { bytes_span(&body) },
		                                  .body_pieces = 1,
		                                  .connect_ns = PATIENCE_NS };
	ck_error_is(http_call_start(upstream.pool, &request, &call_events, &call, &call.call), OK);
	struct peer peer = upstream_accept(&upstream);
	run_turns(upstream.loop, 5);
	peer_say(&peer, OK_TEXT);
	expect_end(&upstream, &call, OK, "ok");
	bytes_fini(&body);
	run_until(upstream.loop, peer_ended(&peer));
	ck_assert_uint_lt(peer.got.len, 4 << 20);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

UNIT_MAIN("http/http_client_pool", a_connection_is_used_again, a_call_that_ends_paused_leaves_a_connection_that_reads,
          the_next_call_may_start_in_on_end, a_connection_that_died_is_replaced_silently, but_only_once,
          and_never_after_a_byte_of_the_answer, the_server_is_gone_altogether, a_call_cancelled_while_it_is_replaced,
          no_more_are_kept_than_wanted, idle_connections_time_out, bytes_that_nobody_asked_for, what_is_not_kept,
          an_early_answer_costs_the_connection)
