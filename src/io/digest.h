/* SHA-256 based digests for keys, over OpenSSL. */
#ifndef PENSTOCK_IO_DIGEST_H
#define PENSTOCK_IO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define DIGEST_BYTES 32

/* HMAC-SHA-256 (RFC 2104) under one secret, prepared for many texts. Belongs to one thread. */
struct digest;

/* The secret is not borrowed. ERROR_MEMORY; ERROR_INTERNAL when the library fails, as for digest_of. */
enum error digest_new(struct span secret, struct digest **out);
void digest_free(struct digest **digest);
enum error digest_of(struct digest *digest, struct span text, uint8_t out[DIGEST_BYTES]);
/* Compares in time that does not depend on where they differ. */
bool digest_equal(const uint8_t a[DIGEST_BYTES], const uint8_t b[DIGEST_BYTES]);

#endif
