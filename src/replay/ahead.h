/* Connections ahead of a steep start: at thousands of requests a second the first milliseconds would need one for each, and making them takes longer
 * than sending. */
#ifndef PENSTOCK_REPLAY_AHEAD_H
#define PENSTOCK_REPLAY_AHEAD_H

#include "base/error.h"
#include "base/url.h"
#include "http/http_client.h"
#include "io/loop.h"

struct ahead;

/* Makes connections of the pool, with a GET /v1/models each, for so many requests in the first second (few: none), then calls done(owner), once,
 * on the loop: when all have been answered or have failed, or after two seconds. ERROR_MEMORY: done isn't called. */
enum error ahead_start(struct loop *loop, struct http_pool *pool, const struct url *url, uint32_t first_second,
                       void (*done)(void *owner), void *owner, struct ahead **out);
/* Before the pool goes. Sets *ahead to NULL; NULL is fine. */
void ahead_free(struct ahead **ahead);

#endif
