/* What every fuzz target needs. A target is one function that feeds its input to a parser, and checks with MUST what must
 * hold whatever the input is; libFuzzer brings main and reports an abort, a sanitizer's finding or a hang. */
#ifndef PENSTOCK_TEST_FUZZ_H
#define PENSTOCK_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly `len` bytes, so that the address sanitizer sees a read past the end. Freed by the caller. */
static inline char *exact_copy(const void *data, size_t len)
{
	char *copy = malloc(len == 0 ? 1 : len);
	MUST(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

static inline bool is_inside(struct span inner, const char *data, size_t len)
{
	return inner.len == 0 || (inner.at >= data && inner.at + inner.len <= data + len);
}

#endif
