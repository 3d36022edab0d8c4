/* A plain listening socket under uv_poll: accept4 gives descriptors that any loop can adopt, whichever kind they are. */
#include "io/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "io/loop_uv.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
/* Out of descriptors: wait before the next try instead of spinning on a readable socket. */
#define RETRY_NS (100 * NS_PER_MS)

struct listener {
	uv_poll_t poll;
	int fd;
	listener_accepted *accepted;
	void *owner;
	struct address address;
	struct timer retry;
	bool paused;
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_retry(struct timer *timer)
{
	listener_resume(container_of(timer, struct listener, retry));
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = container_of(poll, struct listener, poll);
	(void)events;
	if (status < 0)
		return;
	for (int i = 0; i < ACCEPTS_PER_TURN && !listener->paused; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			listener->accepted(listener->owner, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			log_line(LOG_WARNING, "accept failed: %s; trying again in 100 ms", strerror(errno));
			listener_pause(listener);
			timer_start_after(&listener->retry, RETRY_NS);
		}
		return;
	}
}

/* A socket file on which nobody listens was left by a process that was killed. */
static void remove_stale_socket(const struct sockaddr_un *name)
{
	struct stat status;
	if (lstat(name->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
		return;
	/* Non-blocking: somebody listens there who doesn't accept. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)name, sizeof(*name)) != 0 && errno == ECONNREFUSED)
		unlink(name->sun_path);
	close(fd);
}

static enum error bind_socket(int fd, const struct sockaddr *name, socklen_t name_len)
{
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, name, name_len) != 0 || listen(fd, BACKLOG) != 0)
		return errno == EADDRINUSE ? ERROR_ADDRESS_IN_USE : error_from_errno(errno);
	return OK;
}

static enum error open_unix(const struct address *address, int *out)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	memcpy(name.sun_path, address->path, sizeof(name.sun_path));
	remove_stale_socket(&name);
	*out = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*out < 0)
		return error_from_errno(errno);
	return bind_socket(*out, (const struct sockaddr *)&name, sizeof(name));
}

static enum error open_tcp(const struct address *address, int *out)
{
	char port[8];
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	snprintf(port, sizeof(port), "%u", address->port);
	if (getaddrinfo(address->host, port, &hints, &found) != 0)
		return ERROR_NOT_FOUND;
	enum error error = ERROR_NOT_FOUND;
	*out = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*out < 0)
		error = error_from_errno(errno);
	else
		error = bind_socket(*out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return error;
}

static void learn_port(struct listener *listener)
{
	struct sockaddr_storage name;
	socklen_t name_len = sizeof(name);
	if (listener->address.kind != ADDRESS_TCP || getsockname(listener->fd, (struct sockaddr *)&name, &name_len) != 0)
		return;
	if (name.ss_family == AF_INET6)
		listener->address.port = ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
	else
		listener->address.port = ntohs(((struct sockaddr_in *)&name)->sin_port);
}

enum error listener_open(struct loop *loop, const struct address *address, listener_accepted *accepted, void *owner,
                         struct listener **out)
{
	int fd = -1;
	enum error error = address->kind == ADDRESS_UNIX ? open_unix(address, &fd) : open_tcp(address, &fd);
	struct listener *listener = error ? NULL : calloc(1, sizeof(*listener));
	if (!listener) {
		if (fd >= 0)
			close(fd);
		return error ? error : ERROR_MEMORY;
	}
	listener->fd = fd;
	listener->accepted = accepted;
	listener->owner = owner;
	listener->address = *address;
	learn_port(listener);
	timer_init(&listener->retry, loop, on_retry);
	MUST(uv_poll_init_socket(&loop->uv, &listener->poll, fd) == 0);
	MUST(uv_poll_start(&listener->poll, UV_READABLE, on_readable) == 0);
	*out = listener;
	return OK;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct listener *listener = container_of(handle, struct listener, poll);
	close(listener->fd);
	free(listener);
}

void listener_close(struct listener **listener_slot)
{
	struct listener *listener = *listener_slot;
	if (!listener)
		return;
	*listener_slot = NULL;
	listener_pause(listener); /* also ends a round of accepting that we are called from */
	if (listener->address.kind == ADDRESS_UNIX)
		unlink(listener->address.path);
	uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
}

void listener_pause(struct listener *listener)
{
	timer_stop(&listener->retry);
	listener->paused = true;
	uv_poll_stop(&listener->poll);
}

void listener_resume(struct listener *listener)
{
	timer_stop(&listener->retry);
	if (!listener->paused)
		return;
	listener->paused = false;
	uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

const struct address *listener_address(const struct listener *listener)
{
	return &listener->address;
}
