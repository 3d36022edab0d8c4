/* A short list of names, newest use first: they come from the config, a handful. */
#include "io/resolve.h"

#include <stdlib.h>
#include <string.h>

/* More than these are forgotten, the longest unused first. */
#define NAMES_MAX 256

struct name {
	struct name *next;
	struct resolve_waiter *first; /* who waits; borrowed */
	struct resolve_answer answer; /* count 0: none yet */
	int64_t answered_ns;
	int64_t retry_ns;  /* no lookup before */
	enum error why;    /* the last lookup's */
	bool is_looking;   /* a lookup is under way */
	bool is_answering; /* waiters are being told */
	bool is_refused;   /* that was said */
	char host[];
};

struct resolver {
	resolve_start *start;
	void *context; /* borrowed */
	struct name *names;
};

enum error resolver_new(resolve_start *start, void *context, struct resolver **out)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	if (!resolver)
		return ERROR_MEMORY;
	*resolver = (struct resolver){ .start = start, .context = context };
	*out = resolver;
	return OK;
}

void resolver_free(struct resolver **resolver_slot)
{
	struct resolver *resolver = *resolver_slot;
	if (!resolver)
		return;
	*resolver_slot = NULL;
	while (resolver->names) {
		struct name *name = resolver->names;
		resolver->names = name->next;
		MUST(!name->first);
		free(name);
	}
	free(resolver);
}

/* NULL when it is not known; else it is the first in the list afterwards. */
static struct name *find(struct resolver *resolver, const char *host)
{
	struct name **slot = &resolver->names;
	while (*slot && strcmp((*slot)->host, host) != 0)
		slot = &(*slot)->next;
	struct name *name = *slot;
	if (name) {
		*slot = name->next;
		name->next = resolver->names;
		resolver->names = name;
	}
	return name;
}

static void forget_unused(struct resolver *resolver)
{
	struct name **last = NULL;
	unsigned count = 0;
	for (struct name **slot = &resolver->names; *slot; slot = &(*slot)->next) {
		count++;
		if (!(*slot)->is_looking && !(*slot)->is_answering)
			last = slot;
	}
	if (count < NAMES_MAX || !last)
		return;
	struct name *gone = *last;
	*last = gone->next;
	free(gone);
}

static struct name *add(struct resolver *resolver, const char *host)
{
	size_t size = strlen(host) + 1;
	forget_unused(resolver);
	struct name *name = calloc(1, sizeof(*name) + size);
	if (!name)
		return NULL;
	memcpy(name->host, host, size);
	name->retry_ns = INT64_MIN;
	name->next = resolver->names;
	resolver->names = name;
	return name;
}

static enum error look_up(struct resolver *resolver, struct name *name)
{
	enum error error = name->is_looking ? OK : resolver->start(resolver->context, name->host);
	if (!error)
		name->is_looking = true;
	return error;
}

static void wait_for(struct name *name, struct resolve_waiter *waiter)
{
	waiter->next = name->first;
	waiter->slot = &name->first;
	if (waiter->next)
		waiter->next->slot = &waiter->next;
	name->first = waiter;
}

enum error resolver_get(struct resolver *resolver, const char *host, int64_t now_ns, struct resolve_waiter *waiter,
                        struct resolve_answer *out)
{
	struct name *name = find(resolver, host);
	if (!name)
		name = add(resolver, host);
	if (!name)
		return ERROR_MEMORY;
	bool has_answer = name->answer.count && now_ns < name->answered_ns + RESOLVE_FRESH_NS + RESOLVE_STALE_NS;
	if (has_answer) {
		bool is_due = now_ns >= name->answered_ns + RESOLVE_FRESH_NS && now_ns >= name->retry_ns;
		enum error error = is_due ? look_up(resolver, name) : OK;
		/* A refresh that can't even start is as one that failed: the old answer serves. */
		if (error) {
			name->why = error;
			name->retry_ns = now_ns + RESOLVE_RETRY_NS;
		}
		*out = name->answer;
		return OK;
	}
	if (!name->is_looking && now_ns < name->retry_ns)
		return name->why;
	enum error error = look_up(resolver, name);
	if (error)
		return error;
	wait_for(name, waiter);
	return ERROR_BUSY;
}

void resolve_waiter_cancel(struct resolve_waiter *waiter)
{
	if (!waiter->slot)
		return;
	*waiter->slot = waiter->next;
	if (waiter->next)
		waiter->next->slot = waiter->slot;
	waiter->slot = NULL;
}

static bool same_address(const union resolve_address *a, const struct sockaddr *b)
{
	if (a->any.sa_family != b->sa_family)
		return false;
	if (b->sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return memcmp(&a->v6.sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

/* The address at `first` becomes the first, the order stays. */
static void rotate(struct resolve_answer *answer, unsigned first)
{
	struct resolve_answer old = *answer;
	for (unsigned i = 0; i < old.count; i++)
		answer->addresses[i] = old.addresses[(first + i) % old.count];
}

/* What came first before still does: it may be the only one that answers. */
static void take_answer(struct name *name, const struct resolve_answer *answer)
{
	union resolve_address first = name->answer.addresses[0];
	bool had_one = name->answer.count;
	name->answer = *answer;
	for (unsigned i = 0; had_one && i < answer->count; i++) {
		if (same_address(&answer->addresses[i], &first.any)) {
			rotate(&name->answer, i);
			return;
		}
	}
}

void resolver_answer(struct resolver *resolver, const char *host, enum error why, const struct resolve_answer *answer,
                     int64_t now_ns)
{
	struct name *name = resolver->names;
	while (name && strcmp(name->host, host) != 0)
		name = name->next;
	MUST(name && name->is_looking);
	if (!why && answer->count == 0)
		why = ERROR_NOT_FOUND;
	name->is_looking = false;
	name->why = why;
	if (why) {
		name->retry_ns = now_ns + RESOLVE_RETRY_NS;
	} else {
		take_answer(name, answer);
		name->answered_ns = now_ns;
		name->retry_ns = INT64_MIN;
	}
	name->is_answering = true;
	struct resolve_answer told = name->answer;
	/* Who starts to wait inside has to do with a lookup of its own. */
	struct resolve_waiter *waiters = name->first;
	name->first = NULL;
	if (waiters)
		waiters->slot = &waiters;
	while (waiters) {
		struct resolve_waiter *waiter = waiters;
		resolve_waiter_cancel(waiter);
		waiter->done(waiter, why, why ? NULL : &told);
	}
	name->is_answering = false;
}

void resolver_note_failure(struct resolver *resolver, const char *host, const struct sockaddr *address)
{
	struct name *name = find(resolver, host);
	/* Only the first: a connection that began before others found out must not bring the order back. */
	if (name && name->answer.count > 1 && same_address(&name->answer.addresses[0], address))
		rotate(&name->answer, 1);
}

bool resolver_is_first_refusal(struct resolver *resolver, const char *host)
{
	struct name *name = find(resolver, host);
	bool is_first = name && !name->is_refused;
	if (is_first)
		name->is_refused = true;
	return is_first;
}

/* ---- addresses that a name must not lead to ---- */

static bool is_local_v4(uint32_t address)
{
	return address >> 24 == 0 || address >> 24 == 127 || address >> 16 == 0xa9fe || address >> 28 == 0xe ||
	       address == INADDR_BROADCAST;
}

bool resolve_is_local(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_local_v4(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
	if (address->sa_family != AF_INET6)
		return true;
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
	uint32_t last;
	memcpy(&last, v6->s6_addr + 12, sizeof(last));
	/* ::a.b.c.d is long out of use, but :: and ::1 are of its form; 64:ff9b::/96 is what NAT64 makes of IPv4 addresses. */
	static const uint8_t translated[12] = { 0x00, 0x64, 0xff, 0x9b };
	bool is_v4 = IN6_IS_ADDR_V4MAPPED(v6) || memcmp(v6->s6_addr, translated, sizeof(translated)) == 0;
	if (is_v4 || IN6_IS_ADDR_V4COMPAT(v6))
		return is_local_v4(ntohl(last));
	return IN6_IS_ADDR_UNSPECIFIED(v6) || IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_LINKLOCAL(v6) ||
	       IN6_IS_ADDR_MULTICAST(v6);
}
