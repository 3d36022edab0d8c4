/* An SSL between two spans of memory. Its BIO reads straight from what the socket gave and writes straight into what the socket will get, so
 * that ciphertext is copied once a way, into OpenSSL's records and out of them. */
#include "io/tls_session.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/tls_parts.h"

struct tls_session {
	SSL *ssl;
	struct tls_context *context; /* a reference: its BIO_METHOD is in use */
	struct tls_peer *peer;       /* a reference; NULL on a server's side */
	struct span input;           /* borrowed */
	struct bytes *output;        /* borrowed */
	bool is_open;                /* the handshake is done */
	bool is_broken;
};

/* ---- the wire ---- */

static int wire_read(BIO *bio, char *data, int size)
{
	struct tls_session *session = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (session->input.len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	size_t len = session->input.len < (size_t)size ? session->input.len : (size_t)size;
	memcpy(data, session->input.at, len);
	session->input = (struct span){ session->input.at + len, session->input.len - len };
	return (int)len;
}

static int wire_write(BIO *bio, const char *data, int len)
{
	struct tls_session *session = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	bytes_append(session->output, data, (size_t)len);
	return bytes_ok(session->output) ? len : -1;
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static int wire_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

BIO_METHOD *tls_session_wire_new(void)
{
	BIO_METHOD *wire = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "penstock");
	if (!wire)
		return NULL;
	if (BIO_meth_set_read(wire, wire_read) == 1 && BIO_meth_set_write(wire, wire_write) == 1 &&
	    BIO_meth_set_ctrl(wire, wire_control) == 1 && BIO_meth_set_create(wire, wire_create) == 1)
		return wire;
	BIO_meth_free(wire);
	return NULL;
}

/* ---- life ---- */

static enum error new_session(struct tls_context *context, struct bytes *output, struct tls_session **out)
{
	struct tls_session *session = calloc(1, sizeof(*session));
	if (!session)
		return ERROR_MEMORY;
	session->context = tls_context_ref(context);
	session->output = output;
	ERR_clear_error();
	session->ssl = SSL_new(context->ssl);
	BIO *bio = session->ssl ? BIO_new(context->wire) : NULL;
	if (!bio) {
		tls_session_free(&session);
		return ERROR_MEMORY;
	}
	BIO_set_data(bio, session);
	SSL_set_bio(session->ssl, bio, bio);
	SSL_set_app_data(session->ssl, session);
	*out = session;
	return OK;
}

enum error tls_session_new_server(const struct tls_context *context, struct bytes *output, struct tls_session **out)
{
	MUST(context->is_server);
	/* References are counted in what is otherwise only read. */
	enum error error = new_session((struct tls_context *)(uintptr_t)context, output, out);
	if (!error)
		SSL_set_accept_state((*out)->ssl);
	return error;
}

/* Whom the certificate must be for. */
static bool expect_host(SSL *ssl, const struct tls_peer *peer)
{
	X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);
	X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (peer->is_literal)
		return X509_VERIFY_PARAM_set1_ip_asc(wanted, peer->host) == 1;
	return X509_VERIFY_PARAM_set1_host(wanted, peer->host, 0) == 1 && SSL_set_tlsext_host_name(ssl, peer->host) == 1;
}

enum error tls_session_new_client(struct tls_peer *peer, struct bytes *output, struct tls_session **out)
{
	struct tls_session *session;
	enum error error = new_session(peer->context, output, &session);
	if (error)
		return error;
	session->peer = tls_peer_ref(peer);
	SSL_set_connect_state(session->ssl);
	if (!expect_host(session->ssl, peer) || (peer->session && SSL_set_session(session->ssl, peer->session) != 1)) {
		tls_session_free(&session);
		return ERROR_MEMORY;
	}
	*out = session;
	return OK;
}

void tls_session_free(struct tls_session **session_slot)
{
	struct tls_session *session = *session_slot;
	if (!session)
		return;
	*session_slot = NULL;
	/* Else OpenSSL takes the connection for one that went wrong, and its session for one not to be resumed. */
	if (session->is_open && !session->is_broken)
		SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(session->ssl);
	tls_peer_unref(&session->peer);
	tls_context_unref(&session->context);
	free(session);
}

int tls_session_keep(SSL *ssl, SSL_SESSION *kept)
{
	const struct tls_session *session = SSL_get_app_data(ssl);
	SSL_SESSION_free(session->peer->session);
	session->peer->session = kept;
	return 1; /* the reference is ours */
}

/* ---- bytes ---- */

void tls_session_give(struct tls_session *session, struct span input)
{
	session->input = input;
}

struct span tls_session_left(const struct tls_session *session)
{
	return session->input;
}

static void log_failure(struct tls_session *session)
{
	long verdict = SSL_get_verify_result(session->ssl);
	unsigned long error = ERR_peek_error();
	if (!session->peer)
		/* Scanners and plain HTTP: anybody's doing, not worth a line that is read. */
		log_line(LOG_DEBUG, "a client's TLS connection failed: %s", tls_error_text(error));
	else if (!session->is_open && verdict != X509_V_OK)
		/* Reasons of verification and of the library count apart: the library's have its number in front. */
		tls_peer_log(session->peer, (unsigned long)verdict, X509_verify_cert_error_string(verdict));
	else
		tls_peer_log(session->peer, error ? error : ULONG_MAX, tls_error_text(error));
}

static enum error result_of(struct tls_session *session, int returned)
{
	switch (SSL_get_error(session->ssl, returned)) {
	case SSL_ERROR_NONE:
		return OK;
	case SSL_ERROR_WANT_READ:
		return ERROR_BUSY;
	case SSL_ERROR_ZERO_RETURN:
		return ERROR_CLOSED;
	default:
		session->is_broken = true;
		if (!bytes_ok(session->output))
			return ERROR_MEMORY;
		log_failure(session);
		ERR_clear_error();
		return ERROR_TLS;
	}
}

enum error tls_session_handshake(struct tls_session *session)
{
	if (session->is_broken)
		return ERROR_TLS;
	ERR_clear_error();
	enum error error = result_of(session, SSL_do_handshake(session->ssl));
	if (error == ERROR_CLOSED) {
		/* Before anything was agreed on, anybody could have said so. */
		session->is_broken = true;
		error = ERROR_TLS;
	}
	session->is_open = !error;
	if (session->peer && !error && SSL_session_reused(session->ssl))
		session->peer->resumptions++;
	if (session->peer && error && error != ERROR_BUSY) {
		/* It may have been the session that they could not agree on. */
		SSL_SESSION_free(session->peer->session);
		session->peer->session = NULL;
	}
	return error;
}

enum error tls_session_read(struct tls_session *session, char *data, size_t size, size_t *len)
{
	if (!session->is_open || session->is_broken)
		return ERROR_TLS;
	ERR_clear_error();
	return result_of(session, SSL_read_ex(session->ssl, data, size, len));
}

enum error tls_session_write(struct tls_session *session, const char *data, size_t len)
{
	size_t written = 0;
	if (!session->is_open || session->is_broken)
		return ERROR_TLS;
	ERR_clear_error();
	enum error error = result_of(session, SSL_write_ex(session->ssl, data, len, &written));
	if (error == ERROR_BUSY || error == ERROR_CLOSED) {
		session->is_broken = true;
		error = ERROR_TLS;
	}
	return error;
}

enum error tls_session_end(struct tls_session *session)
{
	if (!session->is_open || session->is_broken)
		return ERROR_TLS;
	ERR_clear_error();
	/* 0: sent, and theirs has not come; we do not wait for it. */
	return SSL_shutdown(session->ssl) < 0 ? result_of(session, -1) : OK;
}
