/* Addresses of host names, kept: a cache in front of lookups that take their time. Knows no loop and no clock: who looks up (on a loop:
 * resolve_uv.c) and what time it is are given.
 *
 * getaddrinfo does not tell how long its answers hold. One is fresh for RESOLVE_FRESH_NS; after that whoever asks still gets it at once, and a
 * lookup is started behind their back; while lookups fail it goes on being used for RESOLVE_STALE_NS more. One lookup a name at a time, all
 * who wait share it. Belongs to one thread. */
#ifndef PENSTOCK_IO_RESOLVE_H
#define PENSTOCK_IO_RESOLVE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

#define RESOLVE_FRESH_NS (30 * NS_PER_S)
#define RESOLVE_STALE_NS (300 * NS_PER_S)
/* After a lookup that failed, the next one comes no sooner. */
#define RESOLVE_RETRY_NS (1 * NS_PER_S)
/* Of one name; further ones are left out. */
#define RESOLVE_ADDRESSES_MAX 16

struct resolver;

union resolve_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Ports are 0. */
struct resolve_answer {
	unsigned count;
	union resolve_address addresses[RESOLVE_ADDRESSES_MAX];
};

/* Somebody who waits for a lookup; embedded in its owner. */
struct resolve_waiter {
	struct resolve_waiter **slot; /* what points to us; NULL while not waiting */
	struct resolve_waiter *next;
	/* Once. answer is borrowed for the call, NULL with an error. May free the waiter, ask and cancel. */
	void (*done)(struct resolve_waiter *waiter, enum error why, const struct resolve_answer *answer);
};

/* Starts to look a name up, off the thread; resolver_answer follows, never from inside. */
typedef enum error resolve_start(void *context, const char *host);

enum error resolver_new(resolve_start *start, void *context, struct resolver **out);
/* Nobody may wait any more. Sets *resolver to NULL; NULL is fine. */
void resolver_free(struct resolver **resolver);
/* OK: *out has at least one address, in the order to try them. ERROR_BUSY: waiter->done follows. Else why the name has no address. */
enum error resolver_get(struct resolver *resolver, const char *host, int64_t now_ns, struct resolve_waiter *waiter,
                        struct resolve_answer *out);
/* Stops waiting; one that does not wait is fine. The lookup goes on for the others, and for the cache. */
void resolve_waiter_cancel(struct resolve_waiter *waiter);
/* What the lookup that was started for this host gave; answer is not looked at with an error. */
void resolver_answer(struct resolver *resolver, const char *host, enum error why, const struct resolve_answer *answer,
                     int64_t now_ns);
/* This address could not be connected to: from now on the one after it comes first. */
void resolver_note_failure(struct resolver *resolver, const char *host, const struct sockaddr *address);
/* Has this name's address not been refused before? For the one line that is logged. */
bool resolver_is_first_refusal(struct resolver *resolver, const char *host);

/* Leads to this machine, its link or to many: loopback, unspecified, link-local, multicast, broadcast, and IPv4 ones of those in IPv6 clothes.
 * A name of somebody else's must not (DNS rebinding). */
bool resolve_is_local(const struct sockaddr *address);

#endif
