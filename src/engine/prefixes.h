/* Cached prefixes: the KV cells of prompts and of whole conversations, so that who begins with the same tokens does not compute them again.
 *
 * Found by the hashes of their blocks of PREFIX_BLOCK tokens, chained from the first on and salted with the tenant: a tenant sees its own only, not
 * even by its times. What is found is compared token by token. The least recently used ones go when the memory is used up. One lock inside;
 * any thread. */
#ifndef PENSTOCK_ENGINE_PREFIXES_H
#define PENSTOCK_ENGINE_PREFIXES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/kv_state.h"

#define PREFIX_BLOCK 32

struct prefixes;

/* bytes_max: of the states held; 0 caches nothing. whole: states can't be cut (recurrent models), so that only one of exactly that many tokens
 * is of use. ERROR_MEMORY. */
enum error prefixes_new(uint64_t bytes_max, bool whole, struct prefixes **out);
void prefixes_free(struct prefixes **prefixes);

/* The state that has most of the first `count` tokens; *shared: how many, a multiple of nothing. NULL when fewer than PREFIX_BLOCK are known. The
 * reference is the caller's. */
struct kv_state *prefixes_find(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count,
                               uint32_t *shared);
/* Is it worth saving the state of these tokens: do they go on for a block past what is known? */
bool prefixes_wants(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count);
/* Keeps a state (a reference of its own) of the first state->tokens tokens; one that these go on from is dropped for it. Tokens are copied. Without
 * memory nothing is kept. */
void prefixes_add(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, struct kv_state *state);
/* Writes what is cached to a file, whole or not at all, readable by its owner only (it holds what tenants asked); nothing when nothing is cached.
 * identity: of the engine that can use it. ERROR_IO. */
enum error prefixes_save(struct prefixes *prefixes, const char *path, uint64_t identity);
/* Takes in what such a file holds. ERROR_NOT_FOUND: there is none; ERROR_UNSUPPORTED: another engine's; ERROR_SYNTAX: damaged (what came before is
 * kept); ERROR_MEMORY. */
enum error prefixes_load(struct prefixes *prefixes, const char *path, uint64_t identity);
/* Bytes that the states hold. */
uint64_t prefixes_bytes(struct prefixes *prefixes);

#endif
