/* Samplers are made on a pool thread, once a request, and used on the step thread. */
#include "engine/sampling.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"

/* Above so many candidates the library's own selection is faster. */
#define TOP_K_MAX 256

struct sampling {
	struct llama_sampler *chain; /* NULL: greedy on the logits and biases */
	struct llama_sampler *grammar;
	llama_logit_bias *biases; /* owned; of a greedy one */
	int32_t bias_count;
	int32_t
		top_k; /* the chain begins with these and changes nothing before: only they need to be candidates; 0 = all do */
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

static bool is_listed(const llama_token *tokens, int32_t count, int64_t token)
{
	for (int32_t i = 0; i < count; i++) {
		if (tokens[i] == token)
			return true;
	}
	return false;
}

/* The request's biases and the tokens that the model must never say. */
static enum error list_biases(struct sampling *sampling, const struct llama_vocab *vocab,
                              const struct api_request *request)
{
	int32_t suppressed_count = 0;
	const llama_token *suppressed = llama_vocab_get_suppress_tokens(vocab, &suppressed_count);
	size_t capacity = request->logit_bias_count + (size_t)suppressed_count;
	if (capacity == 0)
		return OK;
	sampling->biases = malloc(sizeof(*sampling->biases) * capacity);
	if (!sampling->biases)
		return ERROR_MEMORY;
	for (size_t i = 0; i < request->logit_bias_count; i++) {
		int64_t token = request->logit_bias[i].token;
		/* What must never be said is not made likely by a request. */
		if (token < llama_vocab_n_tokens(vocab) && !is_listed(suppressed, suppressed_count, token))
			sampling->biases[sampling->bias_count++] =
				(llama_logit_bias){ (llama_token)request->logit_bias[i].token, (float)request->logit_bias[i].bias };
	}
	for (int32_t i = 0; i < suppressed_count; i++)
		sampling->biases[sampling->bias_count++] = (llama_logit_bias){ suppressed[i], -INFINITY };
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

static int32_t top_k_of(const struct api_request *request, const struct sampling_defaults *defaults)
{
	int64_t top_k = request->top_k == API_TOP_K_NOT_GIVEN ? defaults->top_k : request->top_k;
	return (int32_t)(top_k < 0 ? 0 : top_k < INT32_MAX ? top_k : INT32_MAX);
}

static void add_choosers(struct llama_sampler *chain, const struct api_request *request,
                         const struct sampling_defaults *defaults)
{
	double temperature = given_or(request->temperature, defaults->temperature);
	double top_p = given_or(request->top_p, defaults->top_p);
	double min_p = given_or(request->min_p, defaults->min_p);
	int32_t top_k = top_k_of(request, defaults);
	if (temperature == 0) {
		llama_sampler_chain_add(chain, llama_sampler_init_greedy());
		return;
	}
	if (top_k > 0)
		llama_sampler_chain_add(chain, llama_sampler_init_top_k(top_k));
	if (top_p < 1)
		llama_sampler_chain_add(chain, llama_sampler_init_top_p((float)top_p, 1));
	if (min_p > 0)
		llama_sampler_chain_add(chain, llama_sampler_init_min_p((float)min_p, 1));
	llama_sampler_chain_add(chain, llama_sampler_init_temp((float)temperature));
	llama_sampler_chain_add(chain, llama_sampler_init_dist(seed_of(request)));
}

static void make_chain(struct sampling *sampling, const struct llama_vocab *vocab, const struct api_request *request,
                       const struct sampling_defaults *defaults, bool has_penalties)
{
	struct llama_sampler_chain_params params = llama_sampler_chain_default_params();
	params.no_perf = true;
	sampling->chain = llama_sampler_chain_init(params);
	if (sampling->bias_count)
		llama_sampler_chain_add(sampling->chain, llama_sampler_init_logit_bias(llama_vocab_n_tokens(vocab),
		                                                                       sampling->bias_count, sampling->biases));
	if (has_penalties)
		llama_sampler_chain_add(sampling->chain, llama_sampler_init_penalties(llama_vocab_n_tokens(vocab), 4096, 1.0F,
		                                                                      (float)request->frequency_penalty,
		                                                                      (float)request->presence_penalty));
	add_choosers(sampling->chain, request, defaults);
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
	enum error error = list_biases(sampling, vocab, request);
	if (error)
		return error;
	bool has_penalties = request->frequency_penalty != 0 || request->presence_penalty != 0;
	bool is_greedy = given_or(request->temperature, defaults->temperature) == 0;
	if (is_greedy && !has_penalties && !grammar)
		return OK;
	make_chain(sampling, vocab, request, defaults, has_penalties);
	int32_t top_k = top_k_of(request, defaults);
	if (!is_greedy && !has_penalties && !sampling->bias_count && top_k <= TOP_K_MAX)
		sampling->top_k = top_k;
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
	free((*sampling)->biases);
	free(*sampling);
	*sampling = NULL;
}

/* ---- choosing ---- */

#define LANES_WIDE 16

/* The first of the highest. In lanes, so that the compiler makes vectors of them: this is read for every token. */
static int32_t most_likely(const float *logits, int32_t count)
{
	float highest[LANES_WIDE];
	int32_t at = 0;
	for (int lane = 0; lane < LANES_WIDE; lane++)
		highest[lane] = -INFINITY;
	for (; at + LANES_WIDE <= count; at += LANES_WIDE) {
		for (int lane = 0; lane < LANES_WIDE; lane++)
			highest[lane] = logits[at + lane] > highest[lane] ? logits[at + lane] : highest[lane];
	}
	for (; at < count; at++)
		highest[0] = logits[at] > highest[0] ? logits[at] : highest[0];
	for (int lane = 1; lane < LANES_WIDE; lane++)
		highest[0] = highest[lane] > highest[0] ? highest[lane] : highest[0];
	for (int32_t i = 0; i < count; i++) {
		if (logits[i] == highest[0])
			return i;
	}
	return 0;
}

static bool is_biased(const struct sampling *sampling, int32_t token)
{
	for (int32_t i = 0; i < sampling->bias_count; i++) {
		if (sampling->biases[i].token == token)
			return true;
	}
	return false;
}

/* Greedy with biases: the highest of those that have none, then the biased ones against it. */
static int32_t most_likely_biased(const struct sampling *sampling, const float *logits, int32_t count)
{
	int32_t best = most_likely(logits, count);
	if (sampling->bias_count == 0)
		return best;
	if (is_biased(sampling, best)) {
		best = -1;
		for (int32_t i = 0; i < count; i++) {
			if ((best < 0 || logits[i] > logits[best]) && !is_biased(sampling, i))
				best = i;
		}
	}
	float highest = best < 0 ? -INFINITY : logits[best];
	for (int32_t i = 0; i < sampling->bias_count; i++) {
		int32_t token = sampling->biases[i].token;
		float biased = logits[token] + sampling->biases[i].bias;
		if (biased > highest || (biased == highest && token < best)) {
			highest = biased;
			best = token;
		}
	}
	return best < 0 ? 0 : best;
}

/* The k highest, in no order: a heap with the least of them on top, which nearly every other logit is below. */
static llama_token_data_array fill_top(struct sampling_scratch *scratch, const float *logits, int32_t k)
{
	llama_token_data *heap = scratch->candidates;
	int32_t used = 0;
	k = k < scratch->vocabulary ? k : scratch->vocabulary;
	for (int32_t i = 0; i < scratch->vocabulary; i++) {
		if (used == k && logits[i] <= heap[0].logit)
			continue;
		int32_t at = used == k ? 0 : used++;
		if (used == k && at == 0) { /* down from the top */
			for (int32_t child; (child = 2 * at + 1) < k; at = child) {
				if (child + 1 < k && heap[child + 1].logit < heap[child].logit)
					child++;
				if (heap[child].logit >= logits[i])
					break;
				heap[at] = heap[child];
			}
		} else { /* up from the end */
			for (; at > 0 && heap[(at - 1) / 2].logit > logits[i]; at = (at - 1) / 2)
				heap[at] = heap[(at - 1) / 2];
		}
		heap[at] = (llama_token_data){ .id = i, .logit = logits[i] };
	}
	return (llama_token_data_array){ .data = heap, .size = (size_t)used, .selected = -1 };
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
		return most_likely_biased(sampling, logits, scratch->vocabulary);
	llama_token_data_array array =
		sampling->top_k ? fill_top(scratch, logits, sampling->top_k) : fill_candidates(scratch, logits);
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
