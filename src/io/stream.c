/* A libuv TCP or pipe handle with copied write queue. Reads land in the loop's one buffer. Connecting is stream_connect.c's, TLS
 * stream_tls.c's.
 *
 * Lifetime: the handle is freed in its uv_close callback, which comes after every write and connect callback of it, so that owners may
 * close at any moment, also inside on_read. */
#include "io/stream.h"

#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "io/stream_parts.h"

/* Silence after which a TCP peer counts as gone. */
#define VANISHED_S 30
#define SPANS_MAX 12

struct queued_write {
	uv_write_t request;
	struct stream *stream;
	size_t len;
	char data[];
};

void stream_on_handle_closed(uv_handle_t *handle)
{
	struct stream *stream = container_of(handle, struct stream, uv.handle);
	stream_tls_free(&stream->tls);
	stream_connecting_free(&stream->connecting);
	free(stream);
}

static void count_sent(struct stream *stream)
{
	if (stream->is_unsent)
		stream->loop->unsent--;
	stream->is_unsent = false;
}

void stream_close_handle(struct stream *stream)
{
	if (stream->closing)
		return;
	stream->closing = true;
	count_sent(stream);
	stream->events = NULL;
	timer_stop(&stream->linger);
	if (stream->tls)
		stream_tls_stop(stream->tls);
	if (stream->connecting)
		stream_connecting_stop(stream->connecting);
	if (!stream->is_reopening)
		uv_close(&stream->uv.handle, stream_on_handle_closed);
}

/* The loop is freed under a stream that lingers. */
static void close_orphan(uv_handle_t *handle)
{
	stream_close_handle(container_of(handle, struct stream, uv.handle));
}

const struct loop_orphan stream_orphan = { .close = close_orphan };

static void stop_reading(struct stream *stream)
{
	if (stream->reading)
		uv_read_stop(&stream->uv.stream);
	stream->reading = false;
}

/* Once: a broken connection shows in every write under way, and in reading, too. */
void stream_report_end(struct stream *stream, enum error why)
{
	bool is_first = !stream->ended;
	stream->ended = true;
	stop_reading(stream);
	if (stream->shutting_down) {
		/* The other side may have said all it wants to and still read what is queued. */
		if (why != ERROR_CLOSED || stream->shut_down)
			stream_close_handle(stream);
	} else if (is_first && stream->events) {
		stream->events->on_close(stream->owner, why);
	}
}

static void on_buffer_wanted(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct stream *stream = container_of(handle, struct stream, uv.handle);
	*out = uv_buf_init(stream->loop->read_buffer, LOOP_READ_BYTES);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer)
{
	struct stream *stream = container_of(handle, struct stream, uv.stream);
	if (count == 0)
		return;
	loop_refresh_now_ns(stream->loop);
	if (count < 0) {
		stream_report_end(stream, loop_error((int)count));
	} else if (stream->events && !stream->shutting_down) {
		stream->events->on_read(stream->owner, buffer->base, (size_t)count);
	}
}

enum error stream_start_reading(struct stream *stream)
{
	if (stream->reading || stream->paused || stream->ended)
		return OK;
	int status = uv_read_start(&stream->uv.stream, on_buffer_wanted, stream->tls ? stream_tls_on_read : on_read);
	stream->reading = status == 0;
	return loop_error(status);
}

static void on_linger_end(struct timer *timer)
{
	stream_close_handle(container_of(timer, struct stream, linger));
}

struct stream *stream_new(struct loop *loop, bool is_unix, const struct stream_events *events, void *owner)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	int status = is_unix ? uv_pipe_init(&loop->uv, &stream->uv.pipe, 0) : uv_tcp_init(&loop->uv, &stream->uv.tcp);
	MUST(status == 0);
	uv_handle_set_data(&stream->uv.handle, (void *)(uintptr_t)&stream_orphan);
	stream->loop = loop;
	stream->events = events;
	stream->owner = owner;
	timer_init(&stream->linger, loop, on_linger_end);
	return stream;
}

/* Nagle would hold tokens back. A side that vanished (no FIN, no RST) shows only in what it no longer acknowledges: bytes of ours, or, where we have none
 * to send, probes. Keep-alive alone is not enough while bytes are on their way. */
static void set_tcp_options(struct stream *stream)
{
	const unsigned vanished_ms = VANISHED_S * 1000;
	uv_tcp_nodelay(&stream->uv.tcp, 1);
	uv_tcp_keepalive(&stream->uv.tcp, 1, VANISHED_S / 2);
	setsockopt(stream->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &vanished_ms, sizeof(vanished_ms));
}

void stream_come_up(struct stream *stream, bool is_tcp)
{
	MUST(uv_fileno(&stream->uv.handle, &stream->fd) == 0);
	if (is_tcp)
		set_tcp_options(stream);
}

enum error stream_adopt(struct loop *loop, int fd, const struct tls_context *tls, const struct stream_events *events,
                        void *owner, struct stream **out)
{
	struct sockaddr_storage name;
	socklen_t name_len = sizeof(name);
	bool is_socket = getsockname(fd, (struct sockaddr *)&name, &name_len) == 0;
	bool is_unix = is_socket ? name.ss_family == AF_UNIX : uv_guess_handle(fd) == UV_NAMED_PIPE;
	/* What can't be waited for (a file, /dev/null) would end the process inside libuv. */
	if (!is_socket && !is_unix) {
		close(fd);
		return ERROR_UNSUPPORTED;
	}
	struct stream *stream = stream_new(loop, is_unix, events, owner);
	if (!stream) {
		close(fd);
		return ERROR_MEMORY;
	}
	int status = is_unix ? uv_pipe_open(&stream->uv.pipe, fd) : uv_tcp_open(&stream->uv.tcp, fd);
	if (status < 0) {
		close(fd);
		stream_close_handle(stream);
		return loop_error(status);
	}
	stream_come_up(stream, !is_unix);
	enum error error = tls ? stream_tls_new_server(stream, tls) : OK;
	if (!error)
		error = stream_start_reading(stream);
	if (error) {
		stream_close_handle(stream);
		return error;
	}
	*out = stream;
	return OK;
}

void stream_close(struct stream **stream)
{
	if (*stream && (*stream)->tls)
		stream_tls_take_leave(*stream);
	if (*stream)
		stream_close_handle(*stream);
	*stream = NULL;
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
	struct stream *stream = container_of(request, struct stream, shutdown);
	stream->shut_down = true;
	count_sent(stream);
	if (status < 0 || stream->ended)
		stream_close_handle(stream);
}

void stream_close_after_writing(struct stream **stream_slot, int64_t linger_ns)
{
	struct stream *stream = *stream_slot;
	*stream_slot = NULL;
	if (!stream || stream->closing)
		return;
	if (stream->tls && stream_tls_end(stream) != OK) {
		stream_close_handle(stream);
		return;
	}
	stream->events = NULL;
	stream->shutting_down = true;
	stream->paused = false;
	/* The other side's end closes us (stream_report_end); so do the timer and a failed read. */
	if (uv_shutdown(&stream->shutdown, &stream->uv.stream, on_shut_down) < 0 || stream_start_reading(stream) != OK) {
		stream_close_handle(stream);
		return;
	}
	if (stream->queued) {
		stream->is_unsent = true;
		stream->loop->unsent++;
	}
	timer_start_after(&stream->linger, linger_ns);
}

static void on_written(uv_write_t *request, int status)
{
	struct queued_write *write = container_of(request, struct queued_write, request);
	struct stream *stream = write->stream;
	stream->queued -= write->len;
	free(write);
	if (stream->closing || stream->is_reopening)
		return;
	loop_refresh_now_ns(stream->loop);
	if (status < 0)
		stream_report_end(stream, loop_error(status));
	else if (stream->queued == 0 && stream->events && stream->events->on_drain && stream_is_up(stream))
		stream->events->on_drain(stream->owner);
}

static enum error queue_rest(struct stream *stream, const struct span *pieces, size_t count, size_t skip, size_t total)
{
	struct queued_write *write = malloc(sizeof(*write) + total - skip);
	if (!write)
		return ERROR_MEMORY;
	write->stream = stream;
	write->len = 0;
	for (size_t i = 0; i < count; i++) {
		size_t gone = skip < pieces[i].len ? skip : pieces[i].len;
		skip -= gone;
		if (pieces[i].len > gone)
			memcpy(write->data + write->len, pieces[i].at + gone, pieces[i].len - gone);
		write->len += pieces[i].len - gone;
	}
	uv_buf_t buffer = uv_buf_init(write->data, (unsigned)write->len);
	int status = uv_write(&write->request, &stream->uv.stream, &buffer, 1, on_written);
	if (status < 0) {
		free(write);
		return loop_error(status);
	}
	stream->queued += write->len;
	return OK;
}

/* What goes at once; nothing when the kernel has no room, or something is wrong. Past libuv, whose own try goes through the file system's layer (writev): a
 * socket's own call is a fifth of a microsecond cheaper, and there is one for every token. */
static size_t try_write(struct stream *stream, struct iovec *buffers, size_t count)
{
	const struct msghdr message = { .msg_iov = buffers, .msg_iovlen = count };
	ssize_t written = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return written > 0 ? (size_t)written : 0;
}

enum error stream_write_to_socket(struct stream *stream, const struct span *pieces, size_t count)
{
	struct iovec buffers[SPANS_MAX];
	size_t total = 0;
	MUST(count <= SPANS_MAX);
	for (size_t i = 0; i < count; i++) {
		buffers[i] = (struct iovec){ (void *)(uintptr_t)pieces[i].at, pieces[i].len };
		total += pieces[i].len;
	}
	if (total == 0)
		return OK;
	size_t gone = 0;
	if (stream->queued == 0)
		gone = try_write(stream, buffers, count);
	/* An error of the try shows again in the queued write, whose callback can report it. */
	return gone == total ? OK : queue_rest(stream, pieces, count, gone, total);
}

enum error stream_write_spans(struct stream *stream, const struct span *pieces, size_t count)
{
	return stream->tls ? stream_tls_write(stream, pieces, count) : stream_write_to_socket(stream, pieces, count);
}

enum error stream_write(struct stream *stream, const void *data, size_t len)
{
	return stream_write_spans(stream, &(struct span){ data, len }, 1);
}

size_t stream_queued_bytes(const struct stream *stream)
{
	return stream->queued;
}

void stream_pause(struct stream *stream)
{
	stream->paused = true;
	stop_reading(stream);
}

void stream_resume(struct stream *stream)
{
	if (!stream->paused)
		return;
	stream->paused = false;
	if (stream->tls && stream_tls_resume(stream->tls))
		return;
	enum error error = stream_start_reading(stream);
	if (error)
		stream_report_end(stream, error);
}
