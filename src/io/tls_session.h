/* One side of one TLS connection, bytes in, bytes out: no socket, no loop. For stream_tls.c. */
#ifndef PENSTOCK_IO_TLS_SESSION_H
#define PENSTOCK_IO_TLS_SESSION_H

#include <stdbool.h>

#include "io/tls.h"

/* The most plain bytes of one record. */
#define TLS_RECORD_BYTES 16384

struct tls_session;

/* output: borrowed for the session's life; what is to be sent is appended, and whoever calls takes it out. */
enum error tls_session_new_client(struct tls_peer *peer, struct bytes *output, struct tls_session **out);
enum error tls_session_new_server(const struct tls_context *context, struct bytes *output, struct tls_session **out);
void tls_session_free(struct tls_session **session);

/* Bytes that came; borrowed until they are used up (tls_session_left) or replaced. */
void tls_session_give(struct tls_session *session, struct span input);
struct span tls_session_left(const struct tls_session *session);

/* OK: done. ERROR_BUSY: more input is needed. ERROR_TLS: it failed; a client's side has logged why, and output may hold an alert. */
enum error tls_session_handshake(struct tls_session *session);
/* After the handshake: the next bytes, at least one; with a buffer of TLS_RECORD_BYTES nothing stays behind that input would not show.
 * ERROR_BUSY: more input is needed. ERROR_CLOSED: the other side has ended in order. ERROR_TLS. */
enum error tls_session_read(struct tls_session *session, char *data, size_t size, size_t *len);
/* All of it, in records. ERROR_TLS, ERROR_MEMORY: the connection can't go on. */
enum error tls_session_write(struct tls_session *session, const char *data, size_t len);
/* close_notify. ERROR_TLS: too early, or too late. */
enum error tls_session_end(struct tls_session *session);

#endif
