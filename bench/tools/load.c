/* A load client for the benches: many requests over HTTP/1.1 from one thread, each answer held against what bench/tools/stub.c makes.
 *
 * load --port P [--unix PATH] --mode json|stream --events N --event-bytes B ...
 *
 * Closed loop: --connections C ask again as soon as they are answered, for --seconds or --requests. Open loop: --rate R requests a second
 * become due whatever happens, and time counts from then. --streams N --ramp R: N streams, each on a connection of its own, R of them
 * begun a second. --stall N: that many of them stop reading after their first bytes, for --stall-s. --headers: lines of more headers.
 * --exact 0: for a proxy that writes answers anew; what they say isn't looked at. Prints one line of JSON. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_request.h"
#include "reply.h"
#include "times.h"
#include "sockets.h"

#define READ_BYTES 262144
/* Connections that are being made at once: a listener's queue is not the thing to measure. */
#define CONNECTING_MAX 64
#define FAULTS 16
#define FAILED_MAX 20000

struct connection {
	int descriptor;
	enum { CLOSED, CONNECTING, IDLE, BUSY } state;
	bool may_stall, is_stalled, is_ended; /* is_ended: the other side sends no more */
	size_t sent_bytes;
	struct reply reply;
	struct connection *next_free; /* while CLOSED or IDLE */
};

static struct {
	uint64_t port, connections, seconds, requests, rate, streams, ramp, stall, stall_s, timeout_s, events, event_bytes,
		body_bytes, receive_buffer, exact;
	const char *path, *mode, *key, *model, *headers;
	int epoll;
	struct request_bytes request;
	struct reply_plan plan;
	struct answers answers;
	struct connection *all, *idle, *closed; /* owned; the other two are lists through next_free */
	uint64_t begin_ns, end_ns, stall_until_ns;
	uint64_t connecting, busy, started, complete, failed;
	struct histogram latency;
	struct {
		const char *what;
		uint64_t count;
	} faults[FAULTS];
	char input[READ_BYTES];
} load;

static void connection_close(struct connection *c)
{
	if (c->state == IDLE) {
		struct connection **link = &load.idle;
		while (*link != c)
			link = &(*link)->next_free;
		*link = c->next_free;
	}
	close(c->descriptor);
	c->state = CLOSED;
	c->next_free = load.closed;
	load.closed = c;
}

static void request_failed(struct connection *c, const char *fault)
{
	load.failed++;
	load.busy--;
	if (c->state == CONNECTING)
		load.connecting--;
	for (int i = 0; i < FAULTS; i++) {
		if (!load.faults[i].what)
			load.faults[i].what = fault;
		if (strcmp(load.faults[i].what, fault) == 0) {
			load.faults[i].count++;
			break;
		}
	}
	connection_close(c);
}

static void request_complete(struct connection *c, uint64_t now)
{
	load.complete++;
	load.busy--;
	histogram_add(&load.latency, now - c->reply.asked_ns);
	if (c->reply.will_close || c->is_ended || load.streams) {
		connection_close(c);
		return;
	}
	c->state = IDLE;
	c->next_free = load.idle;
	load.idle = c;
}

static void request_send(struct connection *c)
{
	while (c->sent_bytes < load.request.count) {
		ssize_t sent =
			send(c->descriptor, load.request.bytes + c->sent_bytes, load.request.count - c->sent_bytes, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			request_failed(c, "cut while sending");
			return;
		}
		c->sent_bytes += (size_t)sent;
	}
}

/* Begins a request on an idle connection, or on a new one; false: none is free now. */
static bool request_start(uint64_t asked_ns)
{
	struct connection *c = load.idle;
	bool is_new = !c;
	if (is_new && load.connecting < CONNECTING_MAX)
		c = load.closed;
	if (!c)
		return false;
	if (is_new) {
		c->descriptor = socket_connect((uint16_t)load.port, load.path);
		if (c->descriptor < 0)
			end_with("no connection: %s", strerror(errno));
		load.closed = c->next_free;
		socket_buffer(c->descriptor, SO_RCVBUF, load.receive_buffer);
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
		epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->descriptor, &event);
		load.connecting++;
	} else {
		load.idle = c->next_free;
	}
	load.started++;
	load.busy++;
	c->state = is_new ? CONNECTING : BUSY;
	c->sent_bytes = 0;
	c->is_stalled = c->is_ended = false;
	reply_begin(&c->reply, asked_ns);
	if (!is_new)
		request_send(c);
	return true;
}

/* When the next request is due: 0 is as soon as a connection is free, UINT64_MAX is never. */
static uint64_t next_due_ns(uint64_t now)
{
	if ((load.requests && load.started >= load.requests) || now >= load.end_ns)
		return UINT64_MAX;
	return load.rate ? load.begin_ns + load.started * 1000000000 / load.rate : 0;
}

static void start_due(void)
{
	for (;;) {
		uint64_t now = now_ns(), due_ns = next_due_ns(now);
		if (due_ns > now || !request_start(due_ns ? due_ns : now))
			return;
	}
}

/* What the first bad answer said, for who reads along. */
static void show_once(const char *fault, size_t count)
{
	if (load.failed == 0)
		fprintf(stderr, "the first bad answer, %s: %.*s\n", fault, (int)(count < 600 ? count : 600), load.input);
}

static void connection_read(struct connection *c)
{
	while (c->state == BUSY) {
		if (c->is_stalled && now_ns() < load.stall_until_ns)
			return;
		c->is_stalled = false;
		ssize_t got = recv(c->descriptor, load.input, READ_BYTES, 0);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			request_failed(c, got == 0 ? "cut" : "reset");
			return;
		}
		uint64_t now = now_ns();
		enum reply_state state = reply_take(&c->reply, &load.plan, load.input, (size_t)got, now);
		if (state == REPLY_BAD) {
			show_once(c->reply.fault, (size_t)got);
			request_failed(c, c->reply.fault);
		}
		if (state == REPLY_COMPLETE)
			request_complete(c, now);
		c->is_stalled = c->may_stall && now < load.stall_until_ns;
		if (got < READ_BYTES && !c->is_ended)
			return;
	}
}

static void connection_event(struct connection *c, uint32_t events)
{
	if (c->state == CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		int error = 0;
		socklen_t error_bytes = sizeof error;
		getsockopt(c->descriptor, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
		if (error) {
			request_failed(c, "no connection");
			return;
		}
		load.connecting--;
		c->state = BUSY;
	}
	c->is_ended |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	if (c->state == BUSY && (events & EPOLLOUT))
		request_send(c);
	if (c->state == BUSY && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		connection_read(c);
	else if (c->state == IDLE && (events & EPOLLRDHUP))
		connection_close(c);
}

static void end_stall(uint64_t now)
{
	if (!load.stall || now < load.stall_until_ns)
		return;
	load.stall = 0;
	for (uint64_t i = 0; i < load.connections; i++)
		connection_read(&load.all[i]);
}

/* Waits until something happens, the next request is due, or the stall ends. */
static int wait_for(struct epoll_event *events, int count, uint64_t deadline_ns)
{
	uint64_t now = now_ns(), until = deadline_ns, due_ns = next_due_ns(now);
	/* One that is overdue waits for a connection, which is an event. */
	if (due_ns > now && due_ns < until)
		until = due_ns;
	if (load.stall && load.stall_until_ns < until)
		until = load.stall_until_ns;
	uint64_t wait_ns = until > now ? until - now : 0;
	struct timespec wait = { .tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000) };
	return epoll_pwait2(load.epoll, events, count, &wait, NULL);
}

static void run(void)
{
	struct epoll_event events[256];
	load.begin_ns = now_ns();
	load.end_ns = load.seconds ? load.begin_ns + load.seconds * 1000000000 : UINT64_MAX;
	load.stall_until_ns = load.begin_ns + load.stall_s * 1000000000;
	uint64_t deadline_ns = load.begin_ns + load.timeout_s * 1000000000;
	while (load.failed < FAILED_MAX) {
		start_due();
		uint64_t now = now_ns();
		if (now >= deadline_ns || (load.busy == 0 && next_due_ns(now) == UINT64_MAX))
			break;
		int count = wait_for(events, 256, deadline_ns);
		for (int i = 0; i < count; i++)
			connection_event(events[i].data.ptr, events[i].events);
		end_stall(now_ns());
	}
	for (uint64_t i = 0; i < load.connections; i++)
		if (load.all[i].state == BUSY || load.all[i].state == CONNECTING)
			request_failed(&load.all[i], "not answered in time");
}

static void report(void)
{
	double took_s = (double)(now_ns() - load.begin_ns) / 1e9;
	printf("{\"mode\":\"%s\",\"connections\":%" PRIu64 ",\"started\":%" PRIu64 ",\"complete\":%" PRIu64
	       ",\"failed\":%" PRIu64 ",\"seconds\":%.3f,\"per_s\":%.1f,\"events\":%" PRIu64 ",\"comments\":%" PRIu64 ",",
	       load.mode, load.connections, load.started, load.complete, load.failed, took_s,
	       (double)load.complete / took_s, load.plan.events, load.plan.comments);
	times_print(&load.latency, "latency_us");
	times_print(&load.plan.first_event, "first_event_us");
	times_print(&load.plan.first_content, "first_content_us");
	times_print(&load.plan.relay, "relay_us");
	printf("\"faults\":{");
	for (int i = 0; i < FAULTS && load.faults[i].what; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", load.faults[i].what, load.faults[i].count);
	printf("}}\n");
}

static void prepare(void)
{
	uint64_t limit = raise_file_limit();
	if (load.streams) {
		load.connections = load.requests = load.streams;
		load.rate = load.ramp;
		load.seconds = 0;
	}
	if (load.connections + 16 > limit)
		end_with("%" PRIu64 " connections are more than the %" PRIu64 " files that may be open", load.connections,
		         limit);
	load.plan.is_stream = load.plan.has_usage = strcmp(load.mode, "stream") == 0;
	answers_init(&load.answers, (uint32_t)load.events, (uint32_t)load.event_bytes);
	load.plan.answers = &load.answers;
	load.plan.is_exact = load.exact != 0;
	request_make(&load.request, load.model, load.key, load.headers, load.plan.is_stream, load.body_bytes);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.all = memory_or_end(load.connections * sizeof *load.all);
	for (uint64_t i = load.connections; i-- > 0;) {
		load.all[i].may_stall = i < load.stall;
		load.all[i].next_free = load.closed;
		load.closed = &load.all[i];
	}
}

int main(int count, char **arguments)
{
	load.connections = 1;
	load.ramp = 1000;
	load.stall_s = 5;
	load.timeout_s = 120;
	load.events = 20;
	load.event_bytes = 200;
	load.body_bytes = 1000;
	load.mode = "json";
	load.model = "m";
	load.exact = 1;
	const struct tool_option options[] = {
		{ "port", &load.port, NULL },
		{ "unix", NULL, &load.path },
		{ "mode", NULL, &load.mode },
		{ "connections", &load.connections, NULL },
		{ "seconds", &load.seconds, NULL },
		{ "requests", &load.requests, NULL },
		{ "rate", &load.rate, NULL },
		{ "streams", &load.streams, NULL },
		{ "ramp", &load.ramp, NULL },
		{ "stall", &load.stall, NULL },
		{ "stall-s", &load.stall_s, NULL },
		{ "timeout-s", &load.timeout_s, NULL },
		{ "events", &load.events, NULL },
		{ "event-bytes", &load.event_bytes, NULL },
		{ "body-bytes", &load.body_bytes, NULL },
		{ "key", NULL, &load.key },
		{ "model", NULL, &load.model },
		{ "receive-buffer", &load.receive_buffer, NULL },
		{ "exact", &load.exact, NULL },
		{ "headers", NULL, &load.headers },
	};
	options_read(count, arguments, options, sizeof options / sizeof options[0]);
	if (!load.seconds && !load.requests && !load.streams)
		end_with("one of --seconds, --requests and --streams says when to end");
	signal(SIGPIPE, SIG_IGN);
	prepare();
	run();
	report();
	return load.failed == 0 ? 0 : 1;
}
