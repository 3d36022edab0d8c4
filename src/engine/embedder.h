/* A model that makes vectors of texts, over llama.cpp's C library: a sentence encoder, or a text model trained for it. */
#ifndef PENSTOCK_ENGINE_EMBEDDER_H
#define PENSTOCK_ENGINE_EMBEDDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "engine/embeddings.h"
#include "engine/engine.h"

struct embedder;

struct embedder_facts {
	char model_name[128];
	uint32_t dimensions;
	uint32_t context_tokens; /* of one input, at most */
	uint32_t batch_tokens;   /* of one computation, at most, unless a single input has more */
	uint32_t batch_inputs;
	uint32_t vocabulary; /* token ids are below this */
};

/* Does the model's file say that it pools, or looks both ways? One that can't be read does not. */
bool embedder_serves(const struct pool_config *settings);
/* Blocks until the model is ready. On error *fault holds a sentence. */
enum error embedder_open(const struct pool_config *settings, engine_progress *progress, void *owner,
                         struct embedder **out, struct bytes *fault);
void embedder_close(struct embedder **embedder);
const struct embedder_facts *embedder_facts(const struct embedder *embedder);
enum error embedder_warm_up(struct embedder *embedder);
/* Fills the input's tokens, which the caller frees, with those that begin and end every input of this model. Any thread. ERROR_MEMORY. */
enum error embedder_take_text(const struct embedder *embedder, struct span text, struct embedding_input *input);
/* The same for `count` token ids, each below the vocabulary; what begins and ends them may be there or not. */
enum error embedder_take_tokens(const struct embedder *embedder, const int32_t *tokens, uint32_t count,
                                struct embedding_input *input);
/* Fills the vectors, each of length 1; the inputs fit in a batch. One thread. `embedder` is a struct embedder. */
enum error embedder_compute(void *embedder, const struct embedding_input *const *inputs, uint32_t count);

#endif
