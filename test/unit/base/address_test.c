/* Addresses: what is read, what is refused, what counts as this machine. */
#include "unit.h"

#include <string.h>

#include "base/address.h"
#include "base/macros.h"

static const struct {
	const char *text;
	const char *host; /* or the path of a Unix socket */
	enum address_kind kind;
	unsigned port;
	bool is_loopback;
} good[] = {
	{ "127.0.0.1:8080", "127.0.0.1", ADDRESS_TCP, 8080, true },
	{ "127.255.1.2:0", "127.255.1.2", ADDRESS_TCP, 0, true },
	{ "localhost:1", "localhost", ADDRESS_TCP, 1, true },
	{ "LocalHost:1", "LocalHost", ADDRESS_TCP, 1, true },
	{ "[::1]:443", "::1", ADDRESS_TCP, 443, true },
	{ "unix:/run/p.sock", "/run/p.sock", ADDRESS_UNIX, 0, true },
	{ "unix:relative.sock", "relative.sock", ADDRESS_UNIX, 0, true },
	{ "0.0.0.0:8080", "0.0.0.0", ADDRESS_TCP, 8080, false },
	{ "[::]:8080", "::", ADDRESS_TCP, 8080, false },
	{ "[fe80::1%eth0]:8080", "fe80::1%eth0", ADDRESS_TCP, 8080, false },
	{ "10.0.0.5:65535", "10.0.0.5", ADDRESS_TCP, 65535, false },
	{ "gateway.example:80", "gateway.example", ADDRESS_TCP, 80, false },
	{ "127.evil.example:80", "127.evil.example", ADDRESS_TCP, 80, false },
	{ "127.0.0.1.evil.example:80", "127.0.0.1.evil.example", ADDRESS_TCP, 80, false },
	{ "127.0.0:80", "127.0.0", ADDRESS_TCP, 80, false },
	{ "127.0.0.256:80", "127.0.0.256", ADDRESS_TCP, 80, false },
};

static const char *const bad[] = {
	"",           "8080",           ":8080",    "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
	"host:80:80", "::1:80",         "[::1]",    "[::1]80",   "[::1:80",    "[]:80",           "[127.0.0.1]:80",
	"ho st:80",   "host:80 ",       " host:80", "host:0x50", "host:",      "unix:",           "http://host:80",
	"host/a:80",  "127.0.0.1:8080a"
};

START_TEST(reads_and_writes)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct address address;
		ck_error_is(address_parse(span_of(good[i].text), &address), OK);
		ck_assert_int_eq(address.kind, good[i].kind);
		ck_assert_str_eq(address.kind == ADDRESS_UNIX ? address.path : address.host, good[i].host);
		ck_assert_uint_eq(address.port, good[i].port);
		ck_assert_msg(address_is_loopback(&address) == good[i].is_loopback, "%s", good[i].text);
		struct bytes text = { 0 };
		address_write(&text, &address);
		ck_span_is(bytes_span(&text), good[i].text);
		bytes_fini(&text);
	}
}
END_TEST

START_TEST(refuses)
{
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct address address;
		ck_assert_msg(address_parse(span_of(bad[i]), &address) == ERROR_SYNTAX, "\"%s\" was read", bad[i]);
	}
}
END_TEST

START_TEST(limits)
{
	char text[400];
	struct address address;
	/* A path needs room for its NUL in sun_path: 107 bytes fit, 108 don't. */
	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:", 5);
	ck_error_is(address_parse((struct span){ text, 5 + 107 }, &address), OK);
	ck_assert_uint_eq(strlen(address.path), 107);
	ck_error_is(address_parse((struct span){ text, 5 + 108 }, &address), ERROR_LIMIT);
	memcpy(text, "aaaaa", 5);
	memcpy(text + 255, ":80", 3);
	ck_error_is(address_parse((struct span){ text, 258 }, &address), OK);
	memset(text, 'a', sizeof(text));
	memcpy(text + 256, ":80", 3);
	ck_error_is(address_parse((struct span){ text, 259 }, &address), ERROR_SYNTAX);
	ck_error_is(address_parse((struct span){ "host\0:80", 8 }, &address), ERROR_SYNTAX);
	ck_error_is(address_parse((struct span){ "unix:a\0b", 8 }, &address), ERROR_SYNTAX);
}
END_TEST

UNIT_MAIN("base/address", reads_and_writes, refuses, limits)
