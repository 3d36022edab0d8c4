/* TLS 1.2 and 1.3 over OpenSSL: what a side shows and trusts. Streams (io/stream.h) do the rest; nobody else sees a handshake.
 *
 * A context is made once, read by any thread and shared by references; a connection keeps the one it began with, so that a renewed certificate
 * is a new context. A peer is one server to connect to, as one thread knows it: its name, and its last session, with which the next connection
 * is spared most of the handshake. */
#ifndef PENSTOCK_IO_TLS_H
#define PENSTOCK_IO_TLS_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct tls_context;
struct tls_peer;

struct tls_server_settings {
	const char *certificate; /* path of a PEM file: the certificate and those between it and a known authority */
	const char *key;         /* path of a PEM file, without a passphrase */
	int64_t handshake_ns;    /* a client that has not finished its handshake by then is closed */
};

/* Reads both files (blocks: not for a busy loop). ERROR_SYNTAX (no PEM, a key of another certificate), ERROR_MEMORY or what opening gave;
 * a sentence with the path, without a line end, is appended to `fault`. */
enum error tls_context_new_server(const struct tls_server_settings *settings, struct tls_context **out,
                                  struct bytes *fault);
/* Believes certificates of the authorities in that PEM file (which may be a server's own), or of the system's where it is NULL or empty. */
enum error tls_context_new_client(const char *authorities, struct tls_context **out, struct bytes *fault);
/* One more reference; returns its argument. Thread-safe, as tls_context_unref, which sets *context to NULL; NULL is fine. */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context **context);

/* host: a name or a literal, as in struct address; its certificate must be for it. Takes a reference to the context. ERROR_SYNTAX (not a host
 * that a certificate can be for), ERROR_MEMORY. */
enum error tls_peer_new(struct tls_context *client, const char *host, struct tls_peer **out);
/* Not thread-safe: a peer belongs to a loop. tls_peer_unref sets *peer to NULL; NULL is fine. */
struct tls_peer *tls_peer_ref(struct tls_peer *peer);
void tls_peer_unref(struct tls_peer **peer);
/* Handshakes that a kept session has shortened. */
unsigned tls_peer_resumptions(const struct tls_peer *peer);

#endif
