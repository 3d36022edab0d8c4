/* The cells of one sequence as llama.cpp writes them, made fit for every lane.
 *
 * llama_state_seq_get_data of v0.5.0 (src/llama-kv-cache.cpp, state_write) gives
 *
 *   magic u32, sequence u32, streams u32, then for each stream: cells u32 and, unless 0, their positions, keys and values
 *
 * and set_data takes a state only when `streams` is its context's own number: 1 with a common room, else the number of sequences, all but one of
 * them empty. A state is kept as of one stream, with as many empty ones behind it as another lane may want. Warm-up checks that this still holds. */
#ifndef PENSTOCK_ENGINE_LLAMA_STATE_H
#define PENSTOCK_ENGINE_LLAMA_STATE_H

#include <llama.h>

#include <stdbool.h>

#include "base/error.h"
#include "engine/kv_state.h"

/* streams: of the context; streams_max: of any lane's. NULL: no memory, or the library wrote nothing. */
struct kv_state *llama_state_save(struct llama_context *context, uint32_t streams, uint32_t streams_max,
                                  int32_t sequence, uint32_t tokens);
/* All of the state into an empty sequence. ERROR_BUSY: no room for it, or not one of this model's; the sequence is empty then. Any thread that has the
 * context to itself. */
enum error llama_state_restore(struct llama_context *context, uint32_t streams, uint32_t streams_max, int32_t sequence,
                               const struct kv_state *state);

#endif
