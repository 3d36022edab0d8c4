/* A TLS session inside a stream: ciphertext from the socket becomes on_read, stream_write becomes ciphertext for the socket. The stream's
 * queue, pausing and ends stay what they are. */
#include <stdlib.h>

#include "base/macros.h"
#include "io/stream_parts.h"
#include "io/tls_parts.h"
#include "io/tls_session.h"

/* Records of a long write leave by this much at once. */
#define FLUSH_BYTES (64 * 1024)
/* The loop's buffer for them is given back when a write has made it larger. */
#define KEEP_BYTES (256 * 1024)

struct stream_tls {
	struct stream *stream;
	struct tls_session *session;
	struct bytes rest; /* ciphertext that came before a pause and was not read */
	struct timer resume;
	struct timer patience; /* a client's handshake has so long */
	bool is_client;
	bool is_open; /* the handshake is done */
};

static void on_resume(struct timer *timer);

static void on_patience_over(struct timer *timer)
{
	stream_report_end(container_of(timer, struct stream_tls, patience)->stream, ERROR_TIMEOUT);
}

static struct stream_tls *new_tls(struct stream *stream)
{
	struct stream_tls *tls = calloc(1, sizeof(*tls));
	if (!tls)
		return NULL;
	tls->stream = stream;
	timer_init(&tls->resume, stream->loop, on_resume);
	timer_init(&tls->patience, stream->loop, on_patience_over);
	stream->tls = tls;
	return tls;
}

enum error stream_tls_new_client(struct stream *stream, struct tls_peer *peer)
{
	struct stream_tls *tls = new_tls(stream);
	if (!tls)
		return ERROR_MEMORY;
	tls->is_client = true;
	return tls_session_new_client(peer, &stream->loop->ciphertext, &tls->session);
}

enum error stream_tls_new_server(struct stream *stream, const struct tls_context *context)
{
	struct stream_tls *tls = new_tls(stream);
	if (!tls)
		return ERROR_MEMORY;
	timer_start_after(&tls->patience, context->handshake_ns);
	return tls_session_new_server(context, &stream->loop->ciphertext, &tls->session);
}

void stream_tls_stop(struct stream_tls *tls)
{
	timer_stop(&tls->resume);
	timer_stop(&tls->patience);
}

void stream_tls_free(struct stream_tls **tls_slot)
{
	struct stream_tls *tls = *tls_slot;
	if (!tls)
		return;
	*tls_slot = NULL;
	tls_session_free(&tls->session);
	bytes_fini(&tls->rest);
	free(tls);
}

bool stream_tls_is_open(const struct stream_tls *tls)
{
	return tls->is_open;
}

/* ---- out ---- */

static enum error flush(struct stream *stream)
{
	struct bytes *ciphertext = &stream->loop->ciphertext;
	struct span span = bytes_span(ciphertext);
	enum error error = bytes_ok(ciphertext) ? stream_write_to_socket(stream, &span, 1) : ERROR_MEMORY;
	if (ciphertext->capacity > KEEP_BYTES)
		bytes_fini(ciphertext);
	else
		bytes_clear(ciphertext);
	return error;
}

static enum error seal(struct stream *stream, const char *data, size_t len)
{
	enum error error = tls_session_write(stream->tls->session, data, len);
	if (!error && stream->loop->ciphertext.len >= FLUSH_BYTES)
		error = flush(stream);
	return error;
}

/* Small pieces (a head, a chunk's size, its data) share a record. */
enum error stream_tls_write(struct stream *stream, const struct span *pieces, size_t count)
{
	char record[TLS_RECORD_BYTES];
	size_t filled = 0;
	enum error error = OK;
	for (size_t i = 0; i < count && !error; i++) {
		struct span rest = pieces[i];
		while (rest.len && !error) {
			size_t room = sizeof(record) - filled;
			size_t len = rest.len < room ? rest.len : room;
			if (len == sizeof(record)) {
				error = seal(stream, rest.at, len);
			} else {
				memcpy(record + filled, rest.at, len);
				filled += len;
			}
			if (filled == sizeof(record)) {
				error = seal(stream, record, filled);
				filled = 0;
			}
			rest = (struct span){ rest.at + len, rest.len - len };
		}
	}
	if (filled && !error)
		error = tls_session_write(stream->tls->session, record, filled);
	enum error sent = flush(stream);
	return error ? error : sent;
}

enum error stream_tls_end(struct stream *stream)
{
	enum error error = tls_session_end(stream->tls->session);
	enum error sent = flush(stream);
	return error ? error : sent;
}

void stream_tls_take_leave(struct stream *stream)
{
	if (!stream->tls->is_client || !stream->tls->is_open || stream->closing || stream->queued)
		return;
	/* Whether it gets there makes no difference any more. */
	enum error error = stream_tls_end(stream);
	(void)error;
}

/* ---- in ---- */

static bool is_wanted(const struct stream *stream)
{
	return stream->events && !stream->shutting_down && !stream->ended && !stream->paused;
}

static void shake_hands(struct stream *stream)
{
	struct stream_tls *tls = stream->tls;
	enum error error = tls_session_handshake(tls->session);
	enum error sent = flush(stream); /* an alert, too */
	if (sent && (!error || error == ERROR_BUSY))
		error = sent;
	if (error == ERROR_BUSY)
		return;
	if (error) {
		stream_report_end(stream, error);
		return;
	}
	tls->is_open = true;
	timer_stop(&tls->patience);
	if (tls->is_client && stream->events->on_open)
		stream->events->on_open(stream->owner);
}

/* Goes as far as the input reaches, or until the owner has enough. */
static void pump(struct stream *stream)
{
	char plain[TLS_RECORD_BYTES];
	struct stream_tls *tls = stream->tls;
	if (!tls->is_open)
		shake_hands(stream);
	while (tls->is_open && is_wanted(stream)) {
		size_t len = 0;
		enum error error = tls_session_read(tls->session, plain, sizeof(plain), &len);
		/* Reading may have to answer: a renewed key, an alert. */
		enum error sent = flush(stream);
		if (sent && (!error || error == ERROR_BUSY))
			error = sent;
		if (error == ERROR_BUSY)
			return;
		if (error)
			stream_report_end(stream, error);
		else
			stream->events->on_read(stream->owner, plain, len);
	}
}

enum error stream_tls_greet(struct stream *stream)
{
	enum error error = tls_session_handshake(stream->tls->session);
	enum error sent = flush(stream);
	return error && error != ERROR_BUSY ? error : sent;
}

void stream_tls_on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer)
{
	struct stream *stream = container_of(handle, struct stream, uv.handle);
	struct stream_tls *tls = stream->tls;
	if (count == 0)
		return;
	loop_refresh_now_ns(stream->loop);
	if (count < 0) {
		enum error why = loop_error((int)count);
		/* The end that close_notify announces has been reported by now; this one may be anybody's. */
		stream_report_end(stream, why == ERROR_CLOSED && !stream->shutting_down ? ERROR_RESET : why);
		return;
	}
	if (!is_wanted(stream))
		return;
	MUST(tls->rest.len == 0);
	tls_session_give(tls->session, (struct span){ buffer->base, (size_t)count });
	pump(stream);
	struct span left = tls_session_left(tls->session);
	tls_session_give(tls->session, (struct span){ 0 });
	/* The loop's buffer is for the next stream. */
	if (stream->paused && !stream->closing && !stream->ended) {
		bytes_append_span(&tls->rest, left);
		if (!bytes_ok(&tls->rest))
			stream_report_end(stream, ERROR_MEMORY);
	}
}

/* ---- a pause and its end ---- */

bool stream_tls_resume(struct stream_tls *tls)
{
	if (tls->rest.len == 0)
		return false;
	timer_start_after(&tls->resume, 0); /* on_read comes from the loop, never from inside a call */
	return true;
}

static void on_resume(struct timer *timer)
{
	struct stream_tls *tls = container_of(timer, struct stream_tls, resume);
	struct stream *stream = tls->stream;
	if (!is_wanted(stream))
		return;
	tls_session_give(tls->session, bytes_span(&tls->rest));
	pump(stream);
	size_t left = tls_session_left(tls->session).len;
	tls_session_give(tls->session, (struct span){ 0 });
	if (left)
		bytes_consume(&tls->rest, tls->rest.len - left);
	else
		bytes_fini(&tls->rest);
	if (!is_wanted(stream))
		return;
	enum error error = stream_start_reading(stream);
	if (error)
		stream_report_end(stream, error);
}
