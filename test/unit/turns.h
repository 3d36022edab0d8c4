/* Running a loop turn by turn until something is so, and the far end of a connection as a plain socket. Nothing here waits for time to pass:
 * a condition that never comes true fails the test. */
#ifndef PENSTOCK_TEST_TURNS_H
#define PENSTOCK_TEST_TURNS_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/loop_uv.h"

#define PATIENCE_NS (20 * NS_PER_S)

/* Looks at the condition again soon, whatever the loop waits for: it may be about the other end. */
static inline void turn_soon(struct timer *timer)
{
	timer_start_after(timer, NS_PER_MS);
}

#define run_until(loop, condition)                                                           \
	do {                                                                                     \
		struct timer run_tick;                                                               \
		const int64_t run_end_ns = clock_now_ns() + PATIENCE_NS;                             \
		timer_init(&run_tick, (loop), turn_soon);                                            \
		timer_start_after(&run_tick, 0);                                                     \
		while (!(condition)) {                                                               \
			ck_assert_msg(clock_now_ns() < run_end_ns, "waited in vain for %s", #condition); \
			uv_run(&(loop)->uv, UV_RUN_ONCE);                                                \
		}                                                                                    \
		timer_stop(&run_tick);                                                               \
	} while (0)

/* Lets what is ready happen: for checks that nothing does. */
static inline void run_turns(struct loop *loop, int count)
{
	while (count-- > 0)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
}

static inline struct loop *new_loop(void)
{
	struct loop *loop;
	ck_error_is(loop_new(&loop), OK);
	return loop;
}

/* The far end of a connection. */
struct peer {
	int fd;
	struct bytes got;
	bool has_ended; /* end of file or an error was read */
	int error;      /* errno, 0 for end of file */
};

static inline void set_nonblocking(int fd)
{
	ck_assert_int_eq(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

/* A pair of connected sockets; fds[1] is for the code under test. */
static inline void peer_pair(struct peer *peer, int *other)
{
	int fds[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*peer = (struct peer){ .fd = fds[0] };
	*other = fds[1];
}

static inline void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
	bytes_fini(&peer->got);
}

/* Reads at most `most` bytes of what is there. Returns what has come so far. */
static inline size_t peer_pull_some(struct peer *peer, size_t most)
{
	char buffer[65536];
	while (!peer->has_ended && most > 0) {
		const ssize_t count = recv(peer->fd, buffer, most < sizeof(buffer) ? most : sizeof(buffer), MSG_DONTWAIT);
		if (count > 0) {
			bytes_append(&peer->got, buffer, (size_t)count);
			most -= (size_t)count;
		} else if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
			break;
		} else {
			peer->has_ended = true;
			peer->error = count < 0 ? errno : 0;
		}
	}
	return peer->got.len;
}

static inline size_t peer_pull(struct peer *peer)
{
	return peer_pull_some(peer, SIZE_MAX);
}

static inline bool peer_ended(struct peer *peer)
{
	peer_pull(peer);
	return peer->has_ended;
}

static inline bool peer_has(struct peer *peer, const char *text)
{
	peer_pull(peer);
	return strstr(bytes_text(&peer->got), text) != NULL;
}

/* Small texts only: all of it goes. */
static inline void peer_say(struct peer *peer, const char *text)
{
	ck_assert_int_eq(send(peer->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next close sends a reset (TCP). */
static inline void peer_reset(struct peer *peer)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	peer_close(peer);
}

/* A listening TCP socket on 127.0.0.1 or ::1; -1 where the machine has no such address. */
static inline int listen_tcp(int family, uint16_t *port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *name = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
	const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, name, len) != 0 || listen(fd, 8) != 0 || getsockname(fd, name, &len) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	return fd;
}

/* A connected pair over TCP; *other is for the code under test. */
static inline void peer_pair_tcp(struct peer *peer, int *other)
{
	uint16_t port = 0;
	const int listening = listen_tcp(AF_INET, &port);
	ck_assert_int_ge(listening, 0);
	const struct sockaddr_in name = { .sin_family = AF_INET,
		                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                              .sin_port = htons(port) };
	*peer = (struct peer){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	ck_assert_int_eq(connect(peer->fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	*other = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(*other, 0);
	close(listening);
}

#endif
