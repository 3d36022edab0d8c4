/* Writing JSON text. The output is always valid, whatever the input: what cannot be written is replaced. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"

static void write_escape(struct bytes *out, char byte)
{
	switch (byte) {
	case '"':
		bytes_append_text(out, "\\\"");
		break;
	case '\\':
		bytes_append_text(out, "\\\\");
		break;
	case '\b':
		bytes_append_text(out, "\\b");
		break;
	case '\f':
		bytes_append_text(out, "\\f");
		break;
	case '\n':
		bytes_append_text(out, "\\n");
		break;
	case '\r':
		bytes_append_text(out, "\\r");
		break;
	case '\t':
		bytes_append_text(out, "\\t");
		break;
	default:
		bytes_printf(out, "\\u%04x", (unsigned)(unsigned char)byte);
		break;
	}
}

/* How many bytes of a malformed sequence one U+FFFD stands for: the longest prefix that could have begun a character
 * (Unicode 15, 3.9, "maximal subpart"), which is what browsers and Python do. */
static size_t malformed_len(const char *at, const char *end)
{
	char sequence[4];
	const size_t left = (size_t)(end - at) < 3 ? (size_t)(end - at) : 3;
	for (size_t len = left; len > 1; len--) {
		/* Only the second byte of a character has a range of its own, and it is in the prefix: 0x80 stands for the
		 * rest. */
		memset(sequence, 0x80, sizeof(sequence));
		memcpy(sequence, at, len);
		if (json_utf8_len(sequence, sequence + sizeof(sequence)) > len)
			return len;
	}
	return 1;
}

void json_write_string(struct bytes *out, struct span text)
{
	bytes_append_byte(out, '"');
	const char *end = text.len == 0 ? text.at : text.at + text.len;
	const char *at = text.at;
	while (at != end) {
		const char *run = at;
		at = json_skip_plain(at, end);
		bytes_append(out, run, (size_t)(at - run));
		if (at == end)
			break;
		if ((unsigned char)*at < 0x80) {
			write_escape(out, *at++);
			continue;
		}
		const size_t len = json_utf8_len(at, end);
		bytes_append(out, len > 0 ? at : "\xef\xbf\xbd", len > 0 ? len : 3);
		at += len > 0 ? len : malformed_len(at, end);
	}
	bytes_append_byte(out, '"');
}

/* printf writes 1e+20 and 1e-07; 1e20 and 1e-7 mean the same. */
static void append_short_exponent(struct bytes *out, const char *text)
{
	const char *exponent = strchr(text, 'e');
	if (exponent == NULL) {
		bytes_append_text(out, text);
		return;
	}
	bytes_append(out, text, (size_t)(exponent - text) + 1);
	if (exponent[1] == '-')
		bytes_append_byte(out, '-');
	const char *digits = exponent + 2;
	bytes_append_text(out, digits + strspn(digits, "0"));
}

void json_write_double(struct bytes *out, double value)
{
	if (!isfinite(value)) {
		bytes_append_text(out, "null");
		return;
	}
	char text[32];
	/* Any decimal of up to 15 digits survives a double, so 15 digits are the shortest or too few. Subnormals hold
	 * fewer digits, and start at one. */
	for (int digits = isnormal(value) || value == 0 ? 15 : 1; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	append_short_exponent(out, text);
}
