/* Where to listen or connect: host:port, [v6]:port or unix:/path. */
#ifndef PENSTOCK_BASE_ADDRESS_H
#define PENSTOCK_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX };

struct address {
	enum address_kind kind;
	char host[256]; /* TCP: name or literal, without brackets */
	uint16_t port;  /* TCP; 0 = any free one (listening only) */
	char path[108]; /* Unix */
};

/* ERROR_SYNTAX, or ERROR_LIMIT for a path that does not fit a socket address. */
enum error address_parse(struct span text, struct address *out);
/* A Unix socket, 127.0.0.0/8, ::1 or "localhost". */
bool address_is_loopback(const struct address *address);
/* The text that address_parse reads. */
void address_write(struct bytes *out, const struct address *address);

#endif
