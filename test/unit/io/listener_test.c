/* Listening sockets: where they really listen, what is in their way, and what happens without descriptors. */
#include "io/listener.h"

#include "turns.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define ACCEPTED_MAX 16

struct door {
	struct listener *listener;
	int fds[ACCEPTED_MAX];
	int accepted;
	bool closes; /* the listener, at the first one */
};

static void on_accepted(void *owner, int fd)
{
	struct door *door = owner;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_lt(door->accepted, ACCEPTED_MAX);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	door->fds[door->accepted++] = fd;
	if (door->closes)
		listener_close(&door->listener);
}

static void door_close(struct door *door)
{
	for (int i = 0; i < door->accepted; i++)
		close(door->fds[i]);
	listener_close(&door->listener);
}

static struct address tcp(const char *host, uint16_t port)
{
	struct address address = { .kind = ADDRESS_TCP, .port = port };
	snprintf(address.host, sizeof(address.host), "%s", host);
	return address;
}

/* A path of this test process alone. */
static struct address unix_path(void)
{
	struct address address = { .kind = ADDRESS_UNIX };
	snprintf(address.path, sizeof(address.path), "/tmp/penstock-listener-%d", (int)getpid());
	unlink(address.path);
	return address;
}

static int knock(const struct address *address)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(address->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(address->port) };
	memcpy(path.sun_path, address->path, sizeof(path.sun_path));
	const bool is_v6 = address->kind == ADDRESS_TCP && inet_pton(AF_INET6, address->host, &v6.sin6_addr) == 1;
	if (address->kind == ADDRESS_TCP && !is_v6)
		ck_assert_int_eq(inet_pton(AF_INET, address->host, &v4.sin_addr), 1);
	const struct sockaddr *name = address->kind == ADDRESS_UNIX ? (const struct sockaddr *)&path
	                              : is_v6                       ? (const struct sockaddr *)&v6
	                                                            : (const struct sockaddr *)&v4;
	const socklen_t len = address->kind == ADDRESS_UNIX ? sizeof(path) : is_v6 ? sizeof(v6) : sizeof(v4);
	const int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, name, len), 0);
	return fd;
}

static void check_door(const struct address *address)
{
	struct loop *loop = new_loop();
	struct door door = { 0 };
	ck_error_is(listener_open(loop, address, on_accepted, &door, &door.listener), OK);
	const struct address *real = listener_address(door.listener);
	ck_assert(real->kind == ADDRESS_UNIX || real->port != 0);
	const int first = knock(real), second = knock(real);
	run_until(loop, door.accepted == 2);
	close(first);
	close(second);
	door_close(&door);
	ck_assert_ptr_null(door.listener);
	listener_close(&door.listener);
	loop_free(&loop);
}

START_TEST(addresses_of_each_kind)
{
	struct address address = tcp("127.0.0.1", 0);
	uint16_t port = 0;
	check_door(&address);
	const int v6 = listen_tcp(AF_INET6, &port);
	if (v6 >= 0) {
		close(v6);
		address = tcp("::1", 0);
		check_door(&address);
	}
	address = unix_path();
	check_door(&address);
	struct stat status;
	ck_assert(lstat(address.path, &status) != 0 && errno == ENOENT);
}
END_TEST

START_TEST(what_cannot_be_bound)
{
	struct loop *loop = new_loop();
	struct listener *listener = NULL;
	uint16_t port = 0;
	const int other = listen_tcp(AF_INET, &port);
	struct address address = tcp("127.0.0.1", port);
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_ADDRESS_IN_USE);
	close(other);
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), OK);
	listener_close(&listener);
	address = tcp("no..such..name", 0);
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_NOT_FOUND);
	address = (struct address){ .kind = ADDRESS_UNIX, .path = "/nowhere/at/all" };
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_NOT_FOUND);
	ck_assert_ptr_null(listener);
	loop_free(&loop);
}
END_TEST

static int bind_unix(const struct address *address, int backlog)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	memcpy(name.sun_path, address->path, sizeof(name.sun_path));
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

START_TEST(a_stale_socket_file_is_replaced)
{
	const struct address address = unix_path();
	close(bind_unix(&address, 1)); /* as a killed process leaves it */
	check_door(&address);
}
END_TEST

START_TEST(a_live_socket_or_another_file_is_not)
{
	struct loop *loop = new_loop();
	struct listener *listener = NULL;
	struct stat status;
	const struct address address = unix_path();
	int live = bind_unix(&address, 0);
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_ADDRESS_IN_USE);
	/* The question itself has filled its queue: an owner that doesn't accept must not keep the next one waiting. */
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_ADDRESS_IN_USE);
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_ADDRESS_IN_USE);
	close(live);
	unlink(address.path);
	live = open(address.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(live);
	ck_error_is(listener_open(loop, &address, on_accepted, NULL, &listener), ERROR_ADDRESS_IN_USE);
	ck_assert(lstat(address.path, &status) == 0 && S_ISREG(status.st_mode));
	unlink(address.path);
	loop_free(&loop);
}
END_TEST

START_TEST(pausing)
{
	struct loop *loop = new_loop();
	struct door door = { 0 };
	const struct address address = unix_path();
	ck_error_is(listener_open(loop, &address, on_accepted, &door, &door.listener), OK);
	listener_pause(door.listener);
	const int client = knock(&address);
	run_turns(loop, 10);
	ck_assert_int_eq(door.accepted, 0);
	listener_resume(door.listener);
	listener_resume(door.listener);
	run_until(loop, door.accepted == 1);
	close(client);
	door_close(&door);
	loop_free(&loop);
}
END_TEST

START_TEST(closing_while_more_wait)
{
	struct loop *loop = new_loop();
	struct door door = { .closes = true };
	const struct address address = unix_path();
	ck_error_is(listener_open(loop, &address, on_accepted, &door, &door.listener), OK);
	int clients[4];
	for (int i = 0; i < 4; i++)
		clients[i] = knock(&address);
	run_until(loop, door.accepted == 1);
	run_turns(loop, 10);
	ck_assert_int_eq(door.accepted, 1);
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	door_close(&door);
	loop_free(&loop);
}
END_TEST

static int turns;

static void count_turn(void *argument)
{
	(void)argument;
	turns++;
}

/* Leaves no descriptor to the process until `give_back`. */
static struct rlimit take_descriptors(void)
{
	struct rlimit limit, none;
	const int lowest = dup(STDERR_FILENO);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	close(lowest);
	none = limit;
	none.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	return limit;
}

START_TEST(out_of_descriptors)
{
	struct loop *loop = new_loop();
	struct door door = { 0 };
	const struct address address = unix_path();
	ck_error_is(listener_open(loop, &address, on_accepted, &door, &door.listener), OK);
	const int client = knock(&address);
	const struct rlimit limit = take_descriptors();
	const int64_t end_ns = clock_now_ns() + 250 * NS_PER_MS;
	turns = 0;
	loop_on_turn_end(loop, count_turn, NULL);
	while (clock_now_ns() < end_ns)
		uv_run(&loop->uv, UV_RUN_ONCE);
	/* Two or three tries in that time, a few turns each: it does not spin on the readable socket. */
	ck_assert_int_lt(turns, 30);
	ck_assert_int_eq(door.accepted, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	run_until(loop, door.accepted == 1);
	close(client);
	door_close(&door);
	loop_free(&loop);
}
END_TEST

/* The owner's pause outlasts the one for want of descriptors. */
START_TEST(a_pause_is_not_ended_by_the_next_try)
{
	struct loop *loop = new_loop();
	struct door door = { 0 };
	const struct address address = unix_path();
	ck_error_is(listener_open(loop, &address, on_accepted, &door, &door.listener), OK);
	const int client = knock(&address);
	const struct rlimit limit = take_descriptors();
	run_turns(loop, 5);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	listener_pause(door.listener);
	const int64_t end_ns = clock_now_ns() + 200 * NS_PER_MS;
	run_until(loop, clock_now_ns() > end_ns);
	ck_assert_int_eq(door.accepted, 0);
	listener_resume(door.listener);
	run_until(loop, door.accepted == 1);
	close(client);
	door_close(&door);
	loop_free(&loop);
}
END_TEST

UNIT_MAIN("io/listener", addresses_of_each_kind, what_cannot_be_bound, a_stale_socket_file_is_replaced,
          a_live_socket_or_another_file_is_not, pausing, closing_while_more_wait, out_of_descriptors,
          a_pause_is_not_ended_by_the_next_try)
