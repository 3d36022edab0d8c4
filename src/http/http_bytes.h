/* Which bytes may stand where in a message, and the fast scans for them. Only the parsers of this folder include it. */
#ifndef PENSTOCK_HTTP_HTTP_BYTES_H
#define PENSTOCK_HTTP_HTTP_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* The first control byte, tabs included, at or after `at`; or end. */
static inline const char *http_find_control(const char *at, const char *end)
{
#ifdef __SSE2__
	const __m128i highest = _mm_set1_epi8(0x1f);
	const __m128i delete = _mm_set1_epi8(0x7f);
	while (end - at >= 16) {
		const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)at);
		const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(text, highest), text);
		const int mask = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(text, delete)));
		if (mask != 0)
			return at + __builtin_ctz((unsigned)mask);
		at += 16;
	}
#endif
	while (at < end && !http_is_control(*at) && *at != '\t')
		at++;
	return at;
}

/* Behind the token at `at`. Letters, digits and dashes, which names are made of, 16 at a time. */
static inline const char *http_skip_token(const char *at, const char *end)
{
#ifdef __SSE2__
	int plain = 0xffff;
	while (plain == 0xffff && end - at >= 16) {
		const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)at);
		const __m128i lower = _mm_or_si128(text, _mm_set1_epi8(0x20));
		const __m128i letters =
			_mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(lower, _mm_set1_epi8('z' + 1)));
		const __m128i digits =
			_mm_and_si128(_mm_cmpgt_epi8(text, _mm_set1_epi8('0' - 1)), _mm_cmplt_epi8(text, _mm_set1_epi8('9' + 1)));
		const __m128i dashes = _mm_cmpeq_epi8(text, _mm_set1_epi8('-'));
		plain = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letters, digits), dashes));
		at += __builtin_ctz(~(unsigned)plain);
	}
#endif
	while (at < end && http_is(*at, HTTP_TOKEN))
		at++;
	return at;
}

#endif
