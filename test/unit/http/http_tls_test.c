/* The client and the server of HTTP over TLS: they know of it only where a connection begins, and where one ends that must not look whole. */
#include "http/http_client.h"

#include "calling.h"
#include "serving.h"
#include "tls_pair.h"

static void pool_init(struct tls_world *world, struct http_pool **pool)
{
	const struct http_pool_settings settings = { .idle_ns = PATIENCE_NS, .idle_max = 4, .tls = world->peer };
	ck_error_is(http_pool_new(world->loop, &world->address, &settings, pool), OK);
}

static int accepted(struct tls_world *world)
{
	int fd;
	run_until(world->loop, (fd = accept4(world->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	return fd;
}

START_TEST(calls_over_one_connection)
{
	struct tls_world world;
	struct http_pool *pool;
	struct service service = { .accepts = true, .answers = true, .limit = 1 << 20 };
	struct http_server_settings settings = { .limits = http_limits_default, .idle_ns = PATIENCE_NS };
	world_init(&world, "server.test");
	pool_init(&world, &pool);
	ck_error_is(http_server_new(world.loop, &settings, &service_events, &service, &service.server), OK);
	for (int i = 0; i < 3; i++) {
		struct call call = { 0 };
		const struct http_request request = { .head = SPAN("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"),
			                                  .body = { SPAN("ping") },
			                                  .body_pieces = 1,
			                                  .connect_ns = PATIENCE_NS };
		ck_error_is(http_call_start(pool, &request, &call_events, &call, &call.call), OK);
		if (i == 0)
			http_server_adopt(service.server, accepted(&world), world.server);
		run_until(world.loop, call.ends == 1);
		ck_error_is(call.why, OK);
		ck_span_is(bytes_span(&call.body), "POST /a ping");
		bytes_fini(&call.body);
		ck_assert_uint_eq(http_server_connections(service.server), 1);
	}
	http_pool_free(&pool);
	run_until(world.loop, http_server_connections(service.server) == 0);
	http_server_free(&service.server);
	world_fini(&world);
}
END_TEST

/* A body that ends where the connection does: only close_notify says that it is all. */
static void read_until_close(bool in_order, enum error wanted)
{
	struct tls_world world;
	struct http_pool *pool;
	struct end server = { 0 };
	struct call call = { 0 };
	world_init(&world, "server.test");
	pool_init(&world, &pool);
	const struct http_request request = { .head = SPAN(HEAD_TEXT), .connect_ns = PATIENCE_NS };
	ck_error_is(http_call_start(pool, &request, &call_events, &call, &call.call), OK);
	ck_error_is(stream_adopt(world.loop, accepted(&world), world.server, &end_events, &server, &server.stream), OK);
	run_until(world.loop, server.got.len == strlen(HEAD_TEXT));
	ck_error_is(stream_write_spans(server.stream, (struct span[]){ SPAN("HTTP/1.1 200 OK\r\n\r\n"), SPAN("part") }, 2),
	            OK);
	if (in_order)
		stream_close_after_writing(&server.stream, PATIENCE_NS);
	else
		stream_close(&server.stream);
	run_until(world.loop, call.ends == 1);
	ck_error_is(call.why, wanted);
	ck_span_is(bytes_span(&call.body), "part");
	bytes_fini(&call.body);
	end_close(&server);
	http_pool_free(&pool);
	world_fini(&world);
}

START_TEST(a_cut_body_is_not_whole)
{
	read_until_close(true, OK);
	read_until_close(false, ERROR_RESET);
}
END_TEST

START_TEST(an_upstream_that_is_not_believed)
{
	struct tls_world world;
	struct http_pool *pool;
	struct end server = { 0 };
	struct call call = { 0 };
	world_init(&world, "other.test");
	pool_init(&world, &pool);
	const struct http_request request = { .head = SPAN(HEAD_TEXT), .connect_ns = PATIENCE_NS };
	ck_error_is(http_call_start(pool, &request, &call_events, &call, &call.call), OK);
	ck_error_is(stream_adopt(world.loop, accepted(&world), world.server, &end_events, &server, &server.stream), OK);
	run_until(world.loop, call.ends == 1 && server.closes == 1);
	ck_error_is(call.why, ERROR_TLS);
	ck_assert(call.heads == 0 && server.reads == 0);
	end_close(&server);
	http_pool_free(&pool);
	world_fini(&world);
}
END_TEST

/* The pool's time for connecting includes the handshake. */
START_TEST(a_handshake_that_hangs)
{
	struct tls_world world;
	struct http_pool *pool;
	struct call call = { 0 };
	world_init(&world, "server.test");
	const struct http_pool_settings settings = { .idle_ns = PATIENCE_NS, .idle_max = 4, .tls = world.peer };
	ck_error_is(http_pool_new(world.loop, &world.address, &settings, &pool), OK);
	const struct http_request request = { .head = SPAN(HEAD_TEXT), .connect_ns = 20 * NS_PER_MS };
	ck_error_is(http_call_start(pool, &request, &call_events, &call, &call.call), OK);
	const int fd = accepted(&world);
	run_until(world.loop, call.ends == 1);
	ck_error_is(call.why, ERROR_TIMEOUT);
	close(fd);
	http_pool_free(&pool);
	world_fini(&world);
}
END_TEST

UNIT_MAIN("http/http_tls", calls_over_one_connection, a_cut_body_is_not_whole, an_upstream_that_is_not_believed,
          a_handshake_that_hangs)
