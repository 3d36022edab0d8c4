/* From logits to a token: the request's sampling fields as a llama.cpp sampler chain, and log probabilities.
 *
 * Follows OpenAI's definitions for the penalties (over generated tokens) and temperature 0 (greedy). A grammar is asked about the chosen
 * token first and only applied to the whole vocabulary when it refuses, which is what makes it cheap. */
#ifndef PENSTOCK_ENGINE_SAMPLING_H
#define PENSTOCK_ENGINE_SAMPLING_H

#include <llama.h>

#include "api/api.h"
#include "engine/engine.h"

struct sampling;         /* one request's */
struct sampling_scratch; /* one thread's */

/* For requests that leave the field out. */
struct sampling_defaults {
	double temperature;
	double top_p;
	double min_p;
	int64_t top_k;
};

enum error sampling_scratch_new(const struct llama_vocab *vocab, struct sampling_scratch **out);
void sampling_scratch_free(struct sampling_scratch **scratch);

/* grammar: owned from here, NULL for none. ERROR_MEMORY. */
enum error sampling_new(const struct llama_vocab *vocab, const struct api_request *request, const struct sampling_defaults *defaults,
                        struct llama_sampler *grammar, struct sampling **out);
void sampling_free(struct sampling **sampling);
/* Chooses and accepts a token. logits: shape (vocabulary,), unchanged. */
int32_t sampling_take(struct sampling *sampling, struct sampling_scratch *scratch, const float *logits);
/* tops[0] = the chosen token, then the top_count - 1 most likely ones; natural logarithms of the model's own distribution (before
 * temperature and filters). */
void sampling_logprobs(struct sampling_scratch *scratch, const float *logits, int32_t token, struct token_logprob *tops,
                       uint32_t top_count);

#endif
