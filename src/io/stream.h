/* One byte connection over TCP or a Unix socket: reads are pushed, writes never block, back-pressure is a number. With TLS inside, if asked
 * for: its owner sees plain bytes all the same.
 *
 * Belongs to its loop's thread. Callbacks come from the loop, never from inside a call on the same stream, but for on_close, which
 * never comes after stream_close. */
#ifndef PENSTOCK_IO_STREAM_H
#define PENSTOCK_IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"
#include "io/tls.h"

struct stream;

struct stream_events {
	/* A connection made by stream_connect is up, its TLS handshake included. May be NULL. */
	void (*on_open)(void *owner);
	/* Bytes came; borrowed for the call. The owner may close the stream inside. */
	void (*on_read)(void *owner, const char *data, size_t len);
	/* The other side ended (ERROR_CLOSED), reset, or connecting failed: once. The stream is still to be closed by the owner. Under TLS an
	 * end without close_notify, which anybody on the way can make, is ERROR_RESET; a handshake that fails, a certificate that is not
	 * believed and a broken record are ERROR_TLS. */
	void (*on_close)(void *owner, enum error why);
	/* What was queued has gone down to nothing. May be NULL. */
	void (*on_drain)(void *owner);
};

/* Where a stream is to connect to. */
struct stream_target {
	const struct address *address; /* borrowed for the call */
	struct tls_peer *tls;          /* NULL: plain bytes. The stream takes a reference of its own */
	/* Else a host name (but "localhost") that leads to an address of this machine or its link is refused: see resolve_is_local. Literals
	 * and Unix sockets say themselves where they lead. */
	bool allow_local;
	/* Closing is a reset, which leaves no port behind in TIME_WAIT: for who makes so many connections to one address that ports run out. TCP only. */
	bool resets;
};

/* Takes a connected socket or a pipe (owned by the stream from here, also on error: it is closed). tls: what a server shows, borrowed for the
 * call; NULL: plain bytes. ERROR_MEMORY, ERROR_UNSUPPORTED (another kind of descriptor), ERROR_IO. */
enum error stream_adopt(struct loop *loop, int fd, const struct tls_context *tls, const struct stream_events *events,
                        void *owner, struct stream **out);
/* Starts to connect; on_open or on_close follows. Host names are looked up off the loop and remembered (io/resolve.h), their addresses tried in
 * turn. ERROR_MEMORY, or why it can't even begin. Later: ERROR_NOT_FOUND (no such name), ERROR_ADDRESS_FORBIDDEN, what connecting gave. */
enum error stream_connect(struct loop *loop, const struct stream_target *target, const struct stream_events *events,
                          void *owner, struct stream **out);
/* Ends it at once; queued bytes are lost. No callback follows. Under TLS a server's stream ends without close_notify: what it cuts short looks
 * cut short. Sets *stream to NULL; NULL is fine. */
void stream_close(struct stream **stream);
/* As stream_close, but what is queued is still written (and close_notify after it), for at most `linger_ns`, and what comes in meanwhile is
 * read and dropped, so that the other side sees the answer and not a reset. */
void stream_close_after_writing(struct stream **stream, int64_t linger_ns);
/* Writes what the socket takes now and keeps a copy of the rest; not before on_open. ERROR_MEMORY, or the connection's error (on_close follows too). */
enum error stream_write(struct stream *stream, const void *data, size_t len);
/* Several pieces in one call; count at most 12. */
enum error stream_write_spans(struct stream *stream, const struct span *pieces, size_t count);
/* Bytes accepted by stream_write and not yet taken by the kernel; under TLS as they go out, enciphered. */
size_t stream_queued_bytes(const struct stream *stream);
/* Stops and restarts on_read. A paused stream does not notice the other side's end. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

#endif
