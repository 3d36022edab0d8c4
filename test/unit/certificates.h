/* Certificates made for a test, in a folder of its own. */
#ifndef PENSTOCK_TEST_CERTIFICATES_H
#define PENSTOCK_TEST_CERTIFICATES_H

#include "unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S (24 * 3600)

struct certificate {
	X509 *x509;
	EVP_PKEY *key;
	char certificate_path[64];
	char key_path[64];
};

static char certificate_folder[32];

static inline void certificate_extend(X509 *x509, X509 *issuer, int kind, const char *text)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, text);
	ck_assert_ptr_nonnull(extension);
	ck_assert_int_eq(X509_add_ext(x509, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* names: "DNS:a.test,IP:127.0.0.1", or NULL for an authority. issuer: NULL for one that signs itself. Valid from now for `seconds`, until then
 * where they are negative. */
static inline void certificate_make(struct certificate *out, const char *file, const char *names,
                                    const struct certificate *issuer, long seconds)
{
	static long serial = 1;
	const struct certificate *signer = issuer ? issuer : out;
	if (!*certificate_folder) {
		snprintf(certificate_folder, sizeof(certificate_folder), "/tmp/penstock-tls-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(certificate_folder));
	}
	*out = (struct certificate){ .x509 = X509_new(), .key = EVP_EC_gen("P-256") };
	X509_set_version(out->x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(out->x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(out->x509), seconds < 0 ? seconds - DAY_S : -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(out->x509), seconds);
	X509_set_pubkey(out->x509, out->key);
	X509_NAME *name = X509_get_subject_name(out->x509);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)file, -1, -1, 0);
	X509_set_issuer_name(out->x509, X509_get_subject_name(signer->x509));
	if (names)
		certificate_extend(out->x509, signer->x509, NID_subject_alt_name, names);
	else
		certificate_extend(out->x509, signer->x509, NID_basic_constraints, "critical,CA:TRUE");
	ck_assert_int_gt(X509_sign(out->x509, signer->key, EVP_sha256()), 0);
	snprintf(out->certificate_path, sizeof(out->certificate_path), "%s/%s.pem", certificate_folder, file);
	snprintf(out->key_path, sizeof(out->key_path), "%s/%s.key", certificate_folder, file);
	FILE *certificate_file = fopen(out->certificate_path, "w");
	FILE *key_file = fopen(out->key_path, "w");
	ck_assert(PEM_write_X509(certificate_file, out->x509) == 1 &&
	          PEM_write_PrivateKey(key_file, out->key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(certificate_file);
	fclose(key_file);
}

static inline void certificate_end(struct certificate *certificate)
{
	X509_free(certificate->x509);
	EVP_PKEY_free(certificate->key);
	unlink(certificate->certificate_path);
	unlink(certificate->key_path);
	if (rmdir(certificate_folder) == 0) /* with the last */
		*certificate_folder = '\0';
}

#endif
