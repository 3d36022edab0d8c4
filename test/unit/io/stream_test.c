/* Reading, ends of every kind, pausing, connecting. The writing side is in stream_write_test.c. */
#include "io/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "end.h"

START_TEST(bytes_come_in)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair(loop, &end, &peer);
	peer_say(&peer, "hello");
	run_until(loop, end.got.len == 5);
	ck_span_is(bytes_span(&end.got), "hello");
	ck_assert_int_eq(end.opens, 0);
	end_close(&end);
	run_until(loop, peer_ended(&peer));
	ck_assert_int_eq(end.closes, 0);
	peer_close(&peer);
	loop_free(&loop);
}
END_TEST

START_TEST(the_other_side_ends_after_its_last_bytes)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair(loop, &end, &peer);
	peer_say(&peer, "last");
	peer_close(&peer);
	run_until(loop, end.closes == 1);
	ck_span_is(bytes_span(&end.got), "last");
	ck_error_is(end.why, ERROR_CLOSED);
	/* Once, also when reading is started again. */
	stream_pause(end.stream);
	stream_resume(end.stream);
	run_turns(loop, 10);
	ck_assert_int_eq(end.closes, 1);
	end_close(&end);
	loop_free(&loop);
}
END_TEST

/* A peer that is unplugged sends nothing more: the kernel must give it up, and this is what makes it. */
START_TEST(a_tcp_peer_that_vanishes_is_given_up)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	struct peer peer;
	int fd;
	unsigned timeout_ms = 0;
	int keeps_alive = 0;
	int first_probe_s = 0;
	socklen_t len = sizeof(int);
	peer_pair_tcp(&peer, &fd);
	ck_error_is(stream_adopt(loop, fd, NULL, &end_events, &end, &end.stream), OK);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &len), 0);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keeps_alive, &len), 0);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &first_probe_s, &len), 0);
	ck_assert_uint_eq(timeout_ms, 30000);
	ck_assert_int_eq(keeps_alive, 1);
	ck_assert_int_le(first_probe_s, 15);
	end_close(&end);
	peer_close(&peer);
	loop_free(&loop);
}
END_TEST

START_TEST(a_reset_is_told_from_an_end)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair_tcp(loop, &end, &peer);
	peer_reset(&peer);
	run_until(loop, end.closes == 1);
	ck_error_is(end.why, ERROR_RESET);
	end_close(&end);
	loop_free(&loop);
}
END_TEST

/* A broken connection shows in reading and in each of several writes: the owner hears of it once. */
START_TEST(a_broken_connection_is_reported_once)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair_tcp(loop, &end, &peer);
	char *block = calloc(1, 1 << 20);
	for (int i = 0; i < 8; i++)
		ck_error_is(stream_write(end.stream, block, 1 << 20), OK);
	ck_assert_uint_gt(stream_queued_bytes(end.stream), 0);
	free(block);
	peer_reset(&peer);
	run_until(loop, end.closes == 1);
	run_turns(loop, 10);
	ck_assert_int_eq(end.closes, 1);
	ck_assert_int_eq(end.drains, 0);
	/* Writing on is an error at most, no signal. */
	(void)!stream_write(end.stream, "x", 1);
	(void)!stream_write(end.stream, "x", 1);
	run_turns(loop, 10);
	ck_assert_int_eq(end.closes, 1);
	end_close(&end);
	loop_free(&loop);
}
END_TEST

START_TEST(closing_inside_on_read)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair(loop, &end, &peer);
	end.closes_in_read = true;
	peer_say(&peer, "one");
	run_until(loop, !end.stream);
	run_until(loop, peer_ended(&peer));
	ck_assert_int_eq(end.reads, 1);
	ck_assert_int_eq(end.closes, 0);
	peer_close(&peer);
	end_close(&end);
	loop_free(&loop);
}
END_TEST

START_TEST(a_paused_stream_reads_nothing)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair(loop, &end, &peer);
	stream_pause(end.stream);
	stream_pause(end.stream);
	peer_say(&peer, "waits");
	run_turns(loop, 10);
	ck_assert_int_eq(end.reads, 0);
	stream_resume(end.stream);
	stream_resume(end.stream);
	run_until(loop, end.got.len == 5);
	stream_pause(end.stream);
	peer_close(&peer);
	run_turns(loop, 10);
	ck_assert_int_eq(end.closes, 0);
	stream_resume(end.stream);
	run_until(loop, end.closes == 1);
	end_close(&end);
	loop_free(&loop);
}
END_TEST

START_TEST(only_sockets_and_pipes_are_adopted)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	const int null = open("/dev/null", O_RDONLY);
	ck_error_is(stream_adopt(loop, null, NULL, &end_events, &end, &end.stream), ERROR_UNSUPPORTED);
	ck_assert(fcntl(null, F_GETFD) < 0 && errno == EBADF);
	int pipes[2];
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_error_is(stream_adopt(loop, pipes[0], NULL, &end_events, &end, &end.stream), OK);
	ck_assert_int_eq(write(pipes[1], "pipe", 4), 4);
	close(pipes[1]);
	run_until(loop, end.closes == 1);
	ck_span_is(bytes_span(&end.got), "pipe");
	end_close(&end);
	loop_free(&loop);
}
END_TEST

static void check_connect(const struct address *address, int listening)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	struct peer peer = { .fd = -1 };
	ck_error_is(stream_connect(loop, &(struct stream_target){ .address = address }, &end_events, &end, &end.stream),
	            OK);
	ck_assert_int_eq(end.opens, 0);
	run_until(loop, end.opens == 1);
	peer.fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(peer.fd, 0);
	ck_error_is(stream_write(end.stream, "ping", 4), OK);
	run_until(loop, peer_pull(&peer) == 4);
	peer_say(&peer, "pong");
	run_until(loop, end.got.len == 4);
	end_close(&end);
	peer_close(&peer);
	loop_free(&loop);
}

START_TEST(connecting)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	int listening = listen_tcp(AF_INET, &address.port);
	check_connect(&address, listening);
	/* A name may have another address first, where nobody listens. */
	snprintf(address.host, sizeof(address.host), "localhost");
	check_connect(&address, listening);
	close(listening);
	listening = listen_tcp(AF_INET6, &address.port);
	if (listening >= 0) {
		snprintf(address.host, sizeof(address.host), "::1");
		check_connect(&address, listening);
		close(listening);
	}
}
END_TEST

START_TEST(connecting_to_a_unix_socket)
{
	struct address address = { .kind = ADDRESS_UNIX };
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	snprintf(address.path, sizeof(address.path), "/tmp/penstock-stream-%d", (int)getpid());
	memcpy(name.sun_path, address.path, sizeof(name.sun_path));
	const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (const struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	check_connect(&address, listening);
	close(listening);
	unlink(address.path);
}
END_TEST

static enum error connect_error(const struct address *address)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	enum error error =
		stream_connect(loop, &(struct stream_target){ .address = address }, &end_events, &end, &end.stream);
	if (error == OK) {
		run_until(loop, end.closes == 1);
		run_turns(loop, 10);
		ck_assert(end.opens == 0 && end.closes == 1);
		error = end.why;
	}
	end_close(&end);
	loop_free(&loop);
	return error;
}

START_TEST(connecting_fails)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	close(listen_tcp(AF_INET, &address.port));
	ck_error_is(connect_error(&address), ERROR_REFUSED);
	snprintf(address.host, sizeof(address.host), "localhost");
	ck_error_is(connect_error(&address), ERROR_REFUSED);
	/* Not a name that any server could be asked for. */
	snprintf(address.host, sizeof(address.host), "no..such..name");
	ck_error_is(connect_error(&address), ERROR_NOT_FOUND);
	address = (struct address){ .kind = ADDRESS_UNIX, .path = "/tmp/penstock-nobody-is-here" };
	ck_error_is(connect_error(&address), ERROR_NOT_FOUND);
}
END_TEST

START_TEST(closing_while_it_connects)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	const int listening = listen_tcp(AF_INET, &address.port);
	ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address }, &end_events, &end, &end.stream),
	            OK);
	stream_close(&end.stream);
	snprintf(address.host, sizeof(address.host), "localhost");
	for (int turns = 0; turns < 6; turns++) {
		ck_error_is(
			stream_connect(loop, &(struct stream_target){ .address = &address }, &end_events, &end, &end.stream), OK);
		run_turns(loop, turns);
		stream_close(&end.stream);
		stream_close(&end.stream);
	}
	/* The lookups are still under way here. */
	ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address }, &end_events, &end, &end.stream),
	            OK);
	stream_close(&end.stream);
	loop_free(&loop);
	ck_assert_int_eq(end.closes, 0);
	close(listening);
}
END_TEST

UNIT_MAIN("io/stream", bytes_come_in, the_other_side_ends_after_its_last_bytes, a_tcp_peer_that_vanishes_is_given_up,
          a_reset_is_told_from_an_end, a_broken_connection_is_reported_once, closing_inside_on_read,
          a_paused_stream_reads_nothing, only_sockets_and_pipes_are_adopted, connecting, connecting_to_a_unix_socket,
          connecting_fails, closing_while_it_connects)
