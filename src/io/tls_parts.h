/* What tls.c and tls_session.c share. Not for others. */
#ifndef PENSTOCK_IO_TLS_PARTS_H
#define PENSTOCK_IO_TLS_PARTS_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "io/tls.h"

#define TLS_REASONS_MAX 8

struct tls_context {
	atomic_uint references;
	bool is_server;
	SSL_CTX *ssl;
	BIO_METHOD *wire; /* tls_session.c: how sessions reach their bytes */
	int64_t handshake_ns;
};

struct tls_peer {
	unsigned references;
	struct tls_context *context; /* a reference */
	SSL_SESSION *session;        /* owned; NULL: none yet */
	unsigned resumptions;
	bool is_literal;
	unsigned long logged[TLS_REASONS_MAX]; /* failures that were logged; 0: free */
	char host[];                           /* without a last dot */
};

/* Logs that the peer can't be spoken to, once a reason. */
void tls_peer_log(struct tls_peer *peer, unsigned long reason, const char *text);
/* OpenSSL's reason for an error of its queue; never NULL. */
const char *tls_error_text(unsigned long error);

/* ---- tls_session.c ---- */

/* How a session reaches its bytes: a BIO over the input that it was given and the output that it appends to. NULL: out of memory. */
BIO_METHOD *tls_session_wire_new(void);
/* OpenSSL's callback for a session that can be resumed: the peer keeps it. */
int tls_session_keep(SSL *ssl, SSL_SESSION *session);

#endif
