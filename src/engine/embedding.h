/* One embeddings request inside the worker: from its body to the inputs that are computed, and from their vectors to the answer. */
#ifndef PENSTOCK_ENGINE_EMBEDDING_H
#define PENSTOCK_ENGINE_EMBEDDING_H

#include <stdint.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "engine/embedder.h"
#include "engine/embeddings.h"

struct embedding {
	/* Set by the loop before prepare. */
	struct bytes body;   /* owned */
	uint32_t prompt_cap; /* tokens of all inputs; more are refused; 0 = no cap */
	int64_t arrived_ns;

	/* By embedding_prepare. */
	struct arena arena;
	struct api_request request;
	uint32_t prompt_tokens;
	uint32_t dimensions;
	float *vectors; /* owned; shape (inputs, dimensions) */
	int64_t prepared_ns;

	struct embedding_job job; /* owns its inputs */
	struct bytes answer;      /* by embedding_write */
};

/* Takes over body (left empty). ERROR_MEMORY. */
enum error embedding_new(struct bytes *body, struct embedding **out);
void embedding_free(struct embedding **embedding);
/* Reads the body, makes tokens and room for vectors; a pool thread's work. Any error: *fault is what the client is told. */
enum error embedding_prepare(struct embedding *embedding, const struct embedder *embedder, struct api_fault *fault);
/* The vectors are there: OpenAI's answer goes to embedding->answer. A pool thread's work, too: thousands of numbers take their time. */
void embedding_write(struct embedding *embedding, const char *model);
/* The account for the gateway, as answer_write_timings writes it. */
void embedding_write_timings(const struct embedding *embedding, struct bytes *out);
/* Standard base64 with padding, of the floats' bytes, the lowest first. */
void embedding_write_base64(struct bytes *out, const float *vector, uint32_t count);

#endif
