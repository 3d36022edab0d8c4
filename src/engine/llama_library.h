/* The library's own start and end, for all that use it: llama.c, embedder.c, weights.c. */
#ifndef PENSTOCK_ENGINE_LLAMA_LIBRARY_H
#define PENSTOCK_ENGINE_LLAMA_LIBRARY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct pool_config;

/* Checks the version and loads the kernels of this machine. What the library reports as an error while *is_open is false is logged as a warning, all else
 * for debugging. Always to be ended. On error *fault holds a sentence. */
enum error llama_library_start(const atomic_bool *is_open, struct bytes *fault);
void llama_library_end(void);
/* Threads that compute: engine.threads, or the cores less one for the loops. */
int32_t llama_thread_count(const struct pool_config *settings);

#endif
