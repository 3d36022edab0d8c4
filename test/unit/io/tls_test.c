/* Contexts and handshakes: what is trusted, what is refused and how it is said, sessions that are resumed. */
#include "io/tls.h"

#include "tls_pair.h"

#include "base/log.h"
#include "base/macros.h"

START_TEST(a_name_or_a_literal_is_verified)
{
	static const char *const hosts[] = { "server.test", "SERVER.test", "server.test.", "127.0.0.1" };
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		struct tls_world world;
		struct end client, server;
		world_init(&world, hosts[i]);
		world_open(&world, &client, &server);
		say(&world, &client, &server, "ping");
		say(&world, &server, &client, "pong");
		end_close(&client);
		run_until(world.loop, server.closes == 1);
		ck_error_is(server.why, ERROR_CLOSED);
		end_close(&server);
		world_fini(&world);
	}
}
END_TEST

/* The client's end of a handshake that fails; what was logged is appended to log. */
static void fails(struct tls_world *world, struct bytes *log)
{
	int fds[2];
	char text[4096];
	struct end client, server;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	log_start(fds[1], LOG_INFO);
	world_connect(world, &client, &server);
	run_until(world->loop, client.closes == 1 && server.closes == 1);
	ck_assert_int_eq(client.opens, 0);
	ck_error_is(client.why, ERROR_TLS);
	ck_assert_int_eq(server.reads, 0);
	end_close(&client);
	end_close(&server);
	log_stop();
	const ssize_t len = read(fds[0], text, sizeof(text));
	bytes_append(log, text, len > 0 ? (size_t)len : 0);
	close(fds[0]);
	close(fds[1]);
}

static void is_refused(struct tls_world *world, const char *host, const char *why)
{
	struct bytes log = { 0 };
	char line[200];
	snprintf(line, sizeof(line), "\"level\":\"warning\",\"what\":\"no TLS connection to %s: %s\"", host, why);
	fails(world, &log);
	ck_assert_msg(strstr(bytes_text(&log), line) != NULL, "no %s in %s", line, bytes_text(&log));
	bytes_clear(&log);
	/* Once is enough. */
	fails(world, &log);
	ck_assert_str_eq(bytes_text(&log), "");
	bytes_fini(&log);
}

START_TEST(another_host_is_refused)
{
	static const char *const hosts[] = { "other.test", "127.0.0.2", "a.server.test", "::1" };
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		const bool is_name = strstr(hosts[i], "test") != NULL;
		struct tls_world world;
		world_init(&world, hosts[i]);
		is_refused(&world, hosts[i], is_name ? "hostname mismatch" : "IP address mismatch");
		world_fini(&world);
	}
}
END_TEST

START_TEST(an_expired_certificate_is_refused)
{
	struct tls_world world;
	struct certificate expired;
	world_init(&world, "server.test");
	certificate_make(&expired, "expired", "DNS:server.test", &world.authority, -60);
	tls_context_unref(&world.server);
	world.server = server_context(&expired);
	is_refused(&world, "server.test", "certificate has expired");
	certificate_end(&expired);
	world_fini(&world);
}
END_TEST

START_TEST(an_unknown_signer_is_refused)
{
	struct tls_world world;
	struct certificate self;
	world_init(&world, "server.test");
	certificate_make(&self, "self", "DNS:server.test", NULL, DAY_S);
	tls_context_unref(&world.server);
	world.server = server_context(&self);
	is_refused(&world, "server.test", "self-signed certificate");
	/* ... but whoever names it trusts it. */
	tls_peer_unref(&world.peer);
	tls_context_unref(&world.client);
	world.client = client_context(self.certificate_path);
	ck_error_is(tls_peer_new(world.client, "server.test", &world.peer), OK);
	struct end client, server;
	world_open(&world, &client, &server);
	end_close(&client);
	end_close(&server);
	/* The system's authorities have never heard of it. */
	tls_peer_unref(&world.peer);
	tls_context_unref(&world.client);
	world.client = client_context(NULL);
	ck_error_is(tls_peer_new(world.client, "server.test", &world.peer), OK);
	is_refused(&world, "server.test", "self-signed certificate");
	certificate_end(&self);
	world_fini(&world);
}
END_TEST

START_TEST(the_second_connection_resumes)
{
	struct tls_world world;
	struct end client, server;
	world_init(&world, "server.test");
	for (unsigned i = 0; i < 4; i++) {
		world_open(&world, &client, &server);
		ck_assert_uint_eq(tls_peer_resumptions(world.peer), i);
		say(&world, &client, &server, "ping");
		/* Tickets come after the handshake. */
		say(&world, &server, &client, "pong");
		end_close(&client);
		end_close(&server);
	}
	/* A new certificate has new tickets: the old one is no harm. */
	tls_context_unref(&world.server);
	world.server = server_context(&world.certificate);
	world_open(&world, &client, &server);
	ck_assert_uint_eq(tls_peer_resumptions(world.peer), 3);
	end_close(&client);
	end_close(&server);
	/* Another name has its own. */
	tls_peer_unref(&world.peer);
	ck_error_is(tls_peer_new(world.client, "other.test", &world.peer), OK);
	struct bytes log = { 0 };
	fails(&world, &log);
	bytes_fini(&log);
	world_fini(&world);
}
END_TEST

START_TEST(a_connection_keeps_its_context)
{
	struct tls_world world;
	struct end client, server;
	world_init(&world, "server.test");
	world_open(&world, &client, &server);
	tls_context_unref(&world.server);
	world.server = server_context(&world.certificate);
	tls_peer_unref(&world.peer);
	tls_context_unref(&world.client);
	say(&world, &client, &server, "ping");
	say(&world, &server, &client, "pong");
	end_close(&client);
	end_close(&server);
	world_fini(&world);
}
END_TEST

static void expect_fault(const char *certificate, const char *key, enum error wanted, const char *format, ...)
{
	const struct tls_server_settings settings = { certificate, key, PATIENCE_NS };
	struct bytes fault = { 0 };
	struct bytes sentence = { 0 };
	struct tls_context *context;
	va_list arguments;
	va_start(arguments, format);
	bytes_vprintf(&sentence, format, arguments);
	va_end(arguments);
	ck_error_is(tls_context_new_server(&settings, &context, &fault), wanted);
	ck_assert_ptr_null(context);
	ck_assert_msg(strstr(bytes_text(&fault), bytes_text(&sentence)), "%s", bytes_text(&fault));
	bytes_fini(&fault);
	bytes_fini(&sentence);
}

START_TEST(faulty_files_are_named)
{
	struct tls_world world;
	struct bytes fault = { 0 };
	struct tls_context *context;
	world_init(&world, "server.test");
	const char *certificate = world.certificate.certificate_path;
	const char *key = world.certificate.key_path;
	expect_fault("/nowhere/a.pem", key, ERROR_NOT_FOUND,
	             "the certificate /nowhere/a.pem can't be read: No such file or directory");
	expect_fault(certificate, "/nowhere/a.key", ERROR_NOT_FOUND, "the key /nowhere/a.key can't be read: No such file");
	expect_fault(key, key, ERROR_SYNTAX, "the certificate %s can't be used: no start line (a PEM file", key);
	expect_fault("/tmp", key, ERROR_SYNTAX, "the certificate /tmp can't be used: ");
	expect_fault(certificate, certificate, ERROR_SYNTAX, "the key %s can't be used: ", certificate);
	expect_fault(certificate, world.authority.key_path, ERROR_SYNTAX,
	             "the key %s does not belong to the certificate %s", world.authority.key_path, certificate);
	FILE *file = fopen(key, "w");
	ck_assert_int_eq(
		PEM_write_PrivateKey(file, world.certificate.key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"word"), 1);
	fclose(file);
	expect_fault(certificate, key, ERROR_SYNTAX, "the key %s can't be used: ", key);
	ck_error_is(tls_context_new_client("/nowhere/ca.pem", &context, &fault), ERROR_NOT_FOUND);
	ck_error_is(tls_context_new_client(key, &context, &fault), ERROR_SYNTAX);
	ck_assert_ptr_nonnull(strstr(bytes_text(&fault), "the list of authorities /nowhere/ca.pem can't be read"));
	bytes_fini(&fault);
	struct tls_peer *peer = NULL;
	ck_error_is(tls_peer_new(world.client, "", &peer), ERROR_SYNTAX);
	ck_error_is(tls_peer_new(world.client, "fe80::1%eth0", &peer), ERROR_SYNTAX);
	world_fini(&world);
}
END_TEST

UNIT_MAIN("io/tls", a_name_or_a_literal_is_verified, another_host_is_refused, an_expired_certificate_is_refused,
          an_unknown_signer_is_refused, the_second_connection_resumes, a_connection_keeps_its_context,
          faulty_files_are_named)
