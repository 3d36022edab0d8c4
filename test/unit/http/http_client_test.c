/* One call: how responses are read, whatever their framing and wherever they are cut, and how calls fail. */
#include "http/http_client.h"

#include "http/calling.h"

#include "base/macros.h"

START_TEST(responses_in_two_parts_at_every_byte)
{
	static const struct {
		const char *text;
		const char *body;
		bool ends;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", "hello world", false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nt: 1\r\n\r\n",
		  "hello world", false },
		{ "HTTP/1.1 200 OK\r\n\r\nhello world", "hello world", true },
		{ "HTTP/1.0 200 OK\r\n\r\nhello world", "hello world", true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false },
		{ "HTTP/1.1 204 No Content\r\n\r\n", "", false },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
		  "2\r\n\r\nok",
		  "ok", false },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct upstream upstream;
		struct peer peer = { .fd = -1 };
		upstream_init(&upstream, 1);
		for (size_t split = 1; split <= strlen(rows[i].text); split++) {
			struct call call = { 0 };
			char first[256];
			snprintf(first, sizeof(first), "%.*s", (int)split, rows[i].text);
			call_start(&upstream, HEAD_TEXT, &call);
			if (peer.fd < 0)
				peer = upstream_accept(&upstream);
			expect_request(&upstream, &peer, HEAD_TEXT);
			peer_say(&peer, first);
			run_turns(upstream.loop, 2);
			ck_assert_int_eq(call.ends, split == strlen(rows[i].text) && !rows[i].ends);
			peer_say(&peer, rows[i].text + split);
			if (rows[i].ends)
				peer_close(&peer);
			expect_end(&upstream, &call, OK, rows[i].body);
		}
		/* All on one connection where the framing allows it. */
		ck_assert(rows[i].ends || upstream.accepted == 1);
		peer_close(&peer);
		upstream_fini(&upstream);
	}
}
END_TEST

static void check_failure(const char *text, bool ends, enum error why)
{
	struct upstream upstream;
	struct call call = { 0 };
	upstream_init(&upstream, 4);
	call_start(&upstream, HEAD_TEXT, &call);
	struct peer peer = upstream_accept(&upstream);
	expect_request(&upstream, &peer, HEAD_TEXT);
	peer_say(&peer, text);
	if (ends)
		shutdown(peer.fd, SHUT_WR);
	run_until(upstream.loop, call.ends == 1);
	ck_assert_msg(call.why == why, "%s: %s", text, error_text(call.why));
	/* Nor is such a connection kept. */
	run_until(upstream.loop, peer_ended(&peer));
	ck_assert(nobody_connects(&upstream));
	bytes_fini(&call.body);
	peer_close(&peer);
	upstream_fini(&upstream);
}

START_TEST(broken_responses)
{
	static const char *const protocol[] = {
		"garbage\r\n\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n",
	};
	static const char *const cut[] = {
		"",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n",
	};
	for (size_t i = 0; i < COUNT_OF(protocol); i++)
		check_failure(protocol[i], false, ERROR_SYNTAX);
	for (size_t i = 0; i < COUNT_OF(cut); i++)
		check_failure(cut[i], true, ERROR_CLOSED);
}
END_TEST

START_TEST(a_head_that_does_not_end)
{
	struct bytes text = { 0 };
	bytes_append_text(&text, "HTTP/1.1 200 OK\r\n");
	while (text.len <= http_limits_default.head_bytes)
		bytes_append_text(&text, "a: 123456789 123456789 123456789 123456789 123456789\r\n");
	check_failure(bytes_text(&text), false, ERROR_SYNTAX);
	bytes_fini(&text);
}
END_TEST

START_TEST(a_response_to_head)
{
	struct upstream upstream;
	struct call first = { 0 }, second = { 0 };
	upstream_init(&upstream, 1);
	call_start(&upstream, "HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n", &first);
	struct peer peer = upstream_accept(&upstream);
	peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
	expect_end(&upstream, &first, OK, "");
	call_start(&upstream, HEAD_TEXT, &second);
	peer_say(&peer, "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx");
	expect_end(&upstream, &second, OK, "x");
	ck_assert_int_eq(second.status, 404);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(a_large_body_goes_out_and_in)
{
	struct upstream upstream;
	struct call call = { 0 };
	struct bytes body = { 0 };
	upstream_init(&upstream, 1);
	ck_assert(bytes_reserve(&body, 3 << 20));
	for (size_t i = 0; i < 3 << 20; i++)
		body.data[i] = (char)('a' + i % 23);
	body.len = 3 << 20;
	call.upstream = &upstream;
	const size_t half = body.len / 2;
	const struct http_request request = { .head = SPAN("POST /x HTTP/1.1\r\nContent-Length: 3145728\r\n\r\n"),
		                                  .body = { { body.data, half }, { body.data + half, body.len - half } },
		                                  .body_pieces = 2,
		                                  .connect_ns = PATIENCE_NS };
	ck_error_is(http_call_start(upstream.pool, &request, &call_events, &call, &call.call), OK);
	struct peer peer = upstream_accept(&upstream);
	const size_t head_len = strlen("POST /x HTTP/1.1\r\nContent-Length: 3145728\r\n\r\n");
	run_until(upstream.loop, peer_pull_some(&peer, 100000) == head_len + body.len);
	ck_assert(memcmp(peer.got.data + head_len, body.data, body.len) == 0);
	peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n");
	size_t sent = 0;
	run_until(upstream.loop, ({
				  const ssize_t count = send(peer.fd, body.data + sent, body.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
				  sent += count > 0 ? (size_t)count : 0;
				  call.ends == 1;
			  }));
	ck_error_is(call.why, OK);
	ck_assert(span_equal(bytes_span(&call.body), bytes_span(&body)));
	bytes_fini(&call.body);
	bytes_fini(&body);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(cancelling)
{
	for (int when = 0; when < 5; when++) {
		struct upstream upstream;
		struct call call = { .cancels_in_head = when == 2, .cancels_in_body = when == 3 };
		upstream_init(&upstream, 1);
		call_start(&upstream, HEAD_TEXT, &call);
		if (when == 0)
			http_call_cancel(&call.call);
		struct peer peer = upstream_accept(&upstream);
		if (when > 0)
			expect_request(&upstream, &peer, HEAD_TEXT);
		if (when == 1)
			http_call_cancel(&call.call);
		if (when > 1)
			peer_say(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
		if (when == 4) {
			run_until(upstream.loop, call.body.len == 2);
			http_call_cancel(&call.call);
		}
		/* The other side sees it at once. */
		run_until(upstream.loop, peer_ended(&peer));
		ck_assert_ptr_null(call.call);
		http_call_cancel(&call.call);
		run_turns(upstream.loop, 5);
		ck_assert_int_eq(call.ends, 0);
		ck_assert_uint_eq(call.body.len, when < 3 ? 0 : when - 2);
		bytes_fini(&call.body);
		peer_close(&peer);
		upstream_fini(&upstream);
	}
}
END_TEST

/* Also where the whole response is in one read, so that the end would follow in the same breath. */
START_TEST(cancelling_at_the_last_byte)
{
	for (int when = 0; when < 4; when++) {
		struct upstream upstream;
		struct call call = { .cancels_in_head = when % 2 == 0, .cancels_in_body = true };
		upstream_init(&upstream, 1);
		call_start(&upstream, HEAD_TEXT, &call);
		struct peer peer = upstream_accept(&upstream);
		expect_request(&upstream, &peer, HEAD_TEXT);
		peer_say(&peer, when < 2 ? "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
		                         : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
		run_until(upstream.loop, peer_ended(&peer));
		ck_assert(call.heads == 1 && call.ends == 0 && !call.call);
		bytes_fini(&call.body);
		peer_close(&peer);
		upstream_fini(&upstream);
	}
}
END_TEST

START_TEST(pausing_holds_the_server_back)
{
	struct upstream upstream;
	struct call call = { .pauses_in_body = true };
	char block[65536];
	size_t sent = 0;
	memset(block, 'p', sizeof(block));
	upstream_init(&upstream, 1);
	call_start(&upstream, HEAD_TEXT, &call);
	struct peer peer = upstream_accept(&upstream);
	peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n");
	for (int i = 0; i < 200; i++) {
		const ssize_t count = send(peer.fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += count > 0 ? (size_t)count : 0;
		run_turns(upstream.loop, 1);
	}
	ck_assert_uint_lt(sent, 2 << 20);
	ck_assert_uint_le(call.body.len, LOOP_READ_BYTES);
	call.pauses_in_body = false;
	http_call_resume(call.call);
	run_until(upstream.loop, ({
				  const size_t left = (4 << 20) - sent;
				  const ssize_t count =
					  send(peer.fd, block, left < sizeof(block) ? left : sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
				  sent += count > 0 ? (size_t)count : 0;
				  call.ends == 1;
			  }));
	ck_assert_uint_eq(call.body.len, 4 << 20);
	bytes_fini(&call.body);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

START_TEST(nobody_listens)
{
	struct upstream upstream;
	struct call call = { 0 };
	upstream_init(&upstream, 1);
	close(upstream.listening);
	call_start(&upstream, HEAD_TEXT, &call);
	expect_end(&upstream, &call, ERROR_REFUSED, "");
	unlink(upstream.address.path);
	call = (struct call){ 0 };
	call_start(&upstream, HEAD_TEXT, &call);
	expect_end(&upstream, &call, ERROR_NOT_FOUND, "");
	upstream.listening = -1;
	upstream_fini(&upstream);
}
END_TEST

/* A full queue of connections: the kernel drops what comes on top, as a machine that is gone would. */
START_TEST(connecting_takes_too_long)
{
	struct loop *loop = new_loop();
	struct http_pool *pool;
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	const struct http_pool_settings settings = { .idle_ns = NS_PER_S, .idle_max = 1 };
	const int listening = listen_tcp(AF_INET, &address.port);
	ck_assert_int_eq(listen(listening, 0), 0);
	const struct sockaddr_in name = { .sin_family = AF_INET,
		                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                              .sin_port = htons(address.port) };
	int fillers[4];
	for (size_t i = 0; i < COUNT_OF(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fillers[i], (const struct sockaddr *)&name, sizeof(name));
	}
	struct call call = { 0 };
	ck_error_is(http_pool_new(loop, &address, &settings, &pool), OK);
	const struct http_request request = { .head = SPAN(HEAD_TEXT), .connect_ns = 20 * NS_PER_MS };
	ck_error_is(http_call_start(pool, &request, &call_events, &call, &call.call), OK);
	run_until(loop, call.ends == 1);
	ck_error_is(call.why, ERROR_TIMEOUT);
	for (size_t i = 0; i < COUNT_OF(fillers); i++)
		close(fillers[i]);
	close(listening);
	http_pool_free(&pool);
	loop_free(&loop);
}
END_TEST

/* Whoever relays wants to write once for all that one read brought. */
START_TEST(a_read_is_a_batch)
{
	struct upstream upstream;
	struct call call = { 0 };
	struct call left = { .cancels_in_batch = true };
	upstream_init(&upstream, 0);
	call_start(&upstream, HEAD_TEXT, &call);
	struct peer peer = upstream_accept(&upstream);
	peer_say(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n4\r\ngh");
	run_until(upstream.loop, call.body.len == 8);
	ck_assert_int_eq(call.batches, 1);
	peer_say(&peer, "ij\r\n0\r\n\r\n");
	expect_end(&upstream, &call, OK, "abcdefghij");
	ck_assert_int_eq(call.batches, 1); /* the end is told by on_end */
	peer_close(&peer);
	call_start(&upstream, HEAD_TEXT, &left);
	peer = upstream_accept(&upstream);
	peer_say(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n");
	run_until(upstream.loop, left.batches == 1);
	run_until(upstream.loop, peer_ended(&peer));
	ck_assert_int_eq(left.ends, 0);
	bytes_fini(&left.body);
	peer_close(&peer);
	upstream_fini(&upstream);
}
END_TEST

UNIT_MAIN("http/http_client", a_read_is_a_batch, responses_in_two_parts_at_every_byte, broken_responses,
          a_head_that_does_not_end, a_response_to_head, a_large_body_goes_out_and_in, cancelling,
          cancelling_at_the_last_byte, pausing_holds_the_server_back, nobody_listens, connecting_takes_too_long)
