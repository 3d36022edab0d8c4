/* What the readers of JSON lines share. */
#ifndef PENSTOCK_REPLAY_READ_JSONL_H
#define PENSTOCK_REPLAY_READ_JSONL_H

#include "base/json.h"
#include "replay/readers.h"

/* One row from a line that is an object; context is the reader's own. */
typedef enum error jsonl_row(const struct json *json, const void *context, struct workload *workload);

/* Calls `row` for each line with something on it; one that is no object is dropped. */
enum error jsonl_read(struct lines *lines, jsonl_row *row, const void *context, struct workload *workload);
/* Is it an object with all of these members? NULL ends the names. */
bool jsonl_has(struct span line, const char *const *names);
/* A whole number of 0 or more that fits; false: absent or another. */
bool jsonl_count(const struct json *json, uint32_t node, const char *name, uint32_t *out);
/* A number times unit_ns; false as above, or beyond 100 years. */
bool jsonl_time(const struct json *json, const char *name, double unit_ns, int64_t *out_ns);
/* The bytes of a string without escapes; empty where there is none. */
struct span jsonl_text(const struct json *json, const char *name);

#endif
