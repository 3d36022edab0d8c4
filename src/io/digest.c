/* The two halves of the HMAC (secret xor ipad, secret xor opad) are hashed once; a text costs a copy of each and the rest. Called on a loop, once a request
 * that brings a key. */
#include "io/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 64
#define INNER 0x36
#define OUTER 0x5C

struct digest {
	EVP_MD_CTX *inner;
	EVP_MD_CTX *outer;
	EVP_MD_CTX *work;
};

static bool begin(EVP_MD_CTX *context, const uint8_t key[BLOCK_BYTES], uint8_t pad)
{
	uint8_t block[BLOCK_BYTES];
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] = key[i] ^ pad;
	bool is_good =
		context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) && EVP_DigestUpdate(context, block, sizeof(block));
	explicit_bzero(block, sizeof(block));
	return is_good;
}

enum error digest_new(struct span secret, struct digest **out)
{
	uint8_t key[BLOCK_BYTES] = { 0 };
	struct digest *digest = calloc(1, sizeof(*digest));
	*out = digest;
	if (!digest)
		return ERROR_MEMORY;
	digest->inner = EVP_MD_CTX_new();
	digest->outer = EVP_MD_CTX_new();
	digest->work = EVP_MD_CTX_new();
	bool is_good = digest->work != NULL;
	if (secret.len > BLOCK_BYTES)
		is_good = is_good && EVP_Digest(secret.at, secret.len, key, NULL, EVP_sha256(), NULL);
	else if (secret.len)
		memcpy(key, secret.at, secret.len);
	is_good = is_good && begin(digest->inner, key, INNER) && begin(digest->outer, key, OUTER);
	explicit_bzero(key, sizeof(key));
	if (!is_good)
		digest_free(out);
	return is_good ? OK : ERROR_INTERNAL;
}

void digest_free(struct digest **digest)
{
	if (!*digest)
		return;
	EVP_MD_CTX_free((*digest)->inner);
	EVP_MD_CTX_free((*digest)->outer);
	EVP_MD_CTX_free((*digest)->work);
	free(*digest);
	*digest = NULL;
}

static bool end(EVP_MD_CTX *work, const EVP_MD_CTX *from, struct span text, uint8_t out[DIGEST_BYTES])
{
	return EVP_MD_CTX_copy_ex(work, from) && EVP_DigestUpdate(work, text.at, text.len) &&
	       EVP_DigestFinal_ex(work, out, NULL);
}

enum error digest_of(struct digest *digest, struct span text, uint8_t out[DIGEST_BYTES])
{
	uint8_t half[DIGEST_BYTES];
	bool is_good = end(digest->work, digest->inner, text, half) &&
	               end(digest->work, digest->outer, (struct span){ (const char *)half, sizeof(half) }, out);
	return is_good ? OK : ERROR_INTERNAL;
}

bool digest_equal(const uint8_t a[DIGEST_BYTES], const uint8_t b[DIGEST_BYTES])
{
	return CRYPTO_memcmp(a, b, DIGEST_BYTES) == 0;
}
