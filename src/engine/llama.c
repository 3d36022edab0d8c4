/* The engine's operations over llama.cpp's C library: with chat.cpp the only file that includes its headers.
 *
 * One model, one context with a unified KV cache; up to `sequences` sequences decode in one batch. */
#include <llama.h>

#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "engine/chatml.h"
#include "engine/engine.h"
#include "engine/generation.h"
#include "engine/model_path.h"
#include "engine/sampling.h"

#define LLAMA_VERSION_WANTED "0.5.0"
#define STEP_TOKENS_MAX 512
/* Below 64 tokens a chunk costs as much as 64 (measured on the CPU backend: another attention path). */
#define CHUNK_TOKENS 64
#define WARM_UP_TOKENS 16
#define TEMPLATE_BYTES_MAX (1024 * 1024)

struct llama_engine {
	struct engine base;
	struct llama_model *model;
	struct llama_context *context;
	const struct llama_vocab *vocab;
	struct chat_templates *templates; /* NULL when the model has none */
	struct llama_batch batch;
	struct sampling_defaults defaults;
	int64_t output_default; /* tokens, for requests that name no limit */
	struct sampling_scratch *scratch;
	struct bytes piece;          /* of the last sampled token */
	const struct step_row *step; /* during a decode */
	uint32_t row_count;
	engine_progress *progress;
	void *progress_owner;
};

static struct llama_engine *llama_of(struct engine *engine)
{
	return (struct llama_engine *)engine;
}

/* ---- opening ---- */

/* Asked between the nodes of a step's graph. A step that somebody still waits for runs to its end: its length is bounded. */
static bool nobody_waits(void *owner)
{
	const struct llama_engine *llama = owner;
	return generation_rows_are_cancelled(llama->step, llama->row_count);
}

/* What llama.cpp says about a step that was given up on purpose is no warning. */
static void forward_log(enum ggml_log_level level, const char *text, void *owner)
{
	size_t len = strlen(text);
	while (len && text[len - 1] == '\n')
		len--;
	if (len && (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN)) {
		bool is_warning = level == GGML_LOG_LEVEL_ERROR && !nobody_waits(owner);
		log_line(is_warning ? LOG_WARNING : LOG_DEBUG, "llama: %.*s", (int)len, text);
	}
}

/* The CPU variants lie beside the library that we are linked with, wherever that was installed. */
static enum error load_backends(struct bytes *fault)
{
	Dl_info info;
	char path[PATH_MAX];
	if (strncmp(llama_version(), LLAMA_VERSION_WANTED, strlen(LLAMA_VERSION_WANTED)) != 0) {
		bytes_printf(fault, "The llama.cpp library has version %s, but %s is needed; run 'make setup'.",
		             llama_version(), LLAMA_VERSION_WANTED);
		return ERROR_MODEL;
	}
	if (!dladdr((void *)(uintptr_t)llama_version, &info) || !info.dli_fname || !realpath(info.dli_fname, path)) {
		bytes_append_text(fault, "The folder of the llama.cpp library was not found.");
		return ERROR_MODEL;
	}
	ggml_backend_load_all_from_path(dirname(path));
	return OK;
}

static bool on_progress(float ratio, void *owner)
{
	struct llama_engine *llama = owner;
	return !llama->progress || llama->progress(llama->progress_owner, ratio);
}

static enum error load_model(struct llama_engine *llama, const struct pool_config *settings, struct bytes *fault)
{
	char path[PATH_MAX];
	enum error error = model_path_find(settings->engine_model, path, sizeof(path), fault);
	if (error)
		return error;
	struct llama_model_params params = llama_model_default_params();
	params.n_gpu_layers = (int32_t)settings->engine_gpu_layers;
	params.progress_callback = on_progress;
	params.progress_callback_user_data = llama;
	llama->model = llama_model_load_from_file(path, params);
	if (!llama->model) {
		bytes_printf(fault,
		             "%s could not be loaded: not a GGUF model that llama.cpp %s knows, damaged, cut short, or too "
		             "large for memory.",
		             path, LLAMA_VERSION_WANTED);
		return ERROR_MODEL;
	}
	if (!llama_model_has_decoder(llama->model) || llama_model_n_embd_out(llama->model) == 0) {
		bytes_printf(fault, "%s is not a model that generates text.", path);
		return ERROR_MODEL;
	}
	llama->vocab = llama_model_get_vocab(llama->model);
	model_path_name(settings->engine_model, llama->base.facts.model_name, sizeof(llama->base.facts.model_name));
	return OK;
}

static int32_t thread_count(const struct pool_config *settings)
{
	if (settings->engine_threads > 0)
		return (int32_t)settings->engine_threads;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores > 2 ? (int32_t)cores - 1 : 1; /* a core is left to the loops */
}

/* auto: as many as keep some hundred cells each, at most 16, where one core stops gaining from wider decodes. */
static uint32_t sequence_count(const struct pool_config *settings)
{
	if (settings->engine_sequences > 0)
		return (uint32_t)settings->engine_sequences;
	int64_t count = settings->engine_context / 512;
	return count < 1 ? 1 : count > 16 ? 16 : (uint32_t)count;
}

static enum error open_context(struct llama_engine *llama, const struct pool_config *settings, struct bytes *fault)
{
	struct llama_context_params params = llama_context_default_params();
	params.n_ctx = (uint32_t)settings->engine_context;
	params.n_batch = STEP_TOKENS_MAX;
	params.n_ubatch = STEP_TOKENS_MAX;
	params.n_seq_max = sequence_count(settings);
	params.n_outputs_max = sequence_count(settings); /* a row of logits a sequence, not one a token */
	params.n_threads = thread_count(settings);
	params.n_threads_batch = params.n_threads;
	params.kv_unified = true;
	params.no_perf = true;
	params.abort_callback = nobody_waits;
	params.abort_callback_data = llama;
	llama->context = llama_init_from_model(llama->model, params);
	if (!llama->context) {
		bytes_printf(fault, "No context of %lld tokens for %lld sequences: too little memory? Lower engine.context.",
		             (long long)settings->engine_context, (long long)params.n_seq_max);
		return ERROR_MEMORY;
	}
	llama->batch = llama_batch_init(STEP_TOKENS_MAX, 0, 1);
	return OK;
}

static void fill_facts(struct llama_engine *llama)
{
	struct engine_facts *facts = &llama->base.facts;
	uint32_t trained = (uint32_t)llama_model_n_ctx_train(llama->model);
	facts->context_tokens = llama_n_ctx(llama->context);
	facts->request_tokens = trained && trained < facts->context_tokens ? trained : facts->context_tokens;
	facts->sequences = llama_n_seq_max(llama->context);
	facts->step_tokens_max = STEP_TOKENS_MAX;
	facts->chunk_tokens = CHUNK_TOKENS;
	facts->vocabulary = (uint32_t)llama_vocab_n_tokens(llama->vocab);
	facts->has_chat_template = llama->templates != NULL;
}

static void llama_close(struct engine **engine)
{
	struct llama_engine *llama = llama_of(*engine);
	*engine = NULL;
	sampling_scratch_free(&llama->scratch);
	bytes_fini(&llama->piece);
	if (llama->templates)
		chat_templates_close(&llama->templates);
	if (llama->batch.token)
		llama_batch_free(llama->batch);
	if (llama->context)
		llama_free(llama->context);
	if (llama->model)
		llama_model_free(llama->model);
	llama_backend_free();
	llama_log_set(NULL, NULL);
	free(llama);
}

/* wanted: "" = the model's own, "chatml", or the path of a Jinja file. */
static enum error open_templates(struct llama_engine *llama, const char *wanted, struct bytes *fault)
{
	if (!*wanted && !llama_model_chat_template(llama->model, NULL))
		return OK; /* a base model: completions only */
	struct bytes source = { 0 };
	enum error error = OK;
	if (strchr(wanted, '/'))
		error = file_read(wanted, TEMPLATE_BYTES_MAX, &source);
	else if (*wanted && strcmp(wanted, "chatml") != 0)
		error = ERROR_NOT_FOUND;
	else if (*wanted)
		bytes_append_span(&source, chatml_template());
	if (error)
		bytes_printf(fault, "The chat template %s can't be read: %s; it is 'chatml' or a path with a slash.", wanted,
		             error_text(error));
	else
		error = chat_templates_open(llama->model, bytes_span(&source), &llama->templates, fault);
	bytes_fini(&source);
	return error;
}

static enum error open_parts(struct llama_engine *llama, const struct pool_config *settings, struct bytes *fault)
{
	enum error error = load_backends(fault);
	if (!error)
		error = load_model(llama, settings, fault);
	if (!error)
		error = open_context(llama, settings, fault);
	if (!error)
		error = open_templates(llama, settings->engine_chat_template, fault);
	if (!error)
		error = sampling_scratch_new(llama->vocab, &llama->scratch);
	return error;
}

static enum error llama_open(const struct pool_config *settings, engine_progress *progress, void *owner,
                             struct engine **out, struct bytes *fault)
{
	struct llama_engine *llama = calloc(1, sizeof(*llama));
	if (!llama)
		return ERROR_MEMORY;
	llama->base.ops = &llama_engine_ops;
	llama->progress = progress;
	llama->progress_owner = owner;
	llama->defaults = (struct sampling_defaults){ settings->engine_temperature, settings->engine_top_p,
		                                          settings->engine_min_p, settings->engine_top_k };
	llama->output_default = settings->engine_output;
	llama_log_set(forward_log, llama);
	llama_backend_init();
	enum error error = open_parts(llama, settings, fault);
	struct engine *engine = &llama->base;
	if (error) {
		llama_close(&engine);
		return error;
	}
	fill_facts(llama);
	*out = engine;
	return OK;
}

/* ---- requests ---- */

static enum error tokenise(const struct llama_engine *llama, struct span text, struct generation *generation)
{
	/* A token is at least a byte, but for the ones a tokenizer adds by itself. */
	int32_t capacity = (int32_t)text.len + 8;
	generation->prompt = malloc(sizeof(*generation->prompt) * (size_t)capacity);
	if (!generation->prompt)
		return ERROR_MEMORY;
	int32_t count = llama_tokenize(llama->vocab, text.at, (int32_t)text.len, generation->prompt, capacity, true, true);
	if (count < 0)
		return ERROR_INTERNAL;
	generation->prompt_count = (uint32_t)count;
	return OK;
}

static enum error prepare_chat(struct llama_engine *llama, struct generation *generation, struct bytes *fault)
{
	if (!llama->templates) {
		bytes_printf(fault, "The model %s has no chat template; use /v1/completions.", llama->base.facts.model_name);
		return ERROR_UNSUPPORTED;
	}
	enum error error = chat_render(llama->templates, generation->request.body, &generation->chat, fault);
	if (error)
		return error;
	for (size_t i = 0; generation->stop_count < GENERATION_STOPS_MAX; i++) {
		struct span stop = chat_prompt_stop(generation->chat, i);
		if (!stop.len)
			break;
		generation->stops[generation->stop_count++] = stop;
	}
	/* A first special token that the tokenizer adds was taken off the rendered text by llama-common. */
	return tokenise(llama, chat_prompt_text(generation->chat), generation);
}

static enum error take_token_ids(const struct llama_engine *llama, struct generation *generation, struct bytes *fault)
{
	const struct json *json = &generation->request.json;
	uint32_t array = generation->request.prompt;
	generation->prompt = malloc(sizeof(*generation->prompt) * json->nodes[array].count);
	if (!generation->prompt)
		return ERROR_MEMORY;
	for (uint32_t node = json_first(json, array); node != JSON_NONE; node = json_next(json, array, node)) {
		int64_t token = 0;
		if (json_int64(json, node, &token) != OK || token >= llama->base.facts.vocabulary) {
			bytes_printf(fault, "'prompt' holds the token id %lld, but ids are below %u.", (long long)token,
			             llama->base.facts.vocabulary);
			return ERROR_RANGE;
		}
		generation->prompt[generation->prompt_count++] = (int32_t)token;
	}
	return OK;
}

static enum error prepare_completion(struct llama_engine *llama, struct generation *generation, struct bytes *fault)
{
	const struct json *json = &generation->request.json;
	struct span text;
	if (json_type(json, generation->request.prompt) != JSON_STRING)
		return take_token_ids(llama, generation, fault);
	enum error error = json_string(json, generation->request.prompt, &generation->arena, &text);
	return error ? error : tokenise(llama, text, generation);
}

static enum error llama_prepare(struct engine *engine, struct generation *generation, struct bytes *fault)
{
	struct llama_engine *llama = llama_of(engine);
	const struct api_request *request = &generation->request;
	for (size_t i = 0; i < request->stop_count; i++)
		generation->stops[generation->stop_count++] = request->stops[i];
	enum error error = request->endpoint == API_CHAT ? prepare_chat(llama, generation, fault)
	                                                 : prepare_completion(llama, generation, fault);
	if (!error)
		error = generation_size_output(generation, engine->facts.request_tokens, llama->output_default, fault);
	struct llama_sampler *grammar = NULL;
	if (!error && generation->chat)
		error = chat_prompt_grammar(generation->chat, llama->model, &grammar, fault);
	if (!error)
		error =
			sampling_new(llama->vocab, request, &llama->defaults, grammar, (struct sampling **)&generation->sampler);
	return error;
}

static void llama_release(struct engine *engine, struct generation *generation)
{
	(void)engine;
	sampling_free((struct sampling **)&generation->sampler);
}

/* ---- steps ---- */

static enum error llama_decode_rows(struct engine *engine, struct step_row *rows, uint32_t count)
{
	struct llama_engine *llama = llama_of(engine);
	struct llama_batch *batch = &llama->batch;
	batch->n_tokens = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct step_row *row = &rows[i];
		for (uint32_t t = 0; t < row->count; t++) {
			int32_t at = batch->n_tokens++;
			batch->token[at] = row->tokens[t];
			batch->pos[at] = row->position + (int32_t)t;
			batch->n_seq_id[at] = 1;
			batch->seq_id[at][0] = row->sequence;
			batch->logits[at] = row->samples && t == row->count - 1;
			row->output = at;
		}
	}
	llama->step = rows;
	llama->row_count = count;
	int32_t status = llama_decode(llama->context, *batch);
	llama->row_count = 0;
	if (status == 0)
		return OK;
	if (status == 2)
		return ERROR_CANCELLED;
	return status == 1 ? ERROR_BUSY : ERROR_INTERNAL;
}

static void token_piece(const struct llama_engine *llama, int32_t token, bool with_special, struct bytes *out)
{
	char small[64];
	int32_t len = llama_token_to_piece(llama->vocab, token, small, sizeof(small), 0, with_special);
	if (len >= 0) {
		bytes_append(out, small, (size_t)len);
		return;
	}
	if (!bytes_reserve(out, (size_t)-len))
		return;
	len = llama_token_to_piece(llama->vocab, token, out->data + out->len, -len, 0, with_special);
	out->len += len > 0 ? (size_t)len : 0;
}

static enum error llama_sample(struct engine *engine, struct generation *generation, int32_t output,
                               struct sampled_token *out, struct token_logprob *tops, uint32_t top_count)
{
	struct llama_engine *llama = llama_of(engine);
	const float *logits = llama_get_logits_ith(llama->context, output);
	if (!logits)
		return ERROR_INTERNAL;
	int32_t token = sampling_take(generation->sampler, llama->scratch, logits);
	if (top_count)
		sampling_logprobs(llama->scratch, logits, token, tops, top_count);
	out->token = token;
	out->is_end = llama_vocab_is_eog(llama->vocab, token);
	bytes_clear(&llama->piece);
	if (!out->is_end) {
		bool keeps = generation->chat && chat_prompt_keeps_token(generation->chat, token);
		token_piece(llama, token, keeps, &llama->piece);
	}
	out->text = bytes_span(&llama->piece);
	return OK;
}

static void llama_forget(struct engine *engine, int32_t sequence)
{
	llama_memory_seq_rm(llama_get_memory(llama_of(engine)->context), sequence, -1, -1);
}

static void llama_token_text(struct engine *engine, int32_t token, struct bytes *out)
{
	token_piece(llama_of(engine), token, true, out);
}

static enum error llama_warm_up(struct engine *engine)
{
	struct llama_engine *llama = llama_of(engine);
	int32_t tokens[WARM_UP_TOKENS];
	int32_t token = llama_vocab_bos(llama->vocab);
	for (int i = 0; i < WARM_UP_TOKENS; i++)
		tokens[i] = token >= 0 ? token : 0;
	struct step_row prompt = {
		.sequence = 0, .position = 0, .tokens = tokens, .count = WARM_UP_TOKENS, .samples = true
	};
	enum error error = llama_decode_rows(engine, &prompt, 1);
	struct step_row next = { .sequence = 0, .position = WARM_UP_TOKENS, .tokens = tokens, .count = 1, .samples = true };
	if (!error)
		error = llama_decode_rows(engine, &next, 1);
	llama_forget(engine, 0);
	return error;
}

const struct engine_ops llama_engine_ops = {
	.name = "llama",
	.open = llama_open,
	.close = llama_close,
	.warm_up = llama_warm_up,
	.prepare = llama_prepare,
	.release = llama_release,
	.decode = llama_decode_rows,
	.sample = llama_sample,
	.forget = llama_forget,
	.token_text = llama_token_text,
};
