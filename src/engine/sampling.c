/* Samplers are made on a pool thread, once a request, and used on the step thread. */
#include "engine/sampling.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"

struct sampling {
	struct llama_sampler *chain; /* NULL: greedy on the plain logits */
	struct llama_sampler *grammar;
};

struct sampling_scratch {
	llama_token_data *candidates; /* shape (vocabulary,) */
	int32_t vocabulary;
};

enum error sampling_scratch_new(const struct llama_vocab *vocab, struct sampling_scratch **out)
{
	struct sampling_scratch *scratch = calloc(1, sizeof(*scratch));
	if (!scratch)
		return ERROR_MEMORY;
	scratch->vocabulary = llama_vocab_n_tokens(vocab);
	scratch->candidates = malloc(sizeof(*scratch->candidates) * (size_t)scratch->vocabulary);
	*out = scratch;
	return scratch->candidates ? OK : ERROR_MEMORY;
}

void sampling_scratch_free(struct sampling_scratch **scratch)
{
	if (*scratch)
		free((*scratch)->candidates);
	free(*scratch);
	*scratch = NULL;
}

/* The request's biases and the tokens that the model must never say. */
static enum error add_biases(struct llama_sampler *chain, const struct llama_vocab *vocab,
                             const struct api_request *request)
{
	int32_t suppressed_count = 0;
	const llama_token *suppressed = llama_vocab_get_suppress_tokens(vocab, &suppressed_count);
	size_t count = 0;
	size_t capacity = request->logit_bias_count + (size_t)suppressed_count;
	if (capacity == 0)
		return OK;
	llama_logit_bias *biases = malloc(sizeof(*biases) * capacity);
	if (!biases)
		return ERROR_MEMORY;
	for (size_t i = 0; i < request->logit_bias_count; i++) {
		if (request->logit_bias[i].token < llama_vocab_n_tokens(vocab))
			biases[count++] =
				(llama_logit_bias){ (llama_token)request->logit_bias[i].token, (float)request->logit_bias[i].bias };
	}
	for (int32_t i = 0; i < suppressed_count; i++)
		biases[count++] = (llama_logit_bias){ suppressed[i], -INFINITY };
	llama_sampler_chain_add(chain, llama_sampler_init_logit_bias(llama_vocab_n_tokens(vocab), (int32_t)count, biases));
	free(biases);
	return OK;
}

static uint32_t seed_of(const struct api_request *request)
{
	uint32_t seed = (uint32_t)request->seed;
	if (request->seed < 0)
		random_secure(&seed, sizeof(seed));
	return seed;
}

static double given_or(double given, double otherwise)
{
	return given < 0 ? otherwise : given;
}

static void add_choosers(struct llama_sampler *chain, const struct api_request *request,
                         const struct sampling_defaults *defaults)
{
	double temperature = given_or(request->temperature, defaults->temperature);
	double top_p = given_or(request->top_p, defaults->top_p);
	double min_p = given_or(request->min_p, defaults->min_p);
	int64_t top_k = request->top_k == API_TOP_K_NOT_GIVEN ? defaults->top_k : request->top_k;
	if (temperature == 0) {
		llama_sampler_chain_add(chain, llama_sampler_init_greedy());
		return;
	}
	if (top_k > 0)
		llama_sampler_chain_add(chain, llama_sampler_init_top_k((int32_t)(top_k < INT32_MAX ? top_k : INT32_MAX)));
	if (top_p < 1)
		llama_sampler_chain_add(chain, llama_sampler_init_top_p((float)top_p, 1));
	if (min_p > 0)
		llama_sampler_chain_add(chain, llama_sampler_init_min_p((float)min_p, 1));
	llama_sampler_chain_add(chain, llama_sampler_init_temp((float)temperature));
	llama_sampler_chain_add(chain, llama_sampler_init_dist(seed_of(request)));
}

enum error sampling_new(const struct llama_vocab *vocab, const struct api_request *request,
                        const struct sampling_defaults *defaults, struct llama_sampler *grammar, struct sampling **out)
{
	struct sampling *sampling = calloc(1, sizeof(*sampling));
	if (!sampling) {
		if (grammar)
			llama_sampler_free(grammar);
		return ERROR_MEMORY;
	}
	*out = sampling;
	sampling->grammar = grammar;
	int32_t suppressed = 0;
	(void)llama_vocab_get_suppress_tokens(vocab, &suppressed);
	bool has_penalties = request->frequency_penalty != 0 || request->presence_penalty != 0;
	bool is_plain = !has_penalties && !request->logit_bias_count && !suppressed && !grammar;
	if (is_plain && given_or(request->temperature, defaults->temperature) == 0)
		return OK;
	struct llama_sampler_chain_params params = llama_sampler_chain_default_params();
	params.no_perf = true;
	sampling->chain = llama_sampler_chain_init(params);
	enum error error = add_biases(sampling->chain, vocab, request);
	if (error)
		return error;
	if (has_penalties)
		llama_sampler_chain_add(sampling->chain, llama_sampler_init_penalties(llama_vocab_n_tokens(vocab), 4096, 1.0F,
		                                                                      (float)request->frequency_penalty,
		                                                                      (float)request->presence_penalty));
	add_choosers(sampling->chain, request, defaults);
	return OK;
}

void sampling_free(struct sampling **sampling)
{
	if (!*sampling)
		return;
	if ((*sampling)->chain)
		llama_sampler_free((*sampling)->chain);
	if ((*sampling)->grammar)
		llama_sampler_free((*sampling)->grammar);
	free(*sampling);
	*sampling = NULL;
}

static int32_t most_likely(const float *logits, int32_t count)
{
	int32_t best = 0;
	for (int32_t i = 1; i < count; i++) {
		if (logits[i] > logits[best])
			best = i;
	}
	return best;
}

static llama_token_data_array fill_candidates(struct sampling_scratch *scratch, const float *logits)
{
	for (int32_t i = 0; i < scratch->vocabulary; i++)
		scratch->candidates[i] = (llama_token_data){ .id = i, .logit = logits[i] };
	return (llama_token_data_array){ .data = scratch->candidates, .size = (size_t)scratch->vocabulary, .selected = -1 };
}

static bool grammar_allows(struct llama_sampler *grammar, int32_t token)
{
	llama_token_data one = { .id = token, .logit = 1 };
	llama_token_data_array array = { .data = &one, .size = 1, .selected = -1 };
	llama_sampler_apply(grammar, &array);
	return one.logit != -INFINITY;
}

int32_t sampling_take(struct sampling *sampling, struct sampling_scratch *scratch, const float *logits)
{
	if (!sampling->chain)
		return most_likely(logits, scratch->vocabulary);
	llama_token_data_array array = fill_candidates(scratch, logits);
	llama_sampler_apply(sampling->chain, &array);
	int32_t token = array.data[array.selected].id;
	if (sampling->grammar && !grammar_allows(sampling->grammar, token)) {
		array = fill_candidates(scratch, logits);
		llama_sampler_apply(sampling->grammar, &array);
		llama_sampler_apply(sampling->chain, &array);
		token = array.data[array.selected].id;
	}
	if (sampling->grammar)
		llama_sampler_accept(sampling->grammar, token);
	llama_sampler_accept(sampling->chain, token);
	return token;
}

void sampling_logprobs(struct sampling_scratch *scratch, const float *logits, int32_t token, struct token_logprob *tops,
                       uint32_t top_count)
{
	int32_t vocabulary = scratch->vocabulary;
	float highest = logits[most_likely(logits, vocabulary)];
	double sum = 0;
	for (int32_t i = 0; i < vocabulary; i++)
		sum += exp((double)(logits[i] - highest));
	float normaliser = highest + (float)log(sum);
	tops[0] = (struct token_logprob){ token, logits[token] - normaliser };
	/* Insertion into a short sorted list: at most 20 wanted of some 50,000. */
	uint32_t filled = 0;
	uint32_t wanted = top_count - 1;
	struct token_logprob *list = tops + 1;
	for (int32_t i = 0; i < vocabulary && wanted; i++) {
		float logprob = logits[i] - normaliser;
		if (filled == wanted && logprob <= list[filled - 1].logprob)
			continue;
		uint32_t at = filled < wanted ? filled++ : wanted - 1;
		while (at > 0 && list[at - 1].logprob < logprob) {
			list[at] = list[at - 1];
			at--;
		}
		list[at] = (struct token_logprob){ i, logprob };
	}
}
