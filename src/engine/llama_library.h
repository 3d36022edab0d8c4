/* The library's own start and end, for both that use it: llama.c, which defines these, and embedder.c. */
#ifndef PENSTOCK_ENGINE_LLAMA_LIBRARY_H
#define PENSTOCK_ENGINE_LLAMA_LIBRARY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct pool_config;

/* What the library says while *is_open is false counts as a warning, later for debugging. Always to be ended. On error *fault holds a sentence. */
enum error llama_library_start(const atomic_bool *is_open, struct bytes *fault);
void llama_library_end(void);
int32_t llama_thread_count(const struct pool_config *settings);

#endif
