/* The cache of names of a loop, over libuv's lookups. Not for anybody outside io/. */
#ifndef PENSTOCK_IO_RESOLVE_UV_H
#define PENSTOCK_IO_RESOLVE_UV_H

#include "io/loop.h"
#include "io/resolve.h"

/* The loop's own, made when first asked for; NULL: out of memory. */
struct resolver *loop_resolver(struct loop *loop);
/* Lookups that have not begun never will; those under way are waited for when the loop is freed. */
void loop_cancel_lookups(struct loop *loop);

#endif
