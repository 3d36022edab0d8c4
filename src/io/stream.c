/* A libuv TCP or pipe handle with copied write queue. Reads land in the loop's one buffer.
 *
 * Lifetime: the handle is freed in its uv_close callback, which comes after every write, connect and lookup callback of it (those hold
 * a count), so that owners may close at any moment, also inside on_read. */
#include "io/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "io/loop_uv.h"

#define SPANS_MAX 12

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
	size_t queued;
	bool reading;
	bool paused;
	bool ended;         /* the other side's end, or an error, was reported */
	bool shutting_down; /* the owner let go, queued bytes still go out */
	bool is_unsent;     /* counted in loop->unsent: what was queued then has not all gone */
	bool shut_down;     /* ... and are all out */
	bool closing;
	bool closed;       /* libuv has let go of the handle */
	bool is_reopening; /* the handle is closed to be opened anew, for the next of candidates */
	unsigned holds;    /* lookups under way */
	struct timer linger;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	uv_getaddrinfo_t lookup;
	struct addrinfo *candidates; /* what the lookup found, owned; NULL once connected */
	struct addrinfo *next_candidate;
	struct address address;
};

struct queued_write {
	uv_write_t request;
	struct stream *stream;
	size_t len;
	char data[];
};

static void free_if_unused(struct stream *stream)
{
	if (stream->holds || !stream->closed)
		return;
	uv_freeaddrinfo(stream->candidates);
	free(stream);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct stream *stream = container_of(handle, struct stream, uv.handle);
	stream->closed = true;
	free_if_unused(stream);
}

static void count_sent(struct stream *stream)
{
	if (stream->is_unsent)
		stream->loop->unsent--;
	stream->is_unsent = false;
}

static void close_handle(struct stream *stream)
{
	if (stream->closing)
		return;
	stream->closing = true;
	count_sent(stream);
	stream->events = NULL;
	timer_stop(&stream->linger);
	if (stream->holds)
		uv_cancel((uv_req_t *)&stream->lookup);
	if (!stream->is_reopening)
		uv_close(&stream->uv.handle, on_handle_closed);
}

/* The loop is freed under a stream that lingers. */
static void close_orphan(uv_handle_t *handle)
{
	close_handle(container_of(handle, struct stream, uv.handle));
}

static const struct loop_orphan orphan = { .close = close_orphan };

static void stop_reading(struct stream *stream)
{
	if (stream->reading)
		uv_read_stop(&stream->uv.stream);
	stream->reading = false;
}

/* Once: a broken connection shows in every write under way, and in reading, too. */
static void report_end(struct stream *stream, enum error why)
{
	bool is_first = !stream->ended;
	stream->ended = true;
	stop_reading(stream);
	if (stream->shutting_down) {
		/* The other side may have said all it wants to and still read what is queued. */
		if (why != ERROR_CLOSED || stream->shut_down)
			close_handle(stream);
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
		report_end(stream, loop_error((int)count));
	} else if (stream->events && !stream->shutting_down) {
		stream->events->on_read(stream->owner, buffer->base, (size_t)count);
	}
}

static enum error start_reading(struct stream *stream)
{
	if (stream->reading || stream->paused || stream->ended)
		return OK;
	int status = uv_read_start(&stream->uv.stream, on_buffer_wanted, on_read);
	stream->reading = status == 0;
	return loop_error(status);
}

static void on_linger_end(struct timer *timer)
{
	close_handle(container_of(timer, struct stream, linger));
}

static struct stream *new_stream(struct loop *loop, bool is_unix, const struct stream_events *events, void *owner)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	int status = is_unix ? uv_pipe_init(&loop->uv, &stream->uv.pipe, 0) : uv_tcp_init(&loop->uv, &stream->uv.tcp);
	MUST(status == 0);
	uv_handle_set_data(&stream->uv.handle, (void *)(uintptr_t)&orphan);
	stream->loop = loop;
	stream->events = events;
	stream->owner = owner;
	timer_init(&stream->linger, loop, on_linger_end);
	return stream;
}

enum error stream_adopt(struct loop *loop, int fd, const struct stream_events *events, void *owner, struct stream **out)
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
	struct stream *stream = new_stream(loop, is_unix, events, owner);
	if (!stream) {
		close(fd);
		return ERROR_MEMORY;
	}
	int status = is_unix ? uv_pipe_open(&stream->uv.pipe, fd) : uv_tcp_open(&stream->uv.tcp, fd);
	if (status < 0) {
		close(fd);
		close_handle(stream);
		return loop_error(status);
	}
	if (!is_unix)
		uv_tcp_nodelay(&stream->uv.tcp, 1);
	enum error error = start_reading(stream);
	if (error) {
		close_handle(stream);
		return error;
	}
	*out = stream;
	return OK;
}

static void on_connected(uv_connect_t *request, int status);

static void connect_next(struct stream *stream);

static void on_closed_for_next(uv_handle_t *handle)
{
	struct stream *stream = container_of(handle, struct stream, uv.handle);
	stream->is_reopening = false;
	if (stream->closing) {
		on_handle_closed(handle);
		return;
	}
	MUST(uv_tcp_init(&stream->loop->uv, &stream->uv.tcp) == 0);
	uv_handle_set_data(&stream->uv.handle, (void *)(uintptr_t)&orphan);
	connect_next(stream);
}

/* A name may have several addresses (localhost: ::1 and 127.0.0.1), and the server may listen on one of them only. A handle that failed to
 * connect can't try again, so it is closed and opened anew. */
static void fail_connecting(struct stream *stream, enum error why)
{
	if (!stream->next_candidate) {
		report_end(stream, why);
		return;
	}
	stream->is_reopening = true;
	uv_close(&stream->uv.handle, on_closed_for_next);
}

static void connect_next(struct stream *stream)
{
	const struct addrinfo *candidate = stream->next_candidate;
	stream->next_candidate = candidate->ai_next;
	int status = uv_tcp_connect(&stream->connect, &stream->uv.tcp, candidate->ai_addr, on_connected);
	if (status < 0)
		fail_connecting(stream, loop_error(status));
}

static void on_connected(uv_connect_t *request, int status)
{
	struct stream *stream = container_of(request, struct stream, connect);
	if (stream->closing)
		return;
	loop_refresh_now_ns(stream->loop);
	if (status < 0) {
		fail_connecting(stream, loop_error(status));
		return;
	}
	uv_freeaddrinfo(stream->candidates);
	stream->candidates = stream->next_candidate = NULL;
	enum error error = start_reading(stream);
	if (error) {
		report_end(stream, error);
		return;
	}
	if (stream->address.kind == ADDRESS_TCP)
		uv_tcp_nodelay(&stream->uv.tcp, 1);
	if (stream->events && stream->events->on_open)
		stream->events->on_open(stream->owner);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct stream *stream = container_of(request, struct stream, lookup);
	stream->holds--;
	if (stream->closing) {
		uv_freeaddrinfo(found);
		free_if_unused(stream);
		return;
	}
	stream->candidates = stream->next_candidate = found;
	if (status == 0)
		connect_next(stream);
	else
		report_end(stream,
		           status <= UV_EAI_ADDRFAMILY && status >= UV_EAI_SOCKTYPE ? ERROR_NOT_FOUND : loop_error(status));
}

static int connect_tcp(struct stream *stream)
{
	const struct address *address = &stream->address;
	struct sockaddr_storage socket_address;
	if (uv_ip4_addr(address->host, address->port, (struct sockaddr_in *)&socket_address) == 0 ||
	    uv_ip6_addr(address->host, address->port, (struct sockaddr_in6 *)&socket_address) == 0)
		return uv_tcp_connect(&stream->connect, &stream->uv.tcp, (const struct sockaddr *)&socket_address,
		                      on_connected);
	char port[8];
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	snprintf(port, sizeof(port), "%u", address->port);
	int status = uv_getaddrinfo(&stream->loop->uv, &stream->lookup, on_looked_up, address->host, port, &hints);
	if (status == 0)
		stream->holds++;
	return status;
}

enum error stream_connect(struct loop *loop, const struct address *address, const struct stream_events *events,
                          void *owner, struct stream **out)
{
	struct stream *stream = new_stream(loop, address->kind == ADDRESS_UNIX, events, owner);
	if (!stream)
		return ERROR_MEMORY;
	stream->address = *address;
	int status = 0;
	if (address->kind == ADDRESS_UNIX)
		uv_pipe_connect(&stream->connect, &stream->uv.pipe, stream->address.path, on_connected);
	else
		status = connect_tcp(stream);
	if (status < 0) {
		close_handle(stream);
		return loop_error(status);
	}
	*out = stream;
	return OK;
}

void stream_close(struct stream **stream)
{
	if (*stream)
		close_handle(*stream);
	*stream = NULL;
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
	struct stream *stream = container_of(request, struct stream, shutdown);
	stream->shut_down = true;
	count_sent(stream);
	if (status < 0 || stream->ended)
		close_handle(stream);
}

void stream_close_after_writing(struct stream **stream_slot, int64_t linger_ns)
{
	struct stream *stream = *stream_slot;
	*stream_slot = NULL;
	if (!stream || stream->closing)
		return;
	stream->events = NULL;
	stream->shutting_down = true;
	stream->paused = false;
	/* The other side's end closes us (report_end); so do the timer and a failed read. */
	if (uv_shutdown(&stream->shutdown, &stream->uv.stream, on_shut_down) < 0 || start_reading(stream) != OK) {
		close_handle(stream);
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
		report_end(stream, loop_error(status));
	else if (stream->queued == 0 && stream->events && stream->events->on_drain)
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

enum error stream_write_spans(struct stream *stream, const struct span *pieces, size_t count)
{
	uv_buf_t buffers[SPANS_MAX];
	size_t total = 0;
	MUST(count <= SPANS_MAX);
	for (size_t i = 0; i < count; i++) {
		buffers[i] = uv_buf_init((char *)(uintptr_t)pieces[i].at, (unsigned)pieces[i].len);
		total += pieces[i].len;
	}
	if (total == 0)
		return OK;
	size_t gone = 0;
	if (stream->queued == 0) {
		int written = uv_try_write(&stream->uv.stream, buffers, (unsigned)count);
		if (written > 0)
			gone = (size_t)written;
	}
	/* An error of the try shows again in the queued write, whose callback can report it. */
	return gone == total ? OK : queue_rest(stream, pieces, count, gone, total);
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
	enum error error = start_reading(stream);
	if (error)
		report_end(stream, error);
}
