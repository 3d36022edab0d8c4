/* HMAC-SHA-256 against the test cases of RFC 4231, and comparing digests. */
#include "io/digest.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

struct known_digest {
	struct span secret;
	struct span text;
	const char *hex;
};

static char sixth_secret[131];

static const struct known_digest known[] = {
	{ SPAN("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"), SPAN("Hi There"),
	  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
	{ SPAN("Jefe"), SPAN("what do ya want for nothing?"),
	  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
	/* Test case 6: a secret longer than a block. */
	{ { sixth_secret, sizeof(sixth_secret) },
	  SPAN("Test Using Larger Than Block-Size Key - Hash Key First"),
	  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
};

START_TEST(known_texts_have_known_digests)
{
	memset(sixth_secret, 0xaa, sizeof(sixth_secret));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint8_t digest[DIGEST_BYTES];
		char hex[2 * DIGEST_BYTES + 1];
		struct digest *hmac;
		ck_error_is(digest_new(known[i].secret, &hmac), OK);
		for (int again = 0; again < 2; again++)
			ck_error_is(digest_of(hmac, known[i].text, digest), OK);
		digest_free(&hmac);
		for (size_t byte = 0; byte < DIGEST_BYTES; byte++)
			snprintf(hex + 2 * byte, 3, "%02x", digest[byte]);
		ck_assert_str_eq(hex, known[i].hex);
	}
}
END_TEST

START_TEST(digests_differ_by_any_bit)
{
	uint8_t a[DIGEST_BYTES];
	struct digest *hmac;
	ck_error_is(digest_new(SPAN("secret"), &hmac), OK);
	ck_error_is(digest_of(hmac, SPAN("key"), a), OK);
	digest_free(&hmac);
	for (size_t bit = 0; bit < 8 * DIGEST_BYTES; bit++) {
		uint8_t b[DIGEST_BYTES];
		memcpy(b, a, sizeof(b));
		ck_assert(digest_equal(a, b));
		b[bit / 8] ^= (uint8_t)(1U << bit % 8);
		ck_assert(!digest_equal(a, b));
	}
}
END_TEST

UNIT_MAIN("io/digest", known_texts_have_known_digests, digests_differ_by_any_bit)
