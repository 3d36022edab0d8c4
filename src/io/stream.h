/* One byte connection over TCP or a Unix socket: reads are pushed, writes never block, back-pressure is a number.
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

struct stream;

struct stream_events {
	/* A connection made by stream_connect is up. May be NULL. */
	void (*on_open)(void *owner);
	/* Bytes came; borrowed for the call. The owner may close the stream inside. */
	void (*on_read)(void *owner, const char *data, size_t len);
	/* The other side ended (ERROR_CLOSED), reset, or connecting failed: once. The stream is still to be closed by the owner. */
	void (*on_close)(void *owner, enum error why);
	/* What was queued has gone down to nothing. May be NULL. */
	void (*on_drain)(void *owner);
};

/* Takes a connected socket or a pipe (owned by the stream from here, also on error: it is closed). ERROR_MEMORY, ERROR_UNSUPPORTED (another
 * kind of descriptor), ERROR_IO. */
enum error stream_adopt(struct loop *loop, int fd, const struct stream_events *events, void *owner,
                        struct stream **out);
/* Starts to connect; on_open or on_close follows. Host names are looked up off the loop, and their addresses tried in turn. ERROR_MEMORY,
 * ERROR_SYNTAX. */
enum error stream_connect(struct loop *loop, const struct address *address, const struct stream_events *events,
                          void *owner, struct stream **out);
/* Ends it at once; queued bytes are lost. No callback follows. Sets *stream to NULL; NULL is fine. */
void stream_close(struct stream **stream);
/* As stream_close, but what is queued is still written, for at most `linger_ns`, and what comes in meanwhile is read and dropped,
 * so that the other side sees the answer and not a reset. */
void stream_close_after_writing(struct stream **stream, int64_t linger_ns);
/* Writes what the socket takes now and keeps a copy of the rest; not before on_open. ERROR_MEMORY, or the connection's error (on_close follows too). */
enum error stream_write(struct stream *stream, const void *data, size_t len);
/* Several pieces in one call; count at most 12. */
enum error stream_write_spans(struct stream *stream, const struct span *pieces, size_t count);
/* Bytes accepted by stream_write and not yet taken by the kernel. */
size_t stream_queued_bytes(const struct stream *stream);
/* Stops and restarts on_read. A paused stream does not notice the other side's end. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

#endif
