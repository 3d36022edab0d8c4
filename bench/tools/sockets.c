#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void end_with(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

void *memory_or_end(size_t bytes)
{
	void *memory = calloc(1, bytes);
	if (!memory)
		end_with("no memory for %zu bytes", bytes);
	return memory;
}

uint64_t raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

/* The address of a path, or of the port on the loopback; returns its size. */
static socklen_t address_of(struct sockaddr_storage *address, uint16_t port, const char *path)
{
	memset(address, 0, sizeof *address);
	if (path) {
		struct sockaddr_un *local = (struct sockaddr_un *)address;
		local->sun_family = AF_UNIX;
		if (strlen(path) >= sizeof local->sun_path)
			end_with("%s is too long for the path of a socket", path);
		memcpy(local->sun_path, path, strlen(path));
		return sizeof *local;
	}
	struct sockaddr_in *loopback = (struct sockaddr_in *)address;
	loopback->sin_family = AF_INET;
	loopback->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	loopback->sin_port = htons(port);
	return sizeof *loopback;
}

int socket_listen(uint16_t *port, const char *path)
{
	struct sockaddr_storage address;
	socklen_t address_bytes = address_of(&address, *port, path);
	int descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;
	if (path)
		unlink(path);
	else
		setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(descriptor, (struct sockaddr *)&address, address_bytes) != 0 || listen(descriptor, 4096) != 0)
		end_with("can't listen: %s", strerror(errno));
	if (!path) {
		struct sockaddr_in bound;
		socklen_t bound_bytes = sizeof bound;
		getsockname(descriptor, (struct sockaddr *)&bound, &bound_bytes);
		*port = ntohs(bound.sin_port);
	}
	return descriptor;
}

int socket_connect(uint16_t port, const char *path)
{
	struct sockaddr_storage address;
	socklen_t address_bytes = address_of(&address, port, path);
	int descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	if (!path)
		socket_no_delay(descriptor);
	if (connect(descriptor, (struct sockaddr *)&address, address_bytes) != 0 && errno != EINPROGRESS) {
		close(descriptor);
		return -1;
	}
	return descriptor;
}

void socket_no_delay(int descriptor)
{
	int one = 1;
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void socket_buffer(int descriptor, int which, uint64_t bytes)
{
	int size = (int)bytes;
	if (size)
		setsockopt(descriptor, SOL_SOCKET, which, &size, sizeof size);
}

static const struct tool_option *option_find(const char *argument, const struct tool_option *options, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, options[i].name) == 0)
			return &options[i];
	return NULL;
}

void options_read(int count, char **arguments, const struct tool_option *options, size_t option_count)
{
	for (int i = 1; i < count; i += 2) {
		const struct tool_option *option = option_find(arguments[i], options, option_count);
		if (!option || i + 1 == count) {
			fprintf(stderr, "options, each with a value:");
			for (size_t at = 0; at < option_count; at++)
				fprintf(stderr, " --%s", options[at].name);
			fputc('\n', stderr);
			end_with("%s is not an option, or has no value", arguments[i]);
		}
		if (option->text) {
			*option->text = arguments[i + 1];
			continue;
		}
		char *end;
		errno = 0;
		*option->number = strtoull(arguments[i + 1], &end, 10);
		if (errno || *end || end == arguments[i + 1])
			end_with("%s needs a whole number, not %s", arguments[i], arguments[i + 1]);
	}
}
