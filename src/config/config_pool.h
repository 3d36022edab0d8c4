/* A pool's engine settings as "engine.KEY=VALUE" arguments and back: how serve hands them to a worker process. */
#ifndef PENSTOCK_CONFIG_CONFIG_POOL_H
#define PENSTOCK_CONFIG_CONFIG_POOL_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "config/config.h"

struct config_pool_builder;

/* A pool with every default. name is borrowed. ERROR_MEMORY. */
enum error config_pool_builder_new(const char *name, struct config_pool_builder **out);
void config_pool_builder_free(struct config_pool_builder **builder);
/* "engine.context=4096". ERROR_NOT_FOUND (no such key) or ERROR_SYNTAX with a sentence appended to *why; ERROR_MEMORY. */
enum error config_pool_builder_set(struct config_pool_builder *builder, struct span argument, struct bytes *why);
/* Borrowed from the builder. */
const struct pool_config *config_pool_builder_pool(const struct config_pool_builder *builder);

/* Appends one argument for each engine key of the pool, in the table's order, terminated by NUL bytes, to *out. */
void config_pool_write_arguments(const struct pool_config *pool, struct bytes *out);

/* Whether engines behind upstream.urls serve it, and none of ours. */
bool config_pool_is_upstream(const struct pool_config *pool);
/* Replicas that it has at most: URLs, or engines of ours. */
uint32_t config_pool_replicas(const struct pool_config *pool);
/* Whether every key of the two, and their names, are the same. */
bool config_pool_same(const struct pool_config *a, const struct pool_config *b);

/* Whether two routes promise the same and allow the same rates: what is handed on at the start. */
bool config_route_same_promise(const struct route_config *a, const struct route_config *b);

#endif
