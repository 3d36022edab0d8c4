/* Where a model's file is: a known name (fetched by the set-up) or a path. */
#ifndef PENSTOCK_ENGINE_MODEL_PATH_H
#define PENSTOCK_ENGINE_MODEL_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

/* A name without '/' and ".gguf" is NAME.gguf in the cache's models folder ($PENSTOCK_CACHE, else penstock under $XDG_CACHE_HOME
 * or ~/.cache). ERROR_NOT_FOUND with a sentence that says where it was looked for and what to do. */
enum error model_path_find(const char *model, char *out, size_t out_size, struct bytes *fault);
/* The faster weights of a known name that set-up made beside it (NAME.q8_0.gguf, engine/weights.h); false: there are none, or it is a path. */
bool model_path_find_fast(const char *model, char *out, size_t out_size);
/* What clients see as the model's name: the known name, or the file's name without ".gguf". */
void model_path_name(const char *model, char *out, size_t out_size);

#endif
