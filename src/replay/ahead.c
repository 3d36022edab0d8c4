#include "replay/ahead.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"

/* From so many requests in the first second on, one for each 20 ms of them, at most so many. */
#define RATE_MIN 2000
#define SHARE 50
#define CONNECTIONS_MAX 512
#define PATIENCE_NS (2 * NS_PER_S)

struct opening {
	struct ahead *ahead;
	struct http_call *call; /* NULL: over */
};

struct ahead {
	struct opening openings[CONNECTIONS_MAX];
	uint32_t count;
	uint32_t left;
	struct timer patience; /* also what calls done where there is nothing to wait for */
	struct bytes head;
	void (*done)(void *owner);
	void *owner;
};

static void on_patience(struct timer *timer)
{
	struct ahead *ahead = container_of(timer, struct ahead, patience);
	for (uint32_t i = 0; i < ahead->count; i++)
		http_call_cancel(&ahead->openings[i].call);
	ahead->done(ahead->owner);
}

static void on_head(void *owner, const struct http_head *head)
{
	(void)owner;
	(void)head;
}

static void on_body(void *owner, struct span data)
{
	(void)owner;
	(void)data;
}

static void on_end(void *owner, enum error why)
{
	struct opening *opening = owner;
	struct ahead *ahead = opening->ahead;
	(void)why;
	opening->call = NULL;
	if (--ahead->left == 0)
		timer_start_after(&ahead->patience, 0);
}

enum error ahead_start(struct loop *loop, struct http_pool *pool, const struct url *url, uint32_t first_second,
                       void (*done)(void *owner), void *owner, struct ahead **out)
{
	static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };
	struct ahead *ahead = calloc(1, sizeof(*ahead));
	*out = ahead;
	if (!ahead)
		return ERROR_MEMORY;
	ahead->done = done;
	ahead->owner = owner;
	bytes_printf(&ahead->head, "GET %s/v1/models HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock-replay\r\n\r\n",
	             url->path, url->authority);
	timer_init(&ahead->patience, loop, on_patience);
	const struct http_request request = { .head = bytes_span(&ahead->head), .connect_ns = PATIENCE_NS };
	const uint32_t wanted = first_second < RATE_MIN ? 0 : (uint32_t)min_ll(first_second / SHARE, CONNECTIONS_MAX);
	for (; ahead->count < wanted; ahead->count++) {
		struct opening *opening = &ahead->openings[ahead->count];
		opening->ahead = ahead;
		if (http_call_start(pool, &request, &events, opening, &opening->call) != OK)
			break;
		ahead->left++;
	}
	timer_start_after(&ahead->patience, ahead->left ? PATIENCE_NS : 0);
	return OK;
}

void ahead_free(struct ahead **slot)
{
	struct ahead *ahead = *slot;
	if (!ahead)
		return;
	*slot = NULL;
	timer_stop(&ahead->patience);
	for (uint32_t i = 0; i < ahead->count; i++)
		http_call_cancel(&ahead->openings[i].call);
	bytes_fini(&ahead->head);
	free(ahead);
}
