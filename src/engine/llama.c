/* The engine's operations over llama.cpp's C library.
 *
 * One model, a context for each lane: prompts and the long lane have one room for all their sequences (kv_unified), the short lane gives each its own
 * cells, because attention in a common room looks at everybody's (docs/engine.md has the measurements). The long lane's context is opened when the
 * first stream needs it. */
#include <llama.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "engine/chatml.h"
#include "engine/engine.h"
#include "engine/generation.h"
#include "engine/kv_state.h"
#include "engine/llama_library.h"
#include "engine/llama_state.h"
#include "engine/model_path.h"
#include "engine/sampling.h"

/* Prompt tokens of a step. On a CPU 128 have the least cost a token; wider ones fall out of its caches (measured: docs/engine.md). */
#define STEP_TOKENS_CPU 128
#define STEP_TOKENS_GPU 512
#define WEIGHTS_AUTO 0 /* of the choices of engine.weights */
#define WARM_UP_TOKENS 16
#define TEMPLATE_BYTES_MAX (1024 * 1024)

/* One thread's. */
struct llama_lane {
	struct llama_context *context; /* NULL = not opened yet */
	struct llama_batch batch;
	struct sampling_scratch *scratch;
	struct bytes piece; /* of the last sampled token */
	struct llama_engine *llama;
	enum engine_lane lane;
};

struct llama_engine {
	struct engine base;
	struct llama_model *model;
	const struct llama_vocab *vocab;
	struct chat_templates *templates; /* NULL when the model has none */
	struct llama_lane lanes[LANES];
	struct sampling_defaults defaults;
	int64_t output_default; /* tokens, for requests that name no limit */
	int32_t threads;
	/* The long lane is opened by a thread of its own, once. */
	pthread_mutex_t long_lock;
	enum { LONG_CLOSED, LONG_OPENING, LONG_OPENED } long_state;
	pthread_t long_thread;
	engine_progress *progress;
	void *progress_owner;
	atomic_bool is_open; /* opening is over */
};

static struct llama_engine *llama_of(struct engine *engine)
{
	return (struct llama_engine *)engine;
}

/* ---- opening ---- */

/* Asked between the nodes of a step's graph. */
static bool gives_up(void *owner)
{
	const struct llama_lane *lane = owner;
	const struct engine *engine = &lane->llama->base;
	return engine->goes_on && !engine->goes_on(engine->owner, lane->lane);
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
	/* On a GPU the packaged ones are as fast, and smaller. */
	char fast[PATH_MAX];
	bool is_fast = settings->engine_weights == WEIGHTS_AUTO && !llama_supports_gpu_offload() &&
	               model_path_find_fast(settings->engine_model, fast, sizeof(fast));
	if (is_fast)
		memcpy(path, fast, sizeof(path));
	log_line(LOG_INFO, "loading %s%s", path, is_fast ? " (engine.weights: auto)" : "");
	struct llama_model_params params = llama_model_default_params();
	params.n_gpu_layers = (int32_t)settings->engine_gpu_layers;
	params.progress_callback = on_progress;
	params.progress_callback_user_data = llama;
	llama->model = llama_model_load_from_file(path, params);
	if (!llama->model) {
		bytes_printf(fault,
		             "%s could not be loaded: not a GGUF model that llama.cpp %s knows, damaged, cut short, or too "
		             "large for memory.",
		             path, llama_version());
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

/* auto: as many as keep some hundred cells each, at most 16, where one core stops gaining from wider decodes. */
static uint32_t sequence_count(const struct pool_config *settings)
{
	if (settings->engine_sequences > 0)
		return (uint32_t)settings->engine_sequences;
	int64_t count = settings->engine_context / 512;
	return count < 1 ? 1 : count > 16 ? 16 : (uint32_t)count;
}

/* auto: what fits beside the others in as many cells as the long lane has, at most. */
static uint32_t short_tokens(const struct pool_config *settings)
{
	if (settings->engine_short_context >= 0)
		return (uint32_t)settings->engine_short_context;
	return (uint32_t)settings->engine_context / sequence_count(settings);
}

static uint32_t step_tokens(const struct llama_engine *llama, const struct pool_config *settings)
{
	if (settings->engine_step_tokens > 0)
		return (uint32_t)settings->engine_step_tokens;
	bool has_gpu = settings->engine_gpu_layers != 0 && llama_supports_gpu_offload();
	(void)llama;
	return has_gpu ? STEP_TOKENS_GPU : STEP_TOKENS_CPU;
}

/* Any thread that has the lane to itself. */
static enum error open_lane(struct llama_engine *llama, enum engine_lane which)
{
	const struct engine_facts *facts = &llama->base.facts;
	struct llama_lane *lane = &llama->lanes[which];
	struct llama_context_params params = llama_context_default_params();
	bool is_prompts = which == LANE_PROMPTS;
	uint32_t sequences = is_prompts ? ENGINE_PROMPTS_MAX : facts->sequences;
	params.n_ctx = which == LANE_SHORT ? facts->short_tokens * sequences : facts->context_tokens;
	params.n_batch = is_prompts ? facts->step_tokens_max : sequences;
	params.n_ubatch = params.n_batch;
	params.n_seq_max = sequences;
	params.n_outputs_max = sequences; /* a row of logits a sequence, not one a token */
	params.n_threads = llama->threads;
	params.n_threads_batch = llama->threads;
	params.kv_unified = which != LANE_SHORT;
	params.no_perf = true;
	params.abort_callback = gives_up;
	params.abort_callback_data = lane;
	lane->llama = llama;
	lane->lane = which;
	if (!lane->scratch && sampling_scratch_new(llama->vocab, &lane->scratch) != OK)
		return ERROR_MEMORY;
	if (!lane->batch.token)
		lane->batch = llama_batch_init((int32_t)params.n_batch, 0, 1);
	lane->context = llama_init_from_model(llama->model, params);
	return lane->context && lane->batch.token ? OK : ERROR_MEMORY;
}

static void *open_short_lane(void *argument)
{
	struct llama_engine *llama = argument;
	return open_lane(llama, LANE_SHORT) == OK ? llama : NULL;
}

/* Clearing a lane's cells takes most of it: both are opened at once. */
static enum error open_lanes(struct llama_engine *llama, struct bytes *fault)
{
	const struct engine_facts *facts = &llama->base.facts;
	pthread_t thread;
	void *opened = llama;
	bool has_thread = facts->short_tokens && pthread_create(&thread, NULL, open_short_lane, llama) == 0;
	if (facts->short_tokens && !has_thread)
		opened = open_short_lane(llama);
	enum error error = open_lane(llama, LANE_PROMPTS);
	if (has_thread)
		pthread_join(thread, &opened);
	if (!error && !opened)
		error = ERROR_MEMORY;
	if (error)
		bytes_printf(
			fault, "No room for %u tokens of context and %u sequences of %u: too little memory? Lower engine.context.",
			facts->context_tokens, facts->sequences, facts->short_tokens);
	return error;
}

static void *open_long_lane(void *argument)
{
	struct llama_engine *llama = argument;
	if (open_lane(llama, LANE_LONG) != OK)
		log_line(LOG_ERROR, "no room for the long lane's %u tokens; lower engine.context",
		         llama->base.facts.context_tokens);
	return NULL;
}

/* The first request that may need it: while its prompt is computed. Any thread. */
static void want_long_lane(struct llama_engine *llama)
{
	pthread_mutex_lock(&llama->long_lock);
	if (llama->long_state == LONG_CLOSED && pthread_create(&llama->long_thread, NULL, open_long_lane, llama) == 0)
		llama->long_state = LONG_OPENING;
	pthread_mutex_unlock(&llama->long_lock);
}

/* Waits until it is open, if anybody wanted it. */
static void join_long_lane(struct llama_engine *llama)
{
	pthread_mutex_lock(&llama->long_lock);
	if (llama->long_state == LONG_OPENING) {
		pthread_join(llama->long_thread, NULL);
		llama->long_state = LONG_OPENED;
	}
	pthread_mutex_unlock(&llama->long_lock);
}

static void close_lane(struct llama_lane *lane)
{
	sampling_scratch_free(&lane->scratch);
	bytes_fini(&lane->piece);
	if (lane->batch.token)
		llama_batch_free(lane->batch);
	if (lane->context)
		llama_free(lane->context);
}

/* FNV-1a (Fowler, Noll, Vo) over all that a state's bytes depend on. */
static uint64_t identity_of(const struct llama_engine *llama)
{
	char text[512];
	char model[128];
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	llama_model_desc(llama->model, model, sizeof(model));
	snprintf(text, sizeof(text), "%s %s %s %llu %llu %u", llama_version(), llama->base.facts.model_name, model,
	         (unsigned long long)llama_model_size(llama->model), (unsigned long long)llama_model_n_params(llama->model),
	         llama->base.facts.sequences);
	for (const char *at = text; *at; at++)
		hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
	return hash;
}

static void fill_facts(struct llama_engine *llama, const struct pool_config *settings)
{
	struct engine_facts *facts = &llama->base.facts;
	uint32_t trained = (uint32_t)llama_model_n_ctx_train(llama->model);
	facts->context_tokens = (uint32_t)settings->engine_context;
	facts->request_tokens = trained && trained < facts->context_tokens ? trained : facts->context_tokens;
	facts->sequences = sequence_count(settings);
	facts->short_tokens = short_tokens(settings);
	facts->step_tokens_max = step_tokens(llama, settings);
	facts->vocabulary = (uint32_t)llama_vocab_n_tokens(llama->vocab);
	facts->has_chat_template = llama->templates != NULL;
	facts->identity = identity_of(llama);
	facts->keeps_whole = llama_model_is_recurrent(llama->model) || llama_model_is_hybrid(llama->model);
}

static void llama_close(struct engine **engine)
{
	struct llama_engine *llama = llama_of(*engine);
	*engine = NULL;
	join_long_lane(llama);
	pthread_mutex_destroy(&llama->long_lock);
	for (int lane = 0; lane < LANES; lane++)
		close_lane(&llama->lanes[lane]);
	if (llama->templates)
		chat_templates_close(&llama->templates);
	if (llama->model)
		llama_model_free(llama->model);
	llama_library_end();
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
	enum error error = load_model(llama, settings, fault);
	if (!error)
		error = open_templates(llama, settings->engine_chat_template, fault);
	if (error)
		return error;
	llama->threads = llama_thread_count(settings);
	fill_facts(llama, settings);
	return open_lanes(llama, fault);
}

static enum error llama_open(const struct pool_config *settings, engine_progress *progress, void *owner,
                             struct engine **out, struct bytes *fault)
{
	struct llama_engine *llama = calloc(1, sizeof(*llama));
	if (!llama)
		return ERROR_MEMORY;
	llama->base.ops = &llama_engine_ops;
	pthread_mutex_init(&llama->long_lock, NULL);
	llama->progress = progress;
	llama->progress_owner = owner;
	llama->defaults = (struct sampling_defaults){ settings->engine_temperature, settings->engine_top_p,
		                                          settings->engine_min_p, settings->engine_top_k };
	llama->output_default = settings->engine_output;
	enum error error = llama_library_start(&llama->is_open, fault);
	if (!error)
		error = open_parts(llama, settings, fault);
	struct engine *engine = &llama->base;
	if (error) {
		llama_close(&engine);
		return error;
	}
	atomic_store(&llama->is_open, true);
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
	if (!error && generation->prompt_count + generation->output_max > engine->facts.short_tokens)
		want_long_lane(llama);
	struct llama_sampler *grammar = NULL;
	if (!error && generation->chat)
		error = chat_prompt_grammar(llama->templates, generation->chat, &grammar, fault);
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

static void fill_batch(struct llama_batch *batch, struct step_row *rows, uint32_t count)
{
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
}

static enum error llama_decode_rows(struct engine *engine, enum engine_lane which, struct step_row *rows,
                                    uint32_t count)
{
	struct llama_lane *lane = &llama_of(engine)->lanes[which];
	fill_batch(&lane->batch, rows, count);
	int32_t status = llama_decode(lane->context, lane->batch);
	if (status == 0)
		return OK;
	if (status != 2)
		return status == 1 ? ERROR_BUSY : ERROR_INTERNAL;
	/* What was given up may have left cells behind. */
	for (uint32_t i = 0; i < count; i++)
		llama_memory_seq_rm(llama_get_memory(lane->context), rows[i].sequence, rows[i].position, -1);
	return ERROR_CANCELLED;
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

static enum error llama_sample(struct engine *engine, enum engine_lane which, struct generation *generation,
                               int32_t output, struct sampled_token *out, struct token_logprob *tops,
                               uint32_t top_count)
{
	struct llama_engine *llama = llama_of(engine);
	struct llama_lane *lane = &llama->lanes[which];
	const float *logits = llama_get_logits_ith(lane->context, output);
	if (!logits)
		return ERROR_INTERNAL;
	int32_t token = sampling_take(generation->sampler, lane->scratch, logits);
	if (top_count)
		sampling_logprobs(lane->scratch, logits, token, tops, top_count);
	out->token = token;
	out->is_end = llama_vocab_is_eog(llama->vocab, token);
	bytes_clear(&lane->piece);
	if (!out->is_end) {
		bool keeps = generation->chat && chat_prompt_keeps_token(generation->chat, token);
		token_piece(llama, token, keeps, &lane->piece);
	}
	out->text = bytes_span(&lane->piece);
	return OK;
}

/* ---- cells ---- */

static enum error llama_forget(struct engine *engine, enum engine_lane which, int32_t sequence, uint32_t from)
{
	struct llama_context *context = llama_of(engine)->lanes[which].context;
	if (llama_memory_seq_rm(llama_get_memory(context), sequence, from ? (int32_t)from : -1, -1))
		return OK;
	llama_memory_seq_rm(llama_get_memory(context), sequence, -1, -1);
	return ERROR_UNSUPPORTED;
}

static void llama_share(struct engine *engine, int32_t from, int32_t to, uint32_t count)
{
	struct llama_context *context = llama_of(engine)->lanes[LANE_PROMPTS].context;
	llama_memory_seq_cp(llama_get_memory(context), from, to, 0, (int32_t)count);
}

/* A common room is one stream. */
static uint32_t streams_of(const struct engine *engine, enum engine_lane lane)
{
	return lane == LANE_SHORT ? engine->facts.sequences : 1;
}

static struct kv_state *llama_save(struct engine *engine, enum engine_lane which, int32_t sequence, uint32_t tokens)
{
	return llama_state_save(llama_of(engine)->lanes[which].context, streams_of(engine, which), engine->facts.sequences,
	                        sequence, tokens);
}

static enum error llama_restore(struct engine *engine, enum engine_lane which, int32_t sequence,
                                const struct kv_state *state, uint32_t count)
{
	struct llama_engine *llama = llama_of(engine);
	if (which == LANE_LONG) {
		want_long_lane(llama);
		join_long_lane(llama);
	}
	enum error error = llama->lanes[which].context ? OK : ERROR_MEMORY;
	if (!error)
		error = llama_state_restore(llama->lanes[which].context, streams_of(engine, which), engine->facts.sequences,
		                            sequence, state);
	if (!error && count < state->tokens)
		error = llama_forget(engine, which, sequence, count);
	return error;
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
	enum error error = llama_decode_rows(engine, LANE_PROMPTS, &prompt, 1);
	enum engine_lane lane = engine->facts.short_tokens ? LANE_SHORT : LANE_LONG;
	struct kv_state *state = error ? NULL : llama_save(engine, LANE_PROMPTS, 0, WARM_UP_TOKENS);
	struct step_row next = { .sequence = 0, .position = WARM_UP_TOKENS, .tokens = tokens, .count = 1, .samples = true };
	if (!error)
		error = state ? llama_restore(engine, lane, 0, state, WARM_UP_TOKENS) : ERROR_MEMORY;
	if (!error)
		error = llama_decode_rows(engine, lane, &next, 1);
	kv_state_unref(&state);
	enum error dropped = llama_forget(engine, LANE_PROMPTS, 0, 0);
	if (!error && !dropped)
		dropped = llama_forget(engine, lane, 0, 0);
	return error ? error : dropped;
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
	.share = llama_share,
	.save = llama_save,
	.restore = llama_restore,
	.token_text = llama_token_text,
};
