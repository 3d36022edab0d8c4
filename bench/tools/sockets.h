/* What the measuring tools have in common: the clock, sockets, memory and the command line. Each runs on one thread, and ends with a
 * message where it can't go on: they are tools of a bench, not servers. */
#ifndef PENSTOCK_BENCH_SOCKETS_H
#define PENSTOCK_BENCH_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Monotonic nanoseconds. */
uint64_t now_ns(void);
/* Prints `name: message` and ends with status 2. */
[[gnu::noreturn, gnu::format(printf, 1, 2)]] void end_with(const char *format, ...);
/* Zeroed; ends the process where there is none. */
void *memory_or_end(size_t bytes);
/* Raises the limit of open files to what the system allows, and returns it. */
uint64_t raise_file_limit(void);

/* A listening socket, nonblocking: on 127.0.0.1:*port (0: any, *port is then set), or at path where that is given. */
int socket_listen(uint16_t *port, const char *path);
/* A nonblocking socket that is being connected to 127.0.0.1:port or to path; -1 if it can't be. */
int socket_connect(uint16_t port, const char *path);
/* Small writes leave at once. */
void socket_no_delay(int descriptor);
/* Sets SO_SNDBUF or SO_RCVBUF to bytes, where they aren't 0. */
void socket_buffer(int descriptor, int which, uint64_t bytes);

/* One option of a tool: --name VALUE. Exactly one of the two is set. */
struct tool_option {
	const char *name;
	uint64_t *number;
	const char **text;
};
/* Reads the command line; ends with a message at what isn't known or no number. */
void options_read(int count, char **arguments, const struct tool_option *options, size_t option_count);

#endif
