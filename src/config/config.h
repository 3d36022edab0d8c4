/* The configuration: one YAML file, read against the table in config.def into one struct that never changes.
 *
 * Whoever holds a reference may read it from any thread; a reload makes a new one. Loading reports every fault it finds,
 * each with its place. */
#ifndef PENSTOCK_CONFIG_CONFIG_H
#define PENSTOCK_CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

/* A file over it is refused. */
#define CONFIG_FILE_BYTES_MAX (1u << 20)
/* Value of an INTEGER key for which the file says `auto`. */
#define CONFIG_AUTO INT64_C(-1)

/* Values of promise.kind, in the order of its .choices. */
enum promise_kind { PROMISE_KIND_NONE, PROMISE_KIND_LATENCY, PROMISE_KIND_QUALITY, PROMISE_KIND_COST };
/* Values of shape.trim. */
enum shape_trim { SHAPE_TRIM_NONE, SHAPE_TRIM_OLDEST_TURNS };
/* Values of promise.per. */
enum promise_unit { PROMISE_PER_REQUEST, PROMISE_PER_CONVERSATION, PROMISE_PER_DOCUMENT, PROMISE_PER_ACTION };

/* Values of upstream.kind, in the order of its .choices. */
enum upstream_kind {
	UPSTREAM_OPENAI,
	UPSTREAM_VLLM,
	UPSTREAM_SGLANG,
	UPSTREAM_LLAMA_SERVER,
	UPSTREAM_PENSTOCK,
	UPSTREAM_ANTHROPIC
};

struct string_list {
	const char *const *items; /* NUL-terminated, none NULL */
	size_t count;
};

/* The C type of each type of key. */
#define CONFIG_C_STRING const char * /* never NULL */
#define CONFIG_C_BOOLEAN bool
#define CONFIG_C_INTEGER int64_t /* CONFIG_AUTO for `auto` */
#define CONFIG_C_NUMBER double
#define CONFIG_C_SHARE double     /* [0, 1]; written as 5% */
#define CONFIG_C_DURATION int64_t /* nanoseconds */
#define CONFIG_C_SIZE int64_t     /* bytes */
#define CONFIG_C_STRING_LIST struct string_list
#define CONFIG_C_CHOICE int /* index in .choices */

#define CONFIG_FIELD(type, field, ...) CONFIG_C_##type field;

/* One entry of `keys:`. */
struct key_config {
	unsigned line; /* of the file, from 1 */
#define KEY_key CONFIG_FIELD
#include "config/config.def"
};

/* One entry of `pools:`. */
struct pool_config {
	const char *name;
	unsigned line;
#define KEY_pool CONFIG_FIELD
#include "config/config.def"
};

/* One entry of `routes:`; its name is the model name that clients send. */
struct route_config {
	const char *name;
	unsigned line;
#define KEY_route CONFIG_FIELD
#include "config/config.def"
};

/* Everything in it lives as long as the last reference. */
struct config {
#define KEY_root CONFIG_FIELD
#include "config/config.def"
	struct key_config *keys;
	size_t key_count;
	struct pool_config *pools; /* in the order of the file */
	size_t pool_count;
	struct route_config *routes; /* in the order of the file */
	size_t route_count;

	struct arena arena;     /* private: holds every text and array */
	atomic_uint references; /* private */
};

#undef CONFIG_FIELD

/* Reads and checks the file. OK: *out has one reference, the caller's. Else *out is NULL and every fault was appended to `faults`,
 * one line each, "file:line:col: path: what": ERROR_SYNTAX (what the file says is wrong), ERROR_LIMIT (over CONFIG_FILE_BYTES_MAX),
 * ERROR_MEMORY, or what opening and reading it gave. */
enum error config_load(const char *path, struct config **out, struct bytes *faults);
/* The same for a text in memory; `name` stands for the file's in the faults. The text may go afterwards. */
enum error config_parse(const char *text, size_t len, const char *name, struct config **out, struct bytes *faults);

/* One more reference; returns its argument. */
struct config *config_ref(struct config *config);
/* Gives a reference back and sets the pointer to NULL; the last one frees. NULL inside is fine. */
void config_unref(struct config **config);

/* NULL when there is none of that name. Borrowed from the config. */
const struct pool_config *config_pool(const struct config *config, struct span name);
const struct route_config *config_route(const struct config *config, struct span name);

/* The reference page, Markdown: a table for each section, from config.def. Keys of test builds are left out. */
void config_write_reference(struct bytes *out);

#endif
