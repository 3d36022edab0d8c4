/* Contexts and peers: files, trust, names. Runs at start-up and reload; peers also note what handshakes bring. */
#include "io/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/tls_parts.h"

/* Forward secrecy and authenticated encryption, all of them (TLS 1.3 has no others). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* Protocol names with their lengths before them (RFC 7301). */
static const unsigned char http_1_1[] = "\x08http/1.1";

const char *tls_error_text(unsigned long error)
{
	const char *text = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);
	return text ? text : "unknown error";
}

/* ---- contexts ---- */

/* OpenSSL would ask on the terminal. */
static int refuse_passphrase(char *buffer, int size, int is_writing, void *argument)
{
	(void)buffer, (void)size, (void)is_writing, (void)argument;
	return -1;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                           unsigned offered_len, void *argument)
{
	(void)ssl, (void)argument;
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, out_len, http_1_1, sizeof(http_1_1) - 1, offered, offered_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static struct tls_context *new_context(const SSL_METHOD *method)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	if (!context)
		return NULL;
	atomic_init(&context->references, 1);
	context->ssl = SSL_CTX_new(method);
	context->wire = tls_session_wire_new();
	if (!context->ssl || !context->wire || SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(context->ssl, CIPHERS) != 1) {
		tls_context_unref(&context);
		return NULL;
	}
	SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* Buffers of a connection that is silent are given back. */
	SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(context->ssl, refuse_passphrase);
	return context;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
	return context;
}

void tls_context_unref(struct tls_context **context)
{
	struct tls_context *last = *context;
	*context = NULL;
	if (!last || atomic_fetch_sub_explicit(&last->references, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(last->ssl);
	BIO_meth_free(last->wire);
	free(last);
}

static enum error check_readable(const char *what, const char *path, struct bytes *fault)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return OK;
	}
	bytes_printf(fault, "the %s %s can't be read: %s", what, path, strerror(errno));
	return error_from_errno(errno);
}

static enum error load_certificate(struct tls_context *context, const char *path, struct bytes *fault)
{
	ERR_clear_error();
	enum error error = check_readable("certificate", path, fault);
	if (error || SSL_CTX_use_certificate_chain_file(context->ssl, path) == 1)
		return error;
	bytes_printf(fault, "the certificate %s can't be used: %s (a PEM file is expected)", path,
	             tls_error_text(ERR_peek_error()));
	return ERROR_SYNTAX;
}

/* What the file holds is never shown. */
static enum error load_key(struct tls_context *context, const struct tls_server_settings *settings, struct bytes *fault)
{
	ERR_clear_error();
	enum error error = check_readable("key", settings->key, fault);
	if (error)
		return error;
	bool is_loaded = SSL_CTX_use_PrivateKey_file(context->ssl, settings->key, SSL_FILETYPE_PEM) == 1;
	unsigned long why = ERR_peek_error();
	if (is_loaded && SSL_CTX_check_private_key(context->ssl) == 1)
		return OK;
	/* Loading compares it with the certificate, too. */
	bool is_another =
		is_loaded || (ERR_GET_LIB(why) == ERR_LIB_X509 && (ERR_GET_REASON(why) == X509_R_KEY_VALUES_MISMATCH ||
	                                                       ERR_GET_REASON(why) == X509_R_KEY_TYPE_MISMATCH));
	if (is_another)
		bytes_printf(fault, "the key %s does not belong to the certificate %s", settings->key, settings->certificate);
	else
		bytes_printf(fault, "the key %s can't be used: %s (a PEM file without a passphrase is expected)", settings->key,
		             tls_error_text(why));
	return ERROR_SYNTAX;
}

enum error tls_context_new_server(const struct tls_server_settings *settings, struct tls_context **out,
                                  struct bytes *fault)
{
	struct tls_context *context = new_context(TLS_server_method());
	if (!context)
		return ERROR_MEMORY;
	context->is_server = true;
	context->handshake_ns = settings->handshake_ns;
	SSL_CTX_set_options(context->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* Sessions are the clients' to keep, as tickets. */
	SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(context->ssl, select_protocol, NULL);
	enum error error = load_certificate(context, settings->certificate, fault);
	if (!error)
		error = load_key(context, settings, fault);
	ERR_clear_error();
	if (error)
		tls_context_unref(&context);
	*out = context;
	return error;
}

static enum error load_authorities(struct tls_context *context, const char *path, struct bytes *fault)
{
	enum error error = check_readable("list of authorities", path, fault);
	if (error)
		return error;
	if (SSL_CTX_load_verify_file(context->ssl, path) != 1) {
		bytes_printf(fault, "the list of authorities %s can't be used: %s (a PEM file is expected)", path,
		             tls_error_text(ERR_peek_error()));
		return ERROR_SYNTAX;
	}
	/* Whoever names a certificate means it, whether it is an authority's or the server's own. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ssl), X509_V_FLAG_PARTIAL_CHAIN);
	return OK;
}

enum error tls_context_new_client(const char *authorities, struct tls_context **out, struct bytes *fault)
{
	struct tls_context *context = new_context(TLS_client_method());
	if (!context)
		return ERROR_MEMORY;
	enum error error = OK;
	ERR_clear_error();
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context->ssl, tls_session_keep);
	if (SSL_CTX_set_alpn_protos(context->ssl, http_1_1, sizeof(http_1_1) - 1) != 0)
		error = ERROR_MEMORY;
	else if (authorities && *authorities)
		error = load_authorities(context, authorities, fault);
	else if (SSL_CTX_set_default_verify_paths(context->ssl) != 1)
		error = ERROR_IO;
	ERR_clear_error();
	if (error)
		tls_context_unref(&context);
	*out = context;
	return error;
}

/* ---- peers ---- */

enum error tls_peer_new(struct tls_context *client, const char *host, struct tls_peer **out)
{
	unsigned char literal[sizeof(struct in6_addr)];
	size_t len = strlen(host);
	MUST(!client->is_server);
	/* The last dot says that a name is whole; certificates go without. */
	if (len && host[len - 1] == '.')
		len--;
	if (len == 0 || len > 255 || strchr(host, '%'))
		return ERROR_SYNTAX;
	struct tls_peer *peer = calloc(1, sizeof(*peer) + len + 1);
	if (!peer)
		return ERROR_MEMORY;
	memcpy(peer->host, host, len);
	peer->references = 1;
	peer->context = tls_context_ref(client);
	peer->is_literal = inet_pton(AF_INET, peer->host, literal) == 1 || inet_pton(AF_INET6, peer->host, literal) == 1;
	*out = peer;
	return OK;
}

struct tls_peer *tls_peer_ref(struct tls_peer *peer)
{
	peer->references++;
	return peer;
}

void tls_peer_unref(struct tls_peer **peer)
{
	struct tls_peer *last = *peer;
	*peer = NULL;
	if (!last || --last->references > 0)
		return;
	SSL_SESSION_free(last->session);
	tls_context_unref(&last->context);
	free(last);
}

unsigned tls_peer_resumptions(const struct tls_peer *peer)
{
	return peer->resumptions;
}

void tls_peer_log(struct tls_peer *peer, unsigned long reason, const char *text)
{
	for (unsigned i = 0; i < TLS_REASONS_MAX; i++) {
		if (peer->logged[i] == reason)
			return;
		if (peer->logged[i] == 0) {
			peer->logged[i] = reason;
			log_line(LOG_WARNING, "no TLS connection to %s: %s", peer->host, text);
			return;
		}
	}
}
