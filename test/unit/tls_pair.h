/* An authority, a server that it vouches for, and both ends of connections between them on one loop. */
#ifndef PENSTOCK_TEST_TLS_PAIR_H
#define PENSTOCK_TEST_TLS_PAIR_H

#include "end.h"

#include "certificates.h"

struct tls_world {
	struct loop *loop;
	struct certificate authority;
	struct certificate certificate;
	struct tls_context *server;
	struct tls_context *client;
	struct tls_peer *peer;
	struct address address;
	int listening;
};

static inline struct tls_context *server_context(const struct certificate *certificate)
{
	const struct tls_server_settings settings = { .certificate = certificate->certificate_path,
		                                          .key = certificate->key_path,
		                                          .handshake_ns = PATIENCE_NS };
	struct bytes fault = { 0 };
	struct tls_context *context;
	const enum error error = tls_context_new_server(&settings, &context, &fault);
	ck_assert_msg(error == OK, "%s", bytes_text(&fault));
	bytes_fini(&fault);
	return context;
}

static inline struct tls_context *client_context(const char *authorities)
{
	struct bytes fault = { 0 };
	struct tls_context *context;
	const enum error error = tls_context_new_client(authorities, &context, &fault);
	ck_assert_msg(error == OK, "%s", bytes_text(&fault));
	bytes_fini(&fault);
	return context;
}

static inline void world_init(struct tls_world *world, const char *host)
{
	*world = (struct tls_world){ .loop = new_loop() };
	certificate_make(&world->authority, "authority", NULL, NULL, DAY_S);
	certificate_make(&world->certificate, "server", "DNS:server.test,IP:127.0.0.1", &world->authority, DAY_S);
	world->server = server_context(&world->certificate);
	world->client = client_context(world->authority.certificate_path);
	ck_error_is(tls_peer_new(world->client, host, &world->peer), OK);
	world->address = (struct address){ .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	world->listening = listen_tcp(AF_INET, &world->address.port);
}

static inline void world_fini(struct tls_world *world)
{
	tls_peer_unref(&world->peer);
	tls_context_unref(&world->client);
	tls_context_unref(&world->server);
	loop_free(&world->loop);
	certificate_end(&world->certificate);
	certificate_end(&world->authority);
	close(world->listening);
}

/* Both ends, the handshake not begun. */
static inline void world_connect(struct tls_world *world, struct end *client, struct end *server)
{
	const struct stream_target target = { .address = &world->address, .tls = world->peer };
	int fd = -1;
	*client = *server = (struct end){ 0 };
	ck_error_is(stream_connect(world->loop, &target, &end_events, client, &client->stream), OK);
	run_until(world->loop, (fd = accept4(world->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	ck_error_is(stream_adopt(world->loop, fd, world->server, &end_events, server, &server->stream), OK);
}

/* ... and it is done. */
static inline void world_open(struct tls_world *world, struct end *client, struct end *server)
{
	world_connect(world, client, server);
	run_until(world->loop, client->opens + client->closes > 0);
	ck_assert_int_eq(client->opens, 1);
}

static inline void say(struct tls_world *world, struct end *from, struct end *to, const char *text)
{
	ck_error_is(stream_write(from->stream, text, strlen(text)), OK);
	run_until(world->loop, to->got.len >= strlen(text));
	ck_span_is(bytes_span(&to->got), text);
	bytes_clear(&to->got);
}

#endif
