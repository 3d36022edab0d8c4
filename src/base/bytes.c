/* Growing buffers double, so appends cost amortised constant time. The storage has no hidden byte for a NUL:
 * bytes_text makes room when somebody asks. */
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 64

struct span span_of(const char *text)
{
	if (text == NULL)
		return (struct span){ 0 };
	return (struct span){ text, strlen(text) };
}

bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* By hand, because tolower asks the locale. */
static unsigned char lower(char byte)
{
	const unsigned char value = (unsigned char)byte;
	return value >= 'A' && value <= 'Z' ? (unsigned char)(value + ('a' - 'A')) : value;
}

bool span_equal_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	}
	return true;
}

bool span_is(struct span a, const char *text)
{
	return span_equal(a, span_of(text));
}

bool span_starts_with(struct span a, struct span prefix)
{
	return a.len >= prefix.len && span_equal((struct span){ a.at, prefix.len }, prefix);
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

struct span span_trim(struct span a)
{
	while (a.len > 0 && is_blank(a.at[0])) {
		a.at++;
		a.len--;
	}
	while (a.len > 0 && is_blank(a.at[a.len - 1]))
		a.len--;
	return a;
}

size_t span_find(struct span a, char byte)
{
	if (a.len == 0)
		return 0;
	const char *found = memchr(a.at, byte, a.len);
	return found == NULL ? a.len : (size_t)(found - a.at);
}

enum error span_to_u64(struct span a, uint64_t max, uint64_t *out)
{
	if (a.len == 0)
		return ERROR_SYNTAX;
	uint64_t value = 0;
	bool over = false;
	for (size_t i = 0; i < a.len; i++) {
		const unsigned digit = (unsigned)(unsigned char)a.at[i] - '0';
		if (digit > 9)
			return ERROR_SYNTAX;
		/* Goes on after an overflow, because a stray letter behind it is the better message. */
		over = over || __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value);
	}
	if (over || value > max)
		return ERROR_RANGE;
	*out = value;
	return OK;
}

void bytes_init(struct bytes *bytes)
{
	*bytes = (struct bytes){ 0 };
}

void bytes_fini(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){ 0 };
}

void bytes_clear(struct bytes *bytes)
{
	bytes->len = 0;
	bytes->failed = false;
}

static bool grow(struct bytes *bytes, size_t needed)
{
	size_t capacity = bytes->capacity < CAPACITY_FIRST ? CAPACITY_FIRST : bytes->capacity;
	while (capacity < needed) {
		if (capacity > SIZE_MAX / 2)
			return false;
		capacity *= 2;
	}
	char *data = realloc(bytes->data, capacity);
	if (data == NULL)
		return false;
	bytes->data = data;
	bytes->capacity = capacity;
	return true;
}

bool bytes_reserve(struct bytes *bytes, size_t more)
{
	if (bytes->failed)
		return false;
	if (more <= bytes->capacity - bytes->len)
		return true;
	size_t needed;
	if (__builtin_add_overflow(bytes->len, more, &needed) || !grow(bytes, needed))
		bytes->failed = true;
	return !bytes->failed;
}

void bytes_append(struct bytes *bytes, const void *data, size_t len)
{
	if (len == 0 || !bytes_reserve(bytes, len))
		return;
	memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
}

void bytes_append_span(struct bytes *bytes, struct span span)
{
	bytes_append(bytes, span.at, span.len);
}

void bytes_append_text(struct bytes *bytes, const char *text)
{
	bytes_append_span(bytes, span_of(text));
}

void bytes_append_byte(struct bytes *bytes, char byte)
{
	bytes_append(bytes, &byte, 1);
}

/* Writes the digits of a number, at least `width` of them, before `end`; returns where they begin. */
static char *write_digits(char *end, uint64_t number, int width)
{
	char *at = end;
	for (int i = 0; i < width || number; i++) {
		*--at = (char)('0' + number % 10);
		number /= 10;
	}
	return at;
}

void bytes_append_number(struct bytes *bytes, int64_t number)
{
	char text[24];
	/* Unsigned, so that the most negative one has a magnitude. */
	const uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	char *at = write_digits(text + sizeof(text), magnitude, 1);
	if (number < 0)
		*--at = '-';
	bytes_append(bytes, at, (size_t)(text + sizeof(text) - at));
}

void bytes_append_ms(struct bytes *bytes, int64_t duration_ns)
{
	char text[32];
	const bool is_negative = duration_ns < 0;
	const uint64_t magnitude = is_negative ? 0 - (uint64_t)duration_ns : (uint64_t)duration_ns;
	const uint64_t us = magnitude / 1000 + (magnitude % 1000 >= 500);
	char *at = write_digits(text + sizeof(text), us % 1000, 3);
	*--at = '.';
	at = write_digits(at, us / 1000, 1);
	if (is_negative)
		*--at = '-';
	bytes_append(bytes, at, (size_t)(text + sizeof(text) - at));
}

void bytes_append_hex(struct bytes *bytes, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = data;
	if (len > SIZE_MAX / 2 || !bytes_reserve(bytes, 2 * len))
		return;
	for (size_t i = 0; i < len; i++) {
		bytes->data[bytes->len++] = digits[from[i] >> 4];
		bytes->data[bytes->len++] = digits[from[i] & 15];
	}
}

void bytes_printf(struct bytes *bytes, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	bytes_vprintf(bytes, format, arguments);
	va_end(arguments);
}

void bytes_vprintf(struct bytes *bytes, const char *format, va_list arguments)
{
	if (!bytes_reserve(bytes, 1))
		return;
	va_list again;
	va_copy(again, arguments);
	const size_t room = bytes->capacity - bytes->len;
	const int len = vsnprintf(bytes->data + bytes->len, room, format, arguments);
	if (len < 0) {
		bytes->failed = true;
	} else if ((size_t)len < room) {
		bytes->len += (size_t)len;
	} else if (bytes_reserve(bytes, (size_t)len + 1)) {
		(void)vsnprintf(bytes->data + bytes->len, (size_t)len + 1, format, again);
		bytes->len += (size_t)len;
	}
	va_end(again);
}

void bytes_consume(struct bytes *bytes, size_t count)
{
	const size_t taken = count < bytes->len ? count : bytes->len;
	if (taken == 0)
		return;
	bytes->len -= taken;
	memmove(bytes->data, bytes->data + taken, bytes->len);
}

struct span bytes_span(const struct bytes *bytes)
{
	return (struct span){ bytes->data, bytes->len };
}

const char *bytes_text(struct bytes *bytes)
{
	if (bytes->len == 0 || !bytes_reserve(bytes, 1))
		return "";
	bytes->data[bytes->len] = '\0';
	return bytes->data;
}
