/* A growing byte buffer and a borrowed view of bytes: the two ways text moves through Penstock.
 *
 * Appends never return an error; a failed allocation marks the buffer, later appends do nothing, and whoever uses
 * the result asks bytes_ok() once. Not thread-safe. */
#ifndef PENSTOCK_BASE_BYTES_H
#define PENSTOCK_BASE_BYTES_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Borrowed, not terminated by NUL. at may be NULL when len is 0. */
struct span {
	const char *at;
	size_t len;
};

struct bytes {
	char *data; /* owned; NULL until the first append */
	size_t len;
	size_t capacity;
	bool failed; /* an allocation failed; the content is not complete */
};

/* A span over a NUL-terminated string (borrowed). NULL gives an empty span. */
struct span span_of(const char *text);
/* A span over a literal, length known at compile time. */
#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })
bool span_equal(struct span a, struct span b);
/* ASCII case ignored: header names, tokens. */
bool span_equal_nocase(struct span a, struct span b);
bool span_is(struct span a, const char *text);
bool span_starts_with(struct span a, struct span prefix);
/* Without spaces and tabs at both ends. */
struct span span_trim(struct span a);
/* Offset of the first `byte`, or a.len. */
size_t span_find(struct span a, char byte);
/* Decimal digits only, no sign, no spaces, no overflow past `max`. ERROR_SYNTAX or ERROR_RANGE. */
enum error span_to_u64(struct span a, uint64_t max, uint64_t *out);

/* Zero-initialised memory is a valid empty buffer, too. */
void bytes_init(struct bytes *bytes);
/* Frees the storage and leaves an empty, usable buffer. */
void bytes_fini(struct bytes *bytes);
/* Empties, keeps the storage, clears `failed`. */
void bytes_clear(struct bytes *bytes);
static inline bool bytes_ok(const struct bytes *bytes)
{
	return !bytes->failed;
}
/* Room for `more` bytes after len; false (and failed) when memory is full. */
bool bytes_reserve(struct bytes *bytes, size_t more);
void bytes_append(struct bytes *bytes, const void *data, size_t len);
void bytes_append_span(struct bytes *bytes, struct span span);
void bytes_append_text(struct bytes *bytes, const char *text);
#define bytes_append_literal(bytes, literal) bytes_append(bytes, "" literal, sizeof(literal) - 1)
void bytes_append_byte(struct bytes *bytes, char byte);
/* In decimal digits; for what is written for every request, where printf would be a good part of its cost. */
void bytes_append_number(struct bytes *bytes, int64_t number);
/* Nanoseconds as milliseconds with three decimals, rounded: 1234567 as 1.235. */
void bytes_append_ms(struct bytes *bytes, int64_t duration_ns);
/* Two lower-case digits a byte. */
void bytes_append_hex(struct bytes *bytes, const void *data, size_t len);
void bytes_printf(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bytes_vprintf(struct bytes *bytes, const char *format, va_list arguments);
/* Drops the first `count` bytes (at most len) by moving the rest down. */
void bytes_consume(struct bytes *bytes, size_t count);
struct span bytes_span(const struct bytes *bytes);
/* NUL-terminated view, valid until the next change; "" when empty or failed. */
const char *bytes_text(struct bytes *bytes);

#endif
