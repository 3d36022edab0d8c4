/* Upstream addresses: what is read, and what nobody should be able to read two ways. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "base/url.h"

static const struct {
	const char *text;
	const char *host;
	const char *authority;
	const char *path;
	unsigned port;
	bool is_tls;
} good[] = {
	{ "http://10.0.0.5:8000", "10.0.0.5", "10.0.0.5:8000", "", 8000, false },
	{ "http://engine", "engine", "engine", "", 80, false },
	{ "HTTP://engine:80/", "engine", "engine", "", 80, false },
	{ "https://api.example.com/v1", "api.example.com", "api.example.com", "", 443, true },
	{ "https://api.example.com/v1/", "api.example.com", "api.example.com", "", 443, true },
	{ "https://api.example.com:8443/openai/v1", "api.example.com", "api.example.com:8443", "/openai", 8443, true },
	{ "https://api.example.com/team-a/", "api.example.com", "api.example.com", "/team-a", 443, true },
	{ "http://[::1]:8000", "::1", "[::1]:8000", "", 8000, false },
	{ "http://[fd00::2]", "fd00::2", "[fd00::2]", "", 80, false },
	{ "http://h/v11", "h", "h", "/v11", 80, false },
};

static const char *const bad[] = {
	"",
	"engine:8000",
	"ftp://engine",
	"http://",
	"http:///v1",
	"http://user@engine",
	"http://user:password@engine:80",
	"http://engine:0",
	"http://engine:65536",
	"http://engine:80:80",
	"http://engine:",
	"http://engine?x=1",
	"http://engine/v1?x=1",
	"http://engine/v1#x",
	"http://engine/a b",
	"http://engine/a\nb",
	"http://engine/../v1",
	"http://engine/./v1",
	"http://engine//v1",
	"http://engine/%2e%2e",
	"http://::1:80",
	"http://[::1",
	"http://engine\\@evil",
	"http://engin\xc3\xa9",
	" http://engine",
	"unix:",
};

START_TEST(reads)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct url url;
		ck_assert_msg(url_parse(span_of(good[i].text), &url) == OK, "%s", good[i].text);
		ck_assert_str_eq(url.address.host, good[i].host);
		ck_assert_str_eq(url.authority, good[i].authority);
		ck_assert_str_eq(url.path, good[i].path);
		ck_assert_uint_eq(url.address.port, good[i].port);
		ck_assert(url.is_tls == good[i].is_tls);
	}
}
END_TEST

START_TEST(reads_a_socket)
{
	struct url url;
	ck_error_is(url_parse(SPAN("unix:/run/engine.sock"), &url), OK);
	ck_assert_int_eq(url.address.kind, ADDRESS_UNIX);
	ck_assert_str_eq(url.address.path, "/run/engine.sock");
	ck_assert_str_eq(url.authority, "localhost");
	ck_assert_str_eq(url.path, "");
}
END_TEST

START_TEST(refuses)
{
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct url url;
		ck_assert_msg(url_parse(span_of(bad[i]), &url) != OK, "%s", bad[i]);
	}
	struct url url;
	ck_assert(url_parse(SPAN("http://a\0b"), &url) != OK);
}
END_TEST

START_TEST(bounds_its_parts)
{
	struct url url;
	struct bytes text = { 0 };
	bytes_append_text(&text, "http://h/");
	for (int i = 0; i < URL_PATH_BYTES; i++)
		bytes_append_byte(&text, 'x');
	ck_error_is(url_parse(bytes_span(&text), &url), ERROR_LIMIT);
	bytes_clear(&text);
	bytes_append_text(&text, "http://");
	for (int i = 0; i < 400; i++)
		bytes_append_byte(&text, 'x');
	ck_assert(url_parse(bytes_span(&text), &url) != OK);
	bytes_fini(&text);
}
END_TEST

UNIT_MAIN("base/url", reads, reads_a_socket, refuses, bounds_its_parts)
