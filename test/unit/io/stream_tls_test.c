/* Streams with TLS inside: much data, pauses, back-pressure, ends of every kind. */
#include "io/stream.h"

#include "tls_pair.h"

#define MUCH (1024 * 1024 + 12345)

static char pattern(size_t i)
{
	return (char)(i * 31 + i / 251);
}

/* Reads with a pause after every piece, writes as the queue drains. */
struct busy {
	struct stream *stream;
	struct timer resume;
	size_t read;
	size_t written;
	size_t queued_most;
	int pauses;
	int closes;
	bool is_open;
};

static void busy_write(struct busy *busy)
{
	char data[30011];
	while (busy->is_open && busy->written < MUCH && stream_queued_bytes(busy->stream) < 100000) {
		const size_t left = MUCH - busy->written;
		const size_t len = left < sizeof(data) ? left : sizeof(data);
		for (size_t i = 0; i < len; i++)
			data[i] = pattern(busy->written + i);
		const struct span pieces[3] = { { data, len / 3 }, { data + len / 3, 0 }, { data + len / 3, len - len / 3 } };
		ck_error_is(stream_write_spans(busy->stream, pieces, 3), OK);
		busy->written += len;
		if (stream_queued_bytes(busy->stream) > busy->queued_most)
			busy->queued_most = stream_queued_bytes(busy->stream);
	}
}

static void busy_on_open(void *owner)
{
	((struct busy *)owner)->is_open = true;
	busy_write(owner);
}

static void busy_on_read(void *owner, const char *data, size_t len)
{
	struct busy *busy = owner;
	ck_assert_int_eq(timer_is_armed(&busy->resume), false);
	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(data[i], pattern(busy->read + i));
	busy->read += len;
	if (!busy->is_open)
		busy_on_open(owner); /* the server's side */
	stream_pause(busy->stream);
	busy->pauses++;
	timer_start_after(&busy->resume, 0);
}

static void busy_on_close(void *owner, enum error why)
{
	(void)why;
	((struct busy *)owner)->closes++;
}

static void busy_on_drain(void *owner)
{
	busy_write(owner);
}

static void busy_resume(struct timer *timer)
{
	struct busy *busy = (struct busy *)(void *)((char *)timer - offsetof(struct busy, resume));
	stream_resume(busy->stream);
	ck_assert_uint_le(busy->read, MUCH);
}

static const struct stream_events busy_events = { busy_on_open, busy_on_read, busy_on_close, busy_on_drain };

START_TEST(a_megabyte_each_way_with_pauses)
{
	struct tls_world world;
	struct busy client = { 0 };
	struct busy server = { 0 };
	int fd = -1;
	world_init(&world, "server.test");
	timer_init(&client.resume, world.loop, busy_resume);
	timer_init(&server.resume, world.loop, busy_resume);
	const struct stream_target target = { .address = &world.address, .tls = world.peer };
	ck_error_is(stream_connect(world.loop, &target, &busy_events, &client, &client.stream), OK);
	run_until(world.loop, (fd = accept4(world.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	const int small = 4096;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	ck_error_is(stream_adopt(world.loop, fd, world.server, &busy_events, &server, &server.stream), OK);
	run_until(world.loop, client.read == MUCH && server.read == MUCH);
	ck_assert(client.pauses > 16 && server.pauses > 16);
	ck_assert(client.closes == 0 && server.closes == 0);
	/* The reader's pauses fill the writer's queue, and it never holds more than what it was given after the limit. */
	ck_assert(server.queued_most > 0 && server.queued_most < 200000);
	timer_stop(&client.resume);
	timer_stop(&server.resume);
	stream_close(&client.stream);
	stream_close(&server.stream);
	world_fini(&world);
}
END_TEST

START_TEST(nothing_is_read_while_paused)
{
	struct tls_world world;
	struct end client, server;
	world_init(&world, "server.test");
	world_open(&world, &client, &server);
	say(&world, &client, &server, "ping");
	stream_pause(client.stream);
	ck_error_is(stream_write(server.stream, "waits", 5), OK);
	run_turns(world.loop, 20);
	ck_assert_int_eq(client.reads, 0);
	stream_resume(client.stream);
	run_until(world.loop, client.got.len == 5);
	end_close(&client);
	end_close(&server);
	world_fini(&world);
}
END_TEST

START_TEST(an_end_in_order_is_told_from_a_cut)
{
	struct tls_world world;
	struct end client, server;
	world_init(&world, "server.test");
	world_open(&world, &client, &server);
	say(&world, &client, &server, "ping");
	ck_error_is(stream_write(server.stream, "whole", 5), OK);
	stream_close_after_writing(&server.stream, PATIENCE_NS);
	run_until(world.loop, client.closes == 1);
	ck_span_is(bytes_span(&client.got), "whole");
	ck_error_is(client.why, ERROR_CLOSED);
	end_close(&client);
	end_close(&server);

	world_open(&world, &client, &server);
	say(&world, &client, &server, "ping");
	ck_error_is(stream_write(server.stream, "part", 4), OK);
	stream_close(&server.stream);
	run_until(world.loop, client.closes == 1);
	ck_span_is(bytes_span(&client.got), "part");
	ck_error_is(client.why, ERROR_RESET);
	end_close(&client);
	end_close(&server);
	world_fini(&world);
}
END_TEST

START_TEST(a_long_answer_goes_out_after_the_close)
{
	struct tls_world world;
	struct end client, server;
	char *much = malloc(MUCH);
	for (size_t i = 0; i < MUCH; i++)
		much[i] = pattern(i);
	const int small = 4096;
	world_init(&world, "server.test");
	setsockopt(world.listening, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)); /* as those that it accepts */
	world_open(&world, &client, &server);
	say(&world, &client, &server, "ping");
	ck_error_is(stream_write(server.stream, much, MUCH), OK);
	ck_assert_uint_gt(stream_queued_bytes(server.stream), 0);
	stream_close_after_writing(&server.stream, PATIENCE_NS);
	run_until(world.loop, client.closes == 1);
	ck_error_is(client.why, ERROR_CLOSED);
	ck_assert_uint_eq(client.got.len, MUCH);
	ck_assert_int_eq(memcmp(client.got.data, much, MUCH), 0);
	free(much);
	end_close(&client);
	end_close(&server);
	world_fini(&world);
}
END_TEST

/* A stream of a server whose client is a plain socket. */
static void adopt_stranger(struct tls_world *world, struct end *server, struct peer *stranger)
{
	int other;
	*server = (struct end){ 0 };
	peer_pair_tcp(stranger, &other);
	ck_error_is(stream_adopt(world->loop, other, world->server, &end_events, server, &server->stream), OK);
}

START_TEST(who_speaks_no_tls_is_cut)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
		                                 "\x16\x03\x03\x7f\xff a record that is too long" };
	struct tls_world world;
	world_init(&world, "server.test");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct end server;
		struct peer stranger;
		adopt_stranger(&world, &server, &stranger);
		peer_say(&stranger, texts[i]);
		run_until(world.loop, server.closes == 1);
		ck_error_is(server.why, ERROR_TLS);
		ck_assert_int_eq(server.reads, 0);
		end_close(&server);
		run_until(world.loop, peer_ended(&stranger));
		peer_close(&stranger);
	}
	world_fini(&world);
}
END_TEST

START_TEST(a_handshake_has_its_time)
{
	struct tls_world world;
	struct end server;
	struct peer stranger;
	struct bytes fault = { 0 };
	world_init(&world, "server.test");
	tls_context_unref(&world.server);
	const struct tls_server_settings settings = { world.certificate.certificate_path, world.certificate.key_path,
		                                          5 * NS_PER_MS };
	ck_error_is(tls_context_new_server(&settings, &world.server, &fault), OK);
	adopt_stranger(&world, &server, &stranger);
	run_until(world.loop, server.closes == 1);
	ck_error_is(server.why, ERROR_TIMEOUT);
	end_close(&server);
	run_until(world.loop, peer_ended(&stranger));
	peer_close(&stranger);
	world_fini(&world);
}
END_TEST

START_TEST(a_server_that_ends_in_the_handshake)
{
	struct tls_world world;
	struct end client = { 0 };
	struct peer stranger = { .fd = -1 };
	world_init(&world, "server.test");
	const struct stream_target target = { .address = &world.address, .tls = world.peer };
	ck_error_is(stream_connect(world.loop, &target, &end_events, &client, &client.stream), OK);
	run_until(world.loop, (stranger.fd = accept4(world.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	run_until(world.loop, peer_pull(&stranger) > 0);
	peer_close(&stranger);
	run_until(world.loop, client.closes == 1);
	ck_assert_int_eq(client.opens, 0);
	ck_error_is(client.why, ERROR_RESET);
	end_close(&client);
	world_fini(&world);
}
END_TEST

/* Somebody on the way: hands on what came, at most so much at once, and may change it. */
static void hand_on(int from, int to, size_t most, char change)
{
	char data[256];
	const ssize_t len = recv(from, data, most < sizeof(data) ? most : sizeof(data), MSG_DONTWAIT);
	if (len <= 0)
		return;
	data[len - 1] ^= change;
	ck_assert_int_eq(send(to, data, (size_t)len, MSG_NOSIGNAL), len);
}

START_TEST(records_in_pieces_and_a_forged_one)
{
	for (size_t most = 1; most < 300; most += 83) {
		struct tls_world world;
		struct end client = { 0 }, server = { 0 };
		struct peer middle;
		int near = -1, other;
		world_init(&world, "server.test");
		const struct stream_target target = { .address = &world.address, .tls = world.peer };
		ck_error_is(stream_connect(world.loop, &target, &end_events, &client, &client.stream), OK);
		run_until(world.loop, (near = accept4(world.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
		peer_pair(&middle, &other);
		ck_error_is(stream_adopt(world.loop, other, world.server, &end_events, &server, &server.stream), OK);
		bool is_asked = false;
		while (client.got.len < 4) {
			run_turns(world.loop, 1);
			hand_on(near, middle.fd, most, 0);
			hand_on(middle.fd, near, most, 0);
			if (client.opens && !is_asked)
				ck_error_is(stream_write(client.stream, "ping", 4), OK);
			is_asked = client.opens;
			if (server.got.len == 4 && server.reads == 1)
				ck_error_is(stream_write(server.stream, "pong", 4), OK);
			server.reads += server.got.len == 4;
			ck_assert(client.closes == 0 && server.closes == 0);
		}
		ck_span_is(bytes_span(&client.got), "pong");
		ck_error_is(stream_write(server.stream, "forged", 6), OK);
		while (!client.closes) {
			run_turns(world.loop, 1);
			hand_on(middle.fd, near, 256, 1);
		}
		ck_error_is(client.why, ERROR_TLS);
		ck_span_is(bytes_span(&client.got), "pong");
		end_close(&client);
		end_close(&server);
		peer_close(&middle);
		close(near);
		world_fini(&world);
	}
}
END_TEST

/* In the handshake and after it, either side. */
START_TEST(closing_at_any_turn)
{
	struct tls_world world;
	world_init(&world, "server.test");
	for (int turns = 0; turns < 24; turns++) {
		struct end client, server;
		world_connect(&world, &client, &server);
		run_turns(world.loop, turns / 2);
		if (client.opens)
			ck_error_is(stream_write(client.stream, "ping", 4), OK);
		run_turns(world.loop, turns / 4);
		if (turns % 2)
			stream_close(&client.stream);
		else if (turns % 4)
			stream_close_after_writing(&server.stream, NS_PER_S);
		else
			stream_close(&server.stream);
		run_turns(world.loop, turns / 4);
		end_close(&client);
		end_close(&server);
	}
	world_fini(&world);
}
END_TEST

START_TEST(closing_inside_on_read)
{
	struct tls_world world;
	struct end client, server;
	world_init(&world, "server.test");
	world_open(&world, &client, &server);
	server.closes_in_read = true;
	for (int i = 0; i < 3; i++)
		ck_error_is(stream_write(client.stream, "record", 6), OK);
	run_until(world.loop, server.reads == 1);
	run_turns(world.loop, 10);
	ck_assert_int_eq(server.reads, 1);
	end_close(&client);
	end_close(&server);
	world_fini(&world);
}
END_TEST

UNIT_MAIN("io/stream_tls", a_megabyte_each_way_with_pauses, nothing_is_read_while_paused,
          an_end_in_order_is_told_from_a_cut, a_long_answer_goes_out_after_the_close, who_speaks_no_tls_is_cut,
          a_handshake_has_its_time, a_server_that_ends_in_the_handshake, records_in_pieces_and_a_forged_one,
          closing_at_any_turn, closing_inside_on_read)
