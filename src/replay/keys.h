/* Which tenant of a trace sends which API key. */
#ifndef PENSTOCK_REPLAY_KEYS_H
#define PENSTOCK_REPLAY_KEYS_H

#include "base/arena.h"
#include "base/error.h"
#include "replay/workload.h"

/* by_label: one entry a label of the workload (borrowed from the arena, or `key`), for body_settings. text: tenant=key,... or the path of a
 * file with a line each (# comments); NULL = `key` for all. A tenant that isn't in it has `key`, which may be NULL. ERROR_SYNTAX, ERROR_MEMORY,
 * what reading gave; a sentence in *fault. */
enum error keys_read(const char *text, const char *key, const struct workload *workload, struct arena *arena,
                     const char ***by_label, struct bytes *fault);

#endif
