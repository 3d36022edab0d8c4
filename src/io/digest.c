/* Thread-safe; called on a loop, once a request that brings a key. */
#include "io/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum error digest_hmac(struct span secret, struct span text, uint8_t out[DIGEST_BYTES])
{
	unsigned out_len = DIGEST_BYTES;
	if (!HMAC(EVP_sha256(), secret.at, (int)secret.len, (const unsigned char *)text.at, text.len, out, &out_len))
		return ERROR_INTERNAL;
	return OK;
}

bool digest_equal(const uint8_t a[DIGEST_BYTES], const uint8_t b[DIGEST_BYTES])
{
	return CRYPTO_memcmp(a, b, DIGEST_BYTES) == 0;
}
