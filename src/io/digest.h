/* SHA-256 based digests for keys, over OpenSSL. */
#ifndef PENSTOCK_IO_DIGEST_H
#define PENSTOCK_IO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define DIGEST_BYTES 32

/* HMAC-SHA-256 (RFC 2104). ERROR_INTERNAL when the library fails. */
enum error digest_hmac(struct span secret, struct span text, uint8_t out[DIGEST_BYTES]);
/* Compares in time that does not depend on where they differ. */
bool digest_equal(const uint8_t a[DIGEST_BYTES], const uint8_t b[DIGEST_BYTES]);

#endif
