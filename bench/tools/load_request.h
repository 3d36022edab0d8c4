/* The one request that load.c sends over and over. */
#ifndef PENSTOCK_BENCH_LOAD_REQUEST_H
#define PENSTOCK_BENCH_LOAD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* Head and body, as sent. */
struct request_bytes {
	char *bytes; /* owned */
	size_t count;
};

/* A chat completion whose body has about body_bytes, most of them in messages of up to 8 KB. key and headers (whole lines) may be
 * NULL. */
void request_make(struct request_bytes *request, const char *model, const char *key, const char *headers,
                  bool is_stream, size_t body_bytes);

#endif
