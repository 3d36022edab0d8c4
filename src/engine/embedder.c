/* Several inputs are one batch of as many sequences; each token of it is an output, and llama.cpp pools them as the model's file says. */
#include "engine/embedder.h"

#include <gguf.h>
#include <limits.h>
#include <llama.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "config/config.h"
#include "engine/llama_library.h"
#include "engine/model_path.h"

/* Tokens of a batch, unless one input has more. Attention looks at the whole batch before it masks: on a CPU a token of 512 costs twice one of
 * 128 (measured). */
#define BATCH_TOKENS_CPU 128
#define BATCH_TOKENS_GPU 512
#define BATCH_INPUTS 64
#define WARM_UP_TEXT "The first request finds warm caches."

struct embedder {
	struct embedder_facts facts;
	struct llama_model *model;
	struct llama_context *context;
	const struct llama_vocab *vocab;
	struct llama_batch batch;
	engine_progress *progress;
	void *progress_owner;
	atomic_bool is_open;
};

/* ---- what kind of model it is ---- */

static bool says_pooling(const struct gguf_context *file)
{
	char key[128];
	int64_t id = gguf_find_key(file, "general.architecture");
	if (id < 0 || gguf_get_kv_type(file, id) != GGUF_TYPE_STRING)
		return false;
	const char *architecture = gguf_get_val_str(file, id);
	snprintf(key, sizeof(key), "%s.pooling_type", architecture);
	int64_t pooling = gguf_find_key(file, key);
	if (pooling >= 0 && gguf_get_kv_type(file, pooling) == GGUF_TYPE_UINT32)
		return gguf_get_val_u32(file, pooling) != LLAMA_POOLING_TYPE_NONE;
	snprintf(key, sizeof(key), "%s.attention.causal", architecture);
	int64_t causal = gguf_find_key(file, key);
	return causal >= 0 && gguf_get_kv_type(file, causal) == GGUF_TYPE_BOOL && !gguf_get_val_bool(file, causal);
}

bool embedder_serves(const struct pool_config *settings)
{
	char path[PATH_MAX];
	struct bytes fault = { 0 };
	struct gguf_context *file = NULL;
	if (model_path_find(settings->engine_model, path, sizeof(path), &fault) == OK)
		file = gguf_init_from_file(path, (struct gguf_init_params){ .no_alloc = true });
	bytes_fini(&fault);
	bool serves = file && says_pooling(file);
	if (file)
		gguf_free(file);
	return serves;
}

/* ---- opening ---- */

static bool on_progress(float ratio, void *owner)
{
	struct embedder *embedder = owner;
	return !embedder->progress || embedder->progress(embedder->progress_owner, ratio);
}

static enum error load_model(struct embedder *embedder, const struct pool_config *settings, struct bytes *fault)
{
	char path[PATH_MAX];
	enum error error = model_path_find(settings->engine_model, path, sizeof(path), fault);
	if (error)
		return error;
	struct llama_model_params params = llama_model_default_params();
	params.n_gpu_layers = (int32_t)settings->engine_gpu_layers;
	params.progress_callback = on_progress;
	params.progress_callback_user_data = embedder;
	embedder->model = llama_model_load_from_file(path, params);
	if (!embedder->model) {
		bytes_printf(fault,
		             "%s could not be loaded: an unknown kind of model, damaged, cut short, or too large for memory.",
		             path);
		return ERROR_MODEL;
	}
	embedder->vocab = llama_model_get_vocab(embedder->model);
	return OK;
}

static uint32_t batch_tokens(const struct pool_config *settings)
{
	if (settings->engine_step_tokens > 0)
		return (uint32_t)settings->engine_step_tokens;
	return settings->engine_gpu_layers != 0 && llama_supports_gpu_offload() ? BATCH_TOKENS_GPU : BATCH_TOKENS_CPU;
}

/* What one computation may be asked for. */
static uint32_t width(const struct embedder_facts *facts)
{
	return facts->context_tokens > facts->batch_tokens ? facts->context_tokens : facts->batch_tokens;
}

static void fill_facts(struct embedder *embedder, const struct pool_config *settings)
{
	struct embedder_facts *facts = &embedder->facts;
	uint32_t trained = (uint32_t)llama_model_n_ctx_train(embedder->model);
	uint32_t wanted = (uint32_t)settings->engine_context;
	facts->context_tokens = trained && trained < wanted ? trained : wanted;
	facts->batch_tokens = batch_tokens(settings);
	facts->batch_inputs = BATCH_INPUTS;
	facts->dimensions = (uint32_t)llama_model_n_embd_out(embedder->model);
	facts->vocabulary = (uint32_t)llama_vocab_n_tokens(embedder->vocab);
	model_path_name(settings->engine_model, facts->model_name, sizeof(facts->model_name));
}

static enum error open_context(struct embedder *embedder, const struct pool_config *settings, struct bytes *fault)
{
	const struct embedder_facts *facts = &embedder->facts;
	struct llama_context_params params = llama_context_default_params();
	/* Attention that looks both ways needs all of an input in one step: both widths are the batch's. */
	params.n_ctx = params.n_batch = params.n_ubatch = params.n_outputs_max = width(facts);
	params.n_seq_max = facts->batch_inputs;
	params.n_threads = params.n_threads_batch = llama_thread_count(settings);
	params.embeddings = true;
	/* Its sums in f16 make an input's vector depend on what is beside it: 1.5e-4 apart, against 8e-5 without (measured). */
	params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
	params.kv_unified = true;
	params.no_perf = true;
	embedder->context = llama_init_from_model(embedder->model, params);
	embedder->batch = llama_batch_init((int32_t)width(facts), 0, 1);
	if (!embedder->context || !embedder->batch.token) {
		bytes_printf(fault, "No room for batches of %u tokens: too little memory? Lower engine.context.", width(facts));
		return ERROR_MEMORY;
	}
	enum llama_pooling_type pooling = llama_pooling_type(embedder->context);
	if (pooling == LLAMA_POOLING_TYPE_NONE || pooling == LLAMA_POOLING_TYPE_RANK) {
		bytes_printf(fault,
		             "The model %s makes no vector of a whole input; name one that pools, such as all-minilm-l6-v2.",
		             facts->model_name);
		return ERROR_MODEL;
	}
	return OK;
}

enum error embedder_open(const struct pool_config *settings, engine_progress *progress, void *owner,
                         struct embedder **out, struct bytes *fault)
{
	struct embedder *embedder = calloc(1, sizeof(*embedder));
	if (!embedder)
		return ERROR_MEMORY;
	embedder->progress = progress;
	embedder->progress_owner = owner;
	enum error error = llama_library_start(&embedder->is_open, fault);
	if (!error)
		error = load_model(embedder, settings, fault);
	if (!error) {
		fill_facts(embedder, settings);
		error = open_context(embedder, settings, fault);
	}
	if (error) {
		embedder_close(&embedder);
		return error;
	}
	atomic_store(&embedder->is_open, true);
	*out = embedder;
	return OK;
}

void embedder_close(struct embedder **embedder_slot)
{
	struct embedder *embedder = *embedder_slot;
	*embedder_slot = NULL;
	if (!embedder)
		return;
	if (embedder->batch.token)
		llama_batch_free(embedder->batch);
	if (embedder->context)
		llama_free(embedder->context);
	if (embedder->model)
		llama_model_free(embedder->model);
	llama_library_end();
	free(embedder);
}

const struct embedder_facts *embedder_facts(const struct embedder *embedder)
{
	return &embedder->facts;
}

/* ---- inputs ---- */

enum error embedder_take_text(const struct embedder *embedder, struct span text, struct embedding_input *input)
{
	/* A token is at least a byte, but for the ones a tokenizer adds by itself. What names a special token is text like any other. */
	int32_t capacity = (int32_t)min_ll((long long)text.len + 8, INT32_MAX);
	for (int attempt = 0; attempt < 2; attempt++) {
		free(input->tokens);
		input->tokens = malloc(sizeof(*input->tokens) * (size_t)capacity);
		if (!input->tokens)
			return ERROR_MEMORY;
		int32_t count =
			llama_tokenize(embedder->vocab, text.at, (int32_t)text.len, input->tokens, capacity, true, false);
		if (count >= 0) {
			input->count = (uint32_t)count;
			return OK;
		}
		if (count == INT32_MIN)
			break;
		capacity = -count;
	}
	return ERROR_INTERNAL;
}

/* The token that ends every input; -1 = none does. */
static int32_t end_token(const struct llama_vocab *vocab)
{
	if (llama_vocab_get_add_sep(vocab))
		return llama_vocab_sep(vocab);
	return llama_vocab_get_add_eos(vocab) ? llama_vocab_eos(vocab) : -1;
}

enum error embedder_take_tokens(const struct embedder *embedder, const int32_t *tokens, uint32_t count,
                                struct embedding_input *input)
{
	const struct llama_vocab *vocab = embedder->vocab;
	int32_t begin = llama_vocab_get_add_bos(vocab) ? llama_vocab_bos(vocab) : -1;
	int32_t end = end_token(vocab);
	input->tokens = malloc(sizeof(*input->tokens) * ((size_t)count + 2));
	if (!input->tokens)
		return ERROR_MEMORY;
	input->count = 0;
	if (begin >= 0 && tokens[0] != begin)
		input->tokens[input->count++] = begin;
	memcpy(input->tokens + input->count, tokens, sizeof(*tokens) * count);
	input->count += count;
	if (end >= 0 && tokens[count - 1] != end)
		input->tokens[input->count++] = end;
	return OK;
}

/* ---- vectors ---- */

static void fill_batch(struct llama_batch *batch, const struct embedding_input *const *inputs, uint32_t count)
{
	batch->n_tokens = 0;
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < inputs[i]->count; j++) {
			int32_t at = batch->n_tokens++;
			batch->token[at] = inputs[i]->tokens[j];
			batch->pos[at] = (int32_t)j;
			batch->n_seq_id[at] = 1;
			batch->seq_id[at][0] = (int32_t)i;
			batch->logits[at] = true;
		}
	}
}

static void normalise(const float *from, float *to, uint32_t count)
{
	double sum = 0;
	for (uint32_t i = 0; i < count; i++)
		sum += (double)from[i] * (double)from[i];
	double scale = sum > 0 ? 1 / sqrt(sum) : 0;
	for (uint32_t i = 0; i < count; i++)
		to[i] = (float)((double)from[i] * scale);
}

enum error embedder_compute(void *owner, const struct embedding_input *const *inputs, uint32_t count)
{
	struct embedder *embedder = owner;
	llama_memory_t memory = llama_get_memory(embedder->context);
	if (memory)
		llama_memory_clear(memory, true);
	fill_batch(&embedder->batch, inputs, count);
	if (llama_decode(embedder->context, embedder->batch) != 0)
		return ERROR_INTERNAL;
	for (uint32_t i = 0; i < count; i++) {
		const float *vector = llama_get_embeddings_seq(embedder->context, (int32_t)i);
		if (!vector)
			return ERROR_INTERNAL;
		normalise(vector, inputs[i]->vector, embedder->facts.dimensions);
	}
	return OK;
}

enum error embedder_warm_up(struct embedder *embedder)
{
	struct embedding_input input = { .vector = calloc(embedder->facts.dimensions, sizeof(float)) };
	const struct embedding_input *inputs[] = { &input };
	enum error error = input.vector ? embedder_take_text(embedder, SPAN(WARM_UP_TEXT), &input) : ERROR_MEMORY;
	if (!error)
		error = embedder_compute(embedder, inputs, 1);
	free(input.vector);
	free(input.tokens);
	return error;
}
