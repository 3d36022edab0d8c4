/* What the stub reads of a request: its sizes, and two flags. Used by stub.c alone. */
#ifndef PENSTOCK_BENCH_STUB_REQUEST_H
#define PENSTOCK_BENCH_STUB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* False while the head isn't whole; then the bytes of the head, and of it and the body. */
bool request_sizes(const char *bytes, size_t count, size_t *head_bytes, size_t *request_bytes);
/* Is `name` in the body, and true? It is looked for at both ends alone, so that a long prompt costs nothing. */
bool request_says(const char *body, size_t bytes, const char *name);

#endif
