/* `penstock engine --make-weights`, on the main thread of a process of its own. */
#include "engine/weights.h"

#include <llama.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/llama_library.h"
#include "engine/weights_text.h"

#define TOKENS_MAX 1024
/* As many rows of logits are kept at once. */
#define CHUNK 64

/* What a model makes of the text: the likelihood of each token, and what it would have said. */
struct reading {
	uint32_t count;
	double loss; /* sum of -ln p */
	int32_t likeliest[TOKENS_MAX];
};

static double log_sum(const float *logits, int32_t vocabulary, int32_t *likeliest)
{
	int32_t best = 0;
	double sum = 0;
	for (int32_t i = 1; i < vocabulary; i++) {
		if (logits[i] > logits[best])
			best = i;
	}
	for (int32_t i = 0; i < vocabulary; i++)
		sum += exp((double)(logits[i] - logits[best]));
	*likeliest = best;
	return logits[best] + log(sum);
}

static void fill(struct llama_batch *batch, const llama_token *tokens, int32_t at, int32_t count)
{
	batch->n_tokens = 0;
	for (int32_t i = at; i < count && batch->n_tokens < CHUNK; i++) {
		int32_t row = batch->n_tokens++;
		batch->token[row] = tokens[i];
		batch->pos[row] = i;
		batch->n_seq_id[row] = 1;
		batch->seq_id[row][0] = 0;
		batch->logits[row] = true;
	}
}

static enum error read_tokens(struct llama_context *context, const struct llama_vocab *vocab, const llama_token *tokens,
                              int32_t count, struct reading *reading)
{
	struct llama_batch batch = llama_batch_init(CHUNK, 0, 1);
	enum error error = batch.token ? OK : ERROR_MEMORY;
	for (int32_t at = 0; at + 1 < count && !error; at += batch.n_tokens) {
		fill(&batch, tokens, at, count - 1);
		if (llama_decode(context, batch) != 0)
			error = ERROR_MODEL;
		for (int32_t i = 0; i < batch.n_tokens && !error; i++) {
			const float *logits = llama_get_logits_ith(context, i);
			double sum = log_sum(logits, llama_vocab_n_tokens(vocab), &reading->likeliest[reading->count++]);
			reading->loss += sum - logits[tokens[at + i + 1]];
		}
	}
	llama_batch_free(batch);
	return error;
}

static enum error read_text(const char *path, struct reading *reading)
{
	llama_token tokens[TOKENS_MAX];
	struct llama_model *model = llama_model_load_from_file(path, llama_model_default_params());
	struct llama_context_params params = llama_context_default_params();
	memset(reading, 0, sizeof(*reading));
	if (!model)
		return ERROR_MODEL;
	params.n_ctx = TOKENS_MAX;
	params.n_batch = params.n_ubatch = CHUNK;
	params.n_threads = params.n_threads_batch = 1; /* more would wait for each other where others work, too */
	const struct llama_vocab *vocab = llama_model_get_vocab(model);
	struct llama_context *context = llama_init_from_model(model, params);
	enum error error = context ? OK : ERROR_MEMORY;
	int32_t count = llama_tokenize(vocab, weights_text, (int32_t)strlen(weights_text), tokens, TOKENS_MAX, true, false);
	if (!error && count < CHUNK)
		error = ERROR_MODEL;
	if (!error)
		error = read_tokens(context, vocab, tokens, count, reading);
	if (context)
		llama_free(context);
	llama_model_free(model);
	return error;
}

static enum error compare(const char *from, const char *to, struct weights_check *check)
{
	struct reading *readings = calloc(2, sizeof(*readings));
	if (!readings)
		return ERROR_MEMORY;
	enum error error = read_text(from, &readings[0]);
	if (!error)
		error = read_text(to, &readings[1]);
	uint32_t count = readings[0].count;
	uint32_t same = 0;
	for (uint32_t i = 0; i < count; i++)
		same += readings[0].likeliest[i] == readings[1].likeliest[i];
	if (!error && count) {
		check->perplexity_from = exp(readings[0].loss / count);
		check->perplexity_to = exp(readings[1].loss / count);
		check->agreement = (double)same / count;
	}
	free(readings);
	return error;
}

static void be_quiet(enum ggml_log_level level, const char *text, void *owner)
{
	(void)level;
	(void)text;
	(void)owner;
}

static enum error make_part(const char *from, const char *part, enum weights_kind kind, double rise_max,
                            struct weights_check *check, struct bytes *fault)
{
	struct llama_model_quantize_params params = llama_model_quantize_default_params();
	params.ftype = kind == WEIGHTS_Q4_0 ? LLAMA_FTYPE_MOSTLY_Q4_0 : LLAMA_FTYPE_MOSTLY_Q8_0;
	params.allow_requantize = true;
	enum error error = llama_model_quantize(from, part, &params) == 0 ? OK : ERROR_MODEL;
	if (!error)
		error = compare(from, part, check);
	if (error) {
		bytes_printf(
			fault,
			"%s could not be requantized into %s: no model that llama.cpp knows, damaged, cut short, or no room.", from,
			part);
		return error;
	}
	if (check->perplexity_to <= check->perplexity_from * (1 + rise_max))
		return OK;
	bytes_printf(fault, "The new weights are too far from %s: perplexity %.2f instead of %.2f.", from,
	             check->perplexity_to, check->perplexity_from);
	return ERROR_MODEL;
}

enum error weights_make(const char *from, const char *to, enum weights_kind kind, double rise_max,
                        struct weights_check *check, struct bytes *fault)
{
	char part[PATH_MAX];
	int len = snprintf(part, sizeof(part), "%s.part", to);
	*check = (struct weights_check){ 0 };
	if (len < 0 || (size_t)len >= sizeof(part))
		return ERROR_LIMIT;
	static const atomic_bool is_open = true;
	enum error error = llama_library_start(&is_open, fault);
	llama_log_set(be_quiet, NULL);
	if (error)
		return error;
	if (access(from, R_OK) != 0) {
		bytes_printf(fault, "%s can't be read: %s.", from, strerror(errno));
		return ERROR_NOT_FOUND;
	}
	error = make_part(from, part, kind, rise_max, check, fault);
	if (!error && rename(part, to) != 0) {
		bytes_printf(fault, "%s can't be written: %s.", to, strerror(errno));
		error = ERROR_IO;
	}
	if (error)
		unlink(part);
	return error;
}
