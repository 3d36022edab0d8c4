/* JSON without a document tree: one validating pass over the text that records where every value stands.
 *
 * The text stays the caller's; nodes are offsets into it, so edits are splices and numbers stay byte-exact.
 * Strict RFC 8259: UTF-8 checked, depth limited, no recursion. Duplicate keys stay visible; the caller decides. */
#ifndef PENSTOCK_BASE_JSON_H
#define PENSTOCK_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* No such node. The root is node 0, so 0 is never a member's value. */
#define JSON_NONE 0u
#define JSON_ROOT 0u

/* [start, end) in the text, quotes and brackets included. Members of an object are key, value, key, value, ... */
struct json_node {
	uint32_t start;
	uint32_t end;
	uint32_t next;  /* the node after this one's subtree */
	uint32_t count; /* elements of an array, members of an object */
	uint8_t type;   /* enum json_type */
	bool escaped;   /* a string that holds a backslash */
};

struct json {
	const char *text; /* borrowed; must outlive this */
	size_t len;
	struct json_node *nodes; /* owned */
	uint32_t count;
	uint32_t capacity;
};

/* Where and why a text is not JSON. */
struct json_fault {
	size_t offset;
	const char *reason; /* static text */
};

/* Validates the whole text and records its nodes. depth_max: nesting allowed (1 = a flat object or array).
 * ERROR_SYNTAX (fault filled when not NULL), ERROR_LIMIT (depth, or a text of 4 GiB), ERROR_MEMORY. The nodes'
 * storage of an earlier parse in *json is reused; zeroed memory is fine. Call json_fini at the end, also after an
 * error. */
enum error json_parse(struct json *json, const char *text, size_t len, unsigned depth_max, struct json_fault *fault);
void json_fini(struct json *json);

/* The value of `key` in the object at `node`; JSON_NONE when absent or not an object. The first one counts.
 * Keys with escapes are compared decoded. */
uint32_t json_get(const struct json *json, uint32_t node, const char *key);
/* First child (a key for an object) or JSON_NONE when empty or a scalar; then json_next until JSON_NONE. */
uint32_t json_first(const struct json *json, uint32_t node);
/* The sibling after `child` inside `parent`; for an object that is value after key, next key after value. */
uint32_t json_next(const struct json *json, uint32_t parent, uint32_t child);
enum json_type json_type(const struct json *json, uint32_t node);
/* The bytes of the value as they stand in the text. */
struct span json_raw(const struct json *json, uint32_t node);
/* The decoded string: borrowed from the text when nothing is escaped, else copied into the arena (and NUL-terminated).
 * ERROR_SYNTAX when not a string; a lone surrogate becomes U+FFFD. */
enum error json_string(const struct json *json, uint32_t node, struct arena *arena, struct span *out);
/* ERROR_SYNTAX when not a number; ERROR_RANGE when it is not finite. */
enum error json_double(const struct json *json, uint32_t node, double *out);
/* Accepts an integer, also when written 5.0 or 5e0. ERROR_SYNTAX (not an integer), ERROR_RANGE. */
enum error json_int64(const struct json *json, uint32_t node, int64_t *out);

/* Writes `text` as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void json_write_string(struct bytes *out, struct span text);
/* The shortest text that reads back as `value`; null when not finite. */
void json_write_double(struct bytes *out, double value);

#endif
