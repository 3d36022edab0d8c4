/* A fake upstream for the benches: OpenAI's chat completions over HTTP/1.1, one thread, and as little work a request as can be.
 *
 * stub --port P [--unix PATH] --events N --event-bytes B --gap-ms G --delay-ms D --send-buffer B
 *
 * A request whose body has "stream":true gets N events of B bytes, one each G ms by an absolute schedule (0: as fast as they can be
 * written); another gets about 1 KB of JSON. GET /stats tells what was asked and written, anything else by GET is a list of one model.
 * Prints `ready PORT`. Requests carry a content-length and are not pipelined. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "schedule.h"
#include "sockets.h"
#include "stub_request.h"

#define HEAD_BYTES_MAX 65536
#define BODY_BYTES_MAX (4 << 20)
#define WRITE_BYTES 131072

struct connection {
	struct due due; /* first: what the schedule hands out is a connection */
	int descriptor; /* -1: closed, and freed after this turn */
	char *input;    /* owned */
	size_t input_bytes, input_capacity;
	size_t request_bytes; /* head and body; 0: the head isn't whole yet */
	size_t head_bytes;
	char *unsent; /* owned; what the socket didn't take */
	size_t unsent_at, unsent_bytes, unsent_capacity;
	bool is_answering, is_stream, has_usage, is_begun;
	uint32_t next_event;
	uint64_t began_ns;
	struct connection *next_closed;
};

static struct {
	int epoll, listener;
	struct schedule schedule;
	struct answers answers;
	uint64_t gap_ns, delay_ns, send_buffer;
	uint64_t requests, streams_done, left, bytes;
	struct connection *closed;
	char out[WRITE_BYTES + ANSWERS_EVENT_BYTES_MAX + 1024];
} stub;

static void connection_close(struct connection *c)
{
	if (c->descriptor < 0)
		return;
	if (c->is_answering)
		stub.left++;
	schedule_remove(&stub.schedule, &c->due);
	close(c->descriptor);
	c->descriptor = -1;
	c->next_closed = stub.closed;
	stub.closed = c;
}

static void free_closed(void)
{
	while (stub.closed) {
		struct connection *c = stub.closed;
		stub.closed = c->next_closed;
		free(c->input);
		free(c->unsent);
		free(c);
	}
}

/* Writes what the socket takes and keeps the rest; false: the connection is closed. */
static bool connection_write(struct connection *c, const char *bytes, size_t count)
{
	size_t taken = 0;
	if (c->unsent_bytes == 0) {
		ssize_t sent = send(c->descriptor, bytes, count, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN) {
			connection_close(c);
			return false;
		}
		taken = sent < 0 ? 0 : (size_t)sent;
	}
	stub.bytes += taken;
	if (taken == count)
		return true;
	size_t rest = count - taken;
	if (c->unsent_bytes + rest > c->unsent_capacity) {
		c->unsent_capacity = c->unsent_bytes + rest + 4096;
		c->unsent = realloc(c->unsent, c->unsent_capacity);
		if (!c->unsent)
			end_with("no memory");
	}
	memcpy(c->unsent + c->unsent_bytes, bytes + taken, rest);
	c->unsent_bytes += rest;
	return true;
}

static void connection_ask_again(struct connection *c)
{
	c->is_answering = false;
	c->request_bytes = 0;
	c->input_bytes = 0;
}

/* Puts event c->next_event as a chunk at out; 0 after the last. */
static size_t chunk_write(struct connection *c, uint64_t sent_ns, char *out)
{
	size_t bytes = answers_chunk(&stub.answers, c->has_usage, c->next_event, sent_ns, out);
	c->next_event += bytes != 0;
	return bytes;
}

/* What follows the last content event leaves with it, as engines do. */
static size_t tail_write(struct connection *c, char *out)
{
	size_t bytes = 0, chunk;
	if (c->next_event <= stub.answers.events)
		return 0;
	while ((chunk = chunk_write(c, 0, out + bytes)) > 0)
		bytes += chunk;
	memcpy(out + bytes, "0\r\n\r\n", 5);
	stub.streams_done++;
	connection_ask_again(c);
	return bytes + 5;
}

static void stream_all(struct connection *c)
{
	while (c->is_answering && c->unsent_bytes == 0) {
		uint64_t now = now_ns();
		size_t bytes = 0;
		while (bytes < WRITE_BYTES && c->next_event <= stub.answers.events)
			bytes += chunk_write(c, now, stub.out + bytes);
		bytes += tail_write(c, stub.out + bytes);
		if (!connection_write(c, stub.out, bytes))
			return;
	}
}

/* The next event of a paced stream; what a slow reader didn't take piles up here. */
static void stream_one(struct connection *c, uint64_t now)
{
	size_t bytes = chunk_write(c, now, stub.out);
	bytes += tail_write(c, stub.out + bytes);
	if (!connection_write(c, stub.out, bytes) || !c->is_answering)
		return;
	schedule_add(&stub.schedule, &c->due, c->began_ns + c->next_event * stub.gap_ns);
}

static void answer_text(struct connection *c, const char *body, size_t body_bytes)
{
	int head_bytes =
		snprintf(stub.out, WRITE_BYTES,
	             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", body_bytes);
	memcpy(stub.out + head_bytes, body, body_bytes);
	connection_ask_again(c);
	connection_write(c, stub.out, (size_t)head_bytes + body_bytes);
}

static void answer_begin(struct connection *c)
{
	c->is_begun = true;
	if (!c->is_stream) {
		size_t body_bytes;
		const char *body = answers_completion(&body_bytes);
		answer_text(c, body, body_bytes);
		return;
	}
	static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
							   "transfer-encoding: chunked\r\n\r\n";
	c->next_event = 0;
	size_t bytes = sizeof head - 1;
	memcpy(stub.out, head, bytes);
	bytes += chunk_write(c, 0, stub.out + bytes);
	if (!connection_write(c, stub.out, bytes))
		return;
	if (stub.gap_ns)
		schedule_add(&stub.schedule, &c->due, c->began_ns + stub.gap_ns);
	else
		stream_all(c);
}

static void answer_get(struct connection *c)
{
	char body[512] =
		"{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":1,\"owned_by\":\"bench\"}]}";
	if (strncmp(c->input, "GET /stats ", 11) == 0)
		snprintf(body, sizeof body,
		         "{\"requests\":%" PRIu64 ",\"streams_done\":%" PRIu64 ",\"left\":%" PRIu64 ",\"bytes\":%" PRIu64 "}",
		         stub.requests, stub.streams_done, stub.left, stub.bytes);
	answer_text(c, body, strlen(body));
}

static void answer(struct connection *c)
{
	if (c->input[0] == 'G') {
		answer_get(c);
		return;
	}
	size_t body_bytes = c->request_bytes - c->head_bytes;
	const char *body = c->input + c->head_bytes;
	stub.requests++;
	c->is_answering = true;
	c->is_begun = false;
	c->is_stream = request_says(body, body_bytes, "\"stream\"");
	c->has_usage = c->is_stream && request_says(body, body_bytes, "\"include_usage\"");
	c->began_ns = c->is_stream || stub.delay_ns ? now_ns() + stub.delay_ns : 0;
	if (stub.delay_ns)
		schedule_add(&stub.schedule, &c->due, c->began_ns);
	else
		answer_begin(c);
}

static void input_grow(struct connection *c)
{
	size_t wanted = c->request_bytes ? c->request_bytes + 1 : c->input_capacity * 2;
	if (wanted < 4096)
		wanted = 4096;
	if (wanted <= c->input_capacity)
		return;
	c->input = realloc(c->input, wanted);
	if (!c->input)
		end_with("no memory");
	c->input_capacity = wanted;
}

/* Sets the sizes of head and body once the head is whole; closes at what this stub can't read. */
static void head_read(struct connection *c)
{
	if (!request_sizes(c->input, c->input_bytes, &c->head_bytes, &c->request_bytes)) {
		if (c->input_bytes > HEAD_BYTES_MAX)
			connection_close(c);
	} else if (c->request_bytes - c->head_bytes > BODY_BYTES_MAX) {
		connection_close(c);
	} else {
		input_grow(c);
	}
}

static void connection_read(struct connection *c)
{
	for (;;) {
		if (c->input_bytes == c->input_capacity)
			input_grow(c);
		size_t room = c->input_capacity - c->input_bytes;
		ssize_t got = recv(c->descriptor, c->input + c->input_bytes, room, 0);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			connection_close(c);
		if (got <= 0)
			return;
		c->input_bytes += (size_t)got;
		if (c->request_bytes == 0 && !c->is_answering)
			head_read(c);
		if (c->descriptor < 0)
			return;
		if (c->request_bytes && c->input_bytes >= c->request_bytes && !c->is_answering)
			answer(c);
		if (c->descriptor < 0 || (size_t)got < room)
			return;
	}
}

static void connection_flush(struct connection *c)
{
	ssize_t sent = send(c->descriptor, c->unsent + c->unsent_at, c->unsent_bytes - c->unsent_at, MSG_NOSIGNAL);
	if (sent < 0) {
		if (errno != EAGAIN)
			connection_close(c);
		return;
	}
	stub.bytes += (uint64_t)sent;
	c->unsent_at += (size_t)sent;
	if (c->unsent_at < c->unsent_bytes)
		return;
	c->unsent_at = c->unsent_bytes = 0;
	if (c->is_answering && c->is_begun && c->is_stream && !stub.gap_ns)
		stream_all(c);
}

static void accept_all(void)
{
	int descriptor;
	while ((descriptor = accept4(stub.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		socket_no_delay(descriptor);
		socket_buffer(descriptor, SO_SNDBUF, stub.send_buffer);
		struct connection *c = memory_or_end(sizeof *c);
		c->descriptor = descriptor;
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
		epoll_ctl(stub.epoll, EPOLL_CTL_ADD, descriptor, &event);
	}
}

static void turn(void)
{
	struct epoll_event events[256];
	schedule_arm(&stub.schedule);
	int count = epoll_wait(stub.epoll, events, 256, -1);
	for (int i = 0; i < count; i++) {
		struct connection *c = events[i].data.ptr;
		if (!c)
			accept_all();
		if (!c || c == (void *)&stub.schedule)
			continue;
		if (c->descriptor >= 0 && c->unsent_bytes && (events[i].events & EPOLLOUT))
			connection_flush(c);
		if (c->descriptor >= 0 && (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			connection_read(c);
	}
	uint64_t now = now_ns();
	struct due *due;
	while ((due = schedule_take(&stub.schedule, now)) != NULL) {
		struct connection *c = (struct connection *)due;
		if (c->is_begun)
			stream_one(c, now_ns());
		else
			answer_begin(c);
	}
	free_closed();
}

int main(int count, char **arguments)
{
	uint64_t port = 0, events = 20, event_bytes = 200, gap_ms = 0, delay_ms = 0;
	const char *path = NULL;
	const struct tool_option options[] = { { "port", &port, NULL },
		                                   { "unix", NULL, &path },
		                                   { "events", &events, NULL },
		                                   { "event-bytes", &event_bytes, NULL },
		                                   { "gap-ms", &gap_ms, NULL },
		                                   { "delay-ms", &delay_ms, NULL },
		                                   { "send-buffer", &stub.send_buffer, NULL } };
	options_read(count, arguments, options, sizeof options / sizeof options[0]);
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	answers_init(&stub.answers, (uint32_t)events, (uint32_t)event_bytes);
	stub.gap_ns = gap_ms * 1000000;
	stub.delay_ns = delay_ms * 1000000;
	uint16_t bound = (uint16_t)port;
	stub.listener = socket_listen(&bound, path);
	stub.epoll = epoll_create1(EPOLL_CLOEXEC);
	schedule_init(&stub.schedule);
	struct epoll_event listening = { .events = EPOLLIN, .data.ptr = NULL };
	struct epoll_event timing = { .events = EPOLLIN | EPOLLET, .data.ptr = &stub.schedule };
	epoll_ctl(stub.epoll, EPOLL_CTL_ADD, stub.listener, &listening);
	epoll_ctl(stub.epoll, EPOLL_CTL_ADD, stub.schedule.timer, &timing);
	printf("ready %u\n", bound);
	fflush(stdout);
	for (;;)
		turn();
}
