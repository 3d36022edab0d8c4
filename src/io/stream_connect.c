/* From an address to a connection: literals at once, names by way of the loop's cache, each of their addresses in turn. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/macros.h"
#include "io/resolve_uv.h"
#include "io/stream_parts.h"

struct stream_connecting {
	uv_connect_t request;
	struct stream *stream;
	struct resolve_waiter waiter;
	struct resolve_answer answer;
	unsigned next;   /* of the addresses, the next to try */
	bool is_trying;  /* the one before it has not answered yet */
	bool is_spent;   /* the handle has been tried with */
	bool is_guarded; /* addresses of this machine are refused */
	bool resets;     /* closing is to be a reset */
	bool is_name;    /* the answer is the cache's */
	enum error why;  /* the last failure */
	struct address address;
};

static enum error connect_next(struct stream *stream);

/* The address that is being tried does not answer: others come before it from now on. */
static void note_failure(struct stream_connecting *connecting)
{
	if (connecting->is_name && connecting->is_trying)
		resolver_note_failure(connecting->stream->loop->resolver, connecting->address.host,
		                      &connecting->answer.addresses[connecting->next - 1].any);
	connecting->is_trying = false;
}

void stream_connecting_stop(struct stream_connecting *connecting)
{
	resolve_waiter_cancel(&connecting->waiter);
	note_failure(connecting); /* the owner's patience is over */
}

void stream_connecting_free(struct stream_connecting **connecting)
{
	free(*connecting);
	*connecting = NULL;
}

static void on_connected(uv_connect_t *request, int status)
{
	struct stream_connecting *connecting = container_of(request, struct stream_connecting, request);
	struct stream *stream = connecting->stream;
	if (stream->closing)
		return;
	loop_refresh_now_ns(stream->loop);
	if (status < 0) {
		note_failure(connecting);
		connecting->why = loop_error(status);
		enum error error = connect_next(stream);
		if (error)
			stream_report_end(stream, error);
		return;
	}
	stream_come_up(stream, connecting->address.kind == ADDRESS_TCP);
	stream_connecting_free(&stream->connecting);
	enum error error = stream_start_reading(stream);
	if (!error && stream->tls)
		error = stream_tls_greet(stream);
	if (error)
		stream_report_end(stream, error);
	else if (!stream->tls && stream->events && stream->events->on_open)
		stream->events->on_open(stream->owner);
}

static void on_closed_for_next(uv_handle_t *handle)
{
	struct stream *stream = container_of(handle, struct stream, uv.handle);
	stream->is_reopening = false;
	if (stream->closing) {
		stream_on_handle_closed(handle);
		return;
	}
	MUST(uv_tcp_init(&stream->loop->uv, &stream->uv.tcp) == 0);
	uv_handle_set_data(&stream->uv.handle, (void *)(uintptr_t)&stream_orphan);
	stream->connecting->is_spent = false;
	enum error error = connect_next(stream);
	if (error)
		stream_report_end(stream, error);
}

/* The check is made on the very address that is connected to, so that no answer of a moment later can slip by. */
static bool is_refused(const struct stream_connecting *connecting, const union resolve_address *address)
{
	char text[INET6_ADDRSTRLEN] = "";
	if (!connecting->is_guarded || !resolve_is_local(&address->any))
		return false;
	uv_ip_name(&address->any, text, sizeof(text));
	if (resolver_is_first_refusal(connecting->stream->loop->resolver, connecting->address.host))
		log_line(LOG_WARNING, "%s leads to %s, an address of this machine or its link: not connected to",
		         connecting->address.host, text);
	return true;
}

static void reset_on_close(struct stream *stream)
{
	const struct linger at_once = { .l_onoff = 1 };
	uv_os_fd_t fd;
	if (uv_fileno(&stream->uv.handle, &fd) == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static int try_address(struct stream *stream, union resolve_address *address)
{
	struct stream_connecting *connecting = stream->connecting;
	in_port_t port = htons(connecting->address.port);
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = port;
	else
		address->v4.sin_port = port;
	connecting->is_spent = true;
	int status = uv_tcp_connect(&connecting->request, &stream->uv.tcp, &address->any, on_connected);
	connecting->is_trying = status == 0;
	/* At once: one that is given up while it connects is closed like the others. */
	if (status == 0 && connecting->resets)
		reset_on_close(stream);
	return status;
}

/* A name may have several addresses (localhost: ::1 and 127.0.0.1), and the server may listen on one of them only. A handle that failed to
 * connect can't try again, so it is closed and opened anew. OK: something is under way. */
static enum error connect_next(struct stream *stream)
{
	struct stream_connecting *connecting = stream->connecting;
	while (connecting->next < connecting->answer.count) {
		if (connecting->is_spent) {
			stream->is_reopening = true;
			uv_close(&stream->uv.handle, on_closed_for_next);
			return OK;
		}
		union resolve_address *address = &connecting->answer.addresses[connecting->next++];
		int status = 0;
		if (is_refused(connecting, address))
			connecting->why = ERROR_ADDRESS_FORBIDDEN;
		else if ((status = try_address(stream, address)) == 0)
			return OK;
		else
			connecting->why = loop_error(status);
	}
	return connecting->why;
}

static void on_resolved(struct resolve_waiter *waiter, enum error why, const struct resolve_answer *answer)
{
	struct stream_connecting *connecting = container_of(waiter, struct stream_connecting, waiter);
	struct stream *stream = connecting->stream;
	if (!why) {
		connecting->answer = *answer;
		why = connect_next(stream);
	}
	if (why)
		stream_report_end(stream, why);
}

static enum error connect_to_name(struct stream *stream)
{
	struct stream_connecting *connecting = stream->connecting;
	struct resolver *resolver = loop_resolver(stream->loop);
	if (!resolver)
		return ERROR_MEMORY;
	connecting->is_name = true;
	connecting->waiter.done = on_resolved;
	enum error error = resolver_get(resolver, connecting->address.host, loop_now_ns(stream->loop), &connecting->waiter,
	                                &connecting->answer);
	if (error == ERROR_BUSY)
		return OK;
	return error ? error : connect_next(stream);
}

static enum error connect_tcp(struct stream *stream)
{
	struct stream_connecting *connecting = stream->connecting;
	union resolve_address *address = &connecting->answer.addresses[0];
	const char *host = connecting->address.host;
	if (uv_ip4_addr(host, 0, &address->v4) != 0 && uv_ip6_addr(host, 0, &address->v6) != 0)
		return connect_to_name(stream);
	connecting->answer.count = 1;
	connecting->is_guarded = false;
	return connect_next(stream);
}

enum error stream_connect(struct loop *loop, const struct stream_target *target, const struct stream_events *events,
                          void *owner, struct stream **out)
{
	const struct address *address = target->address;
	struct stream *stream = stream_new(loop, address->kind == ADDRESS_UNIX, events, owner);
	if (!stream)
		return ERROR_MEMORY;
	struct stream_connecting *connecting = calloc(1, sizeof(*connecting));
	enum error error = connecting ? OK : ERROR_MEMORY;
	if (!error && target->tls)
		error = stream_tls_new_client(stream, target->tls);
	if (!error) {
		stream->connecting = connecting;
		connecting->stream = stream;
		connecting->address = *address;
		connecting->resets = target->resets && address->kind == ADDRESS_TCP;
		connecting->is_guarded = !target->allow_local && !address_is_loopback(address);
	} else {
		free(connecting);
	}
	if (!error && address->kind == ADDRESS_UNIX)
		uv_pipe_connect(&connecting->request, &stream->uv.pipe, connecting->address.path, on_connected);
	else if (!error)
		error = connect_tcp(stream);
	if (error) {
		stream_close_handle(stream);
		return error;
	}
	*out = stream;
	return OK;
}
