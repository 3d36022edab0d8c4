/* Which bytes may stand where in a message. Only the parsers in this folder include this. */
#ifndef PENSTOCK_HTTP_HTTP_BYTES_H
#define PENSTOCK_HTTP_HTTP_BYTES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	HTTP_TOKEN = 1,  /* names and methods: tchar of RFC 9110, 5.6.2 */
	HTTP_TARGET = 2, /* paths and queries: RFC 3986, and [ ], which browsers leave as they are */
	HTTP_HOST = 4    /* a host's name or IPv4 address */
};

#define HTTP_EVERY (HTTP_TOKEN | HTTP_TARGET | HTTP_HOST)

static const uint8_t http_byte_classes[256] = {
	['0' ... '9'] = HTTP_EVERY,
	['A' ... 'Z'] = HTTP_EVERY,
	['a' ... 'z'] = HTTP_EVERY,
	['-'] = HTTP_EVERY,
	['.'] = HTTP_EVERY,
	['_'] = HTTP_EVERY,
	['~'] = HTTP_EVERY,
	['%'] = HTTP_EVERY,
	['!'] = HTTP_TOKEN | HTTP_TARGET,
	['$'] = HTTP_TOKEN | HTTP_TARGET,
	['&'] = HTTP_TOKEN | HTTP_TARGET,
	['\''] = HTTP_TOKEN | HTTP_TARGET,
	['*'] = HTTP_TOKEN | HTTP_TARGET,
	['+'] = HTTP_TOKEN | HTTP_TARGET,
	['#'] = HTTP_TOKEN,
	['^'] = HTTP_TOKEN,
	['`'] = HTTP_TOKEN,
	['|'] = HTTP_TOKEN,
	['('] = HTTP_TARGET,
	[')'] = HTTP_TARGET,
	[','] = HTTP_TARGET,
	['/'] = HTTP_TARGET,
	[':'] = HTTP_TARGET,
	[';'] = HTTP_TARGET,
	['='] = HTTP_TARGET,
	['?'] = HTTP_TARGET,
	['@'] = HTTP_TARGET,
	['['] = HTTP_TARGET,
	[']'] = HTTP_TARGET,
};

static inline bool http_is(char byte, int classes)
{
	return (http_byte_classes[(unsigned char)byte] & classes) != 0;
}

/* Bytes that may stand nowhere in a head or a trailer but in a line end: controls other than a tab, and DEL. */
static inline bool http_is_control(char byte)
{
	const unsigned char value = (unsigned char)byte;
	return (value < 0x20 && value != '\t') || value == 0x7f;
}

/* The value of a hexadecimal digit, or -1. */
static inline int http_hex_value(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	const char lower = (char)(byte | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
