/* What the reader and the writer of JSON both know about strings. Only json*.c include this. */
#ifndef PENSTOCK_BASE_JSON_TEXT_H
#define PENSTOCK_BASE_JSON_TEXT_H

#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline int json_is_plain(char byte)
{
	const unsigned char value = (unsigned char)byte;
	return value >= 0x20 && value < 0x80 && value != '"' && value != '\\';
}

/* The first byte at or after `at` that a string may not simply hold: quote, backslash, control or non-ASCII; or end. */
static inline const char *json_skip_plain(const char *at, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');
	while (end - at >= 16) {
		const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)at);
		/* Bytes are signed here: below ' ' are control bytes and everything with the high bit. */
		const __m128i special = _mm_or_si128(
			_mm_cmplt_epi8(text, space), _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, backslash)));
		const int mask = _mm_movemask_epi8(special);
		if (mask != 0)
			return at + __builtin_ctz((unsigned)mask);
		at += 16;
	}
#endif
	while (at < end && json_is_plain(*at))
		at++;
	return at;
}

/* Bytes of the well-formed UTF-8 sequence at `at`, 2 to 4, whose first byte has the high bit; 0 when it is malformed.
 * Source: Unicode 15, table 3-7. */
static inline size_t json_utf8_len(const char *at, const char *end)
{
	const unsigned char *byte = (const unsigned char *)at;
	const size_t left = (size_t)(end - at);
	const unsigned char first = byte[0];
	if (first < 0xc2 || first > 0xf4 || left < 2)
		return 0;
	if (first < 0xe0)
		return (byte[1] & 0xc0) == 0x80 ? 2 : 0;
	const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (byte[1] < low || byte[1] > high || left < 3 || (byte[2] & 0xc0) != 0x80)
		return 0;
	if (first < 0xf0)
		return 3;
	return left >= 4 && (byte[3] & 0xc0) == 0x80 ? 4 : 0;
}

#endif
