/* The library itself, before any model: the right version, and the kernels of this machine. */
#ifndef PENSTOCK_ENGINE_LLAMA_LIBRARY_H
#define PENSTOCK_ENGINE_LLAMA_LIBRARY_H

#include "base/bytes.h"
#include "base/error.h"

/* Once a process. ERROR_MODEL with a sentence in *fault: another version, or no kernels beside it. */
enum error llama_library_open(struct bytes *fault);

#endif
