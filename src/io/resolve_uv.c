/* getaddrinfo on libuv's threads. libuv lets slow work of this kind have half of its threads (two of four) and no more, so that names which take
 * ten seconds hold up other names at worst, never other work. */
#include "io/resolve_uv.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "io/loop_uv.h"

struct lookup {
	uv_getaddrinfo_t request;
	struct loop *loop;
	struct lookup *previous; /* the loop's list */
	struct lookup *next;
	char host[];
};

static void unlink_lookup(struct lookup *lookup)
{
	if (lookup->previous)
		lookup->previous->next = lookup->next;
	else
		lookup->loop->lookups = lookup->next;
	if (lookup->next)
		lookup->next->previous = lookup->previous;
}

static void collect(const struct addrinfo *found, struct resolve_answer *out)
{
	*out = (struct resolve_answer){ 0 };
	for (; found && out->count < RESOLVE_ADDRESSES_MAX; found = found->ai_next) {
		bool is_known = found->ai_family == AF_INET || found->ai_family == AF_INET6;
		if (is_known && found->ai_addrlen <= sizeof(out->addresses[0]))
			memcpy(&out->addresses[out->count++], found->ai_addr, found->ai_addrlen);
	}
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct lookup *lookup = container_of(request, struct lookup, request);
	struct loop *loop = lookup->loop;
	struct resolve_answer answer;
	bool is_no_name = status <= UV_EAI_ADDRFAMILY && status >= UV_EAI_SOCKTYPE;
	enum error why = is_no_name ? ERROR_NOT_FOUND : loop_error(status);
	collect(status == 0 ? found : NULL, &answer);
	uv_freeaddrinfo(found);
	loop_refresh_now_ns(loop);
	unlink_lookup(lookup);
	resolver_answer(loop->resolver, lookup->host, why, &answer, loop_now_ns(loop));
	free(lookup);
}

static enum error start(void *context, const char *host)
{
	struct loop *loop = context;
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	size_t size = strlen(host) + 1;
	struct lookup *lookup = calloc(1, sizeof(*lookup) + size);
	if (!lookup)
		return ERROR_MEMORY;
	lookup->loop = loop;
	memcpy(lookup->host, host, size);
	int status = uv_getaddrinfo(&loop->uv, &lookup->request, on_looked_up, lookup->host, NULL, &hints);
	if (status < 0) {
		free(lookup);
		return loop_error(status);
	}
	lookup->next = loop->lookups;
	if (lookup->next)
		lookup->next->previous = lookup;
	loop->lookups = lookup;
	return OK;
}

struct resolver *loop_resolver(struct loop *loop)
{
	if (!loop->resolver && resolver_new(start, loop, &loop->resolver) != OK)
		return NULL;
	return loop->resolver;
}

void loop_cancel_lookups(struct loop *loop)
{
	for (struct lookup *lookup = loop->lookups; lookup; lookup = lookup->next)
		uv_cancel((uv_req_t *)&lookup->request);
}
