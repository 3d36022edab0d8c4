/* The inside of a stream, as stream.c (life, reading, writing), stream_connect.c and stream_tls.c share it. Not for others. */
#ifndef PENSTOCK_IO_STREAM_PARTS_H
#define PENSTOCK_IO_STREAM_PARTS_H

#include "io/loop_uv.h"
#include "io/stream.h"

struct stream_connecting;
struct stream_tls;

struct stream {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	const struct stream_events *events; /* NULL once the owner has let go */
	void *owner;
	struct loop *loop;
	struct stream_tls *tls;               /* owned; NULL: plain bytes */
	struct stream_connecting *connecting; /* owned; NULL once connected */
	size_t queued;
	int fd; /* of the handle, once it is up; libuv's */
	bool reading;
	bool paused;
	bool ended;         /* the other side's end, or an error, was reported */
	bool shutting_down; /* the owner let go, queued bytes still go out */
	bool is_unsent;     /* counted in loop->unsent: what was queued then has not all gone */
	bool shut_down;     /* ... and are all out */
	bool closing;
	bool is_reopening; /* the handle is closed to be opened anew, for the next address */
	struct timer linger;
	uv_shutdown_t shutdown;
};

/* ---- stream.c ---- */

extern const struct loop_orphan stream_orphan;
/* NULL: out of memory. */
struct stream *stream_new(struct loop *loop, bool is_unix, const struct stream_events *events, void *owner);
/* The handle is connected. */
void stream_come_up(struct stream *stream, bool is_tcp);
enum error stream_start_reading(struct stream *stream);
/* Past TLS, as the bytes are. */
enum error stream_write_to_socket(struct stream *stream, const struct span *pieces, size_t count);
/* Tells the owner, once; from the loop only. */
void stream_report_end(struct stream *stream, enum error why);
void stream_close_handle(struct stream *stream);
void stream_on_handle_closed(uv_handle_t *handle);

/* ---- stream_connect.c ---- */

/* No callback of it comes any more. */
void stream_connecting_stop(struct stream_connecting *connecting);
void stream_connecting_free(struct stream_connecting **connecting);

/* ---- stream_tls.c ---- */

/* Give stream->tls. */
enum error stream_tls_new_client(struct stream *stream, struct tls_peer *peer);
enum error stream_tls_new_server(struct stream *stream, const struct tls_context *context);
void stream_tls_stop(struct stream_tls *tls);
void stream_tls_free(struct stream_tls **tls);
/* The connection is up: begins the handshake, at whose end on_open is called. */
enum error stream_tls_greet(struct stream *stream);
/* A uv_read_cb. */
void stream_tls_on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer);
enum error stream_tls_write(struct stream *stream, const struct span *pieces, size_t count);
/* Queues close_notify. An error: there is nothing to end in order. */
enum error stream_tls_end(struct stream *stream);
/* Before a close at once. A client says that it leaves; a server does not, so that what it cuts short looks cut short. */
void stream_tls_take_leave(struct stream *stream);
/* Is reading to go on by itself, after what a pause kept back? */
bool stream_tls_resume(struct stream_tls *tls);
/* May the owner use it? */
bool stream_tls_is_open(const struct stream_tls *tls);

static inline bool stream_is_up(const struct stream *stream)
{
	return !stream->tls || stream_tls_is_open(stream->tls);
}

#endif
