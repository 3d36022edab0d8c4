/* An engine that follows a script instead of a model: the same operations, times and faults set by the pool's engine.scripted.* keys
 * or by the request ("scripted": {"first_token_ms": 50, "gap_ms": 10, "tokens": 20, "fail_after": 5, "stall_after": 5, "crash_after": 5}).
 *
 * Test builds only. Everything around it (HTTP, steps, accounts, cancel) is the real thing. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/macros.h"
#include "config/config.h"
#include "engine/engine.h"
#include "engine/generation.h"
#include "engine/kv_state.h"

#define BYTES_PER_TOKEN 4
#define VOCABULARY 32
#define BYTES_PER_CELL 1024
#define LOAD_STEPS 20
/* How often a long step looks whether somebody still waits for it. */
#define LOOK_NS (5 * NS_PER_MS)

static const char *const words[] = { "one",  " two",   " three", " four", " five",
	                                 " six", " seven", " eight", " nine", " ten" };

struct script {
	int64_t first_token_ns;
	int64_t gap_ns;
	int64_t tokens;
	int64_t fail_after;  /* tokens; -1 = never; so the next two */
	int64_t stall_after; /* from here on tokens have no text */
	int64_t crash_after; /* the worker aborts */
};

struct scripted_engine {
	struct engine base;
	struct script initial;
};

/* Passing the scripted time is what this engine is for. */
static void pass_time(int64_t duration_ns)
{
	struct timespec duration = { duration_ns / NS_PER_S, duration_ns % NS_PER_S };
	while (duration_ns > 0 && nanosleep(&duration, &duration) != 0)
		;
}

static enum error scripted_open(const struct pool_config *settings, engine_progress *progress, void *owner,
                                struct engine **out, struct bytes *fault)
{
	(void)fault;
	struct scripted_engine *scripted = calloc(1, sizeof(*scripted));
	if (!scripted)
		return ERROR_MEMORY;
	for (int i = 1; i <= LOAD_STEPS; i++) {
		pass_time(settings->engine_scripted_load_time / LOAD_STEPS);
		progress(owner, (float)i / LOAD_STEPS);
	}
	scripted->base.ops = &scripted_engine_ops;
	scripted->base.facts = (struct engine_facts){
		.model_name = "scripted",
		.context_tokens = (uint32_t)settings->engine_context,
		.request_tokens = (uint32_t)settings->engine_context,
		.sequences = settings->engine_sequences > 0 ? (uint32_t)settings->engine_sequences : 16,
		.short_tokens = settings->engine_short_context > 0 ? (uint32_t)settings->engine_short_context : 0,
		.step_tokens_max = 512,
		.vocabulary = VOCABULARY,
		.has_chat_template = true,
	};
	scripted->initial = (struct script){
		.first_token_ns = settings->engine_scripted_first_token,
		.gap_ns = settings->engine_scripted_gap,
		.tokens = settings->engine_scripted_tokens,
		.fail_after = settings->engine_scripted_fail_after,
		.stall_after = settings->engine_scripted_stall_after,
		.crash_after = -1,
	};
	*out = &scripted->base;
	return OK;
}

static void scripted_close(struct engine **engine)
{
	free(*engine);
	*engine = NULL;
}

static enum error scripted_warm_up(struct engine *engine)
{
	(void)engine;
	return OK;
}

static void take_number(const struct json *json, uint32_t node, const char *name, int64_t scale, int64_t *out)
{
	int64_t value = 0;
	uint32_t member = json_get(json, node, name);
	if (member != JSON_NONE && json_int64(json, member, &value) == OK)
		*out = value * scale;
}

static enum error scripted_prepare(struct engine *engine, struct generation *generation, struct bytes *fault)
{
	struct scripted_engine *scripted = (struct scripted_engine *)engine;
	const struct json *json = &generation->request.json;
	struct script *script = malloc(sizeof(*script));
	uint32_t node = json_get(json, JSON_ROOT, "scripted");
	generation->sampler = script;
	if (!script)
		return ERROR_MEMORY;
	*script = scripted->initial;
	if (node != JSON_NONE) {
		take_number(json, node, "first_token_ms", NS_PER_MS, &script->first_token_ns);
		take_number(json, node, "gap_ms", NS_PER_MS, &script->gap_ns);
		take_number(json, node, "tokens", 1, &script->tokens);
		take_number(json, node, "fail_after", 1, &script->fail_after);
		take_number(json, node, "stall_after", 1, &script->stall_after);
		take_number(json, node, "crash_after", 1, &script->crash_after);
	}
	for (size_t i = 0; i < generation->request.stop_count; i++)
		generation->stops[generation->stop_count++] = generation->request.stops[i];
	generation->prompt_count = (uint32_t)(generation->body.len / BYTES_PER_TOKEN) + 1;
	generation->prompt = calloc(generation->prompt_count, sizeof(*generation->prompt));
	if (!generation->prompt)
		return ERROR_MEMORY;
	uint32_t most = engine->facts.request_tokens;
	int64_t output = script->stall_after < 0 ? script->tokens + 1 : most;
	return generation_size_output(generation, most, output, fault);
}

static void scripted_release(struct engine *engine, struct generation *generation)
{
	(void)engine;
	free(generation->sampler);
	generation->sampler = NULL;
}

static enum error scripted_decode(struct engine *engine, enum engine_lane lane, struct step_row *rows, uint32_t count)
{
	int64_t longest_ns = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct generation *generation = rows[i].generation;
		const struct script *script = generation->sampler;
		bool is_prompt = rows[i].position < (int32_t)generation->prompt_count;
		int64_t cost_ns =
			is_prompt ? script->first_token_ns * rows[i].count / generation->prompt_count : script->gap_ns;
		longest_ns = max_ll(longest_ns, cost_ns);
		rows[i].output = (int32_t)i;
	}
	/* As the real one does: a step that nobody waits for is given up. */
	int64_t end_ns = clock_now_ns() + longest_ns;
	for (int64_t left_ns = longest_ns; left_ns > 0; left_ns = end_ns - clock_now_ns()) {
		if (engine->goes_on && !engine->goes_on(engine->owner, lane))
			return ERROR_CANCELLED;
		pass_time(min_ll(left_ns, LOOK_NS));
	}
	return OK;
}

static enum error scripted_sample(struct engine *engine, enum engine_lane lane, struct generation *generation,
                                  int32_t output, struct sampled_token *out, struct token_logprob *tops,
                                  uint32_t top_count)
{
	const struct script *script = generation->sampler;
	int64_t at = generation->output_count;
	(void)engine;
	(void)lane;
	(void)output;
	if (at == script->crash_after)
		abort();
	if (at == script->fail_after)
		return ERROR_INTERNAL;
	bool stalls = script->stall_after >= 0 && at >= script->stall_after;
	out->token = (int32_t)(at % (int64_t)COUNT_OF(words));
	out->is_end = !stalls && at >= script->tokens;
	out->text = stalls ? (struct span){ 0 } : span_of(words[out->token]);
	for (uint32_t i = 0; i < top_count; i++)
		tops[i] = (struct token_logprob){ (out->token + (int32_t)i) % VOCABULARY, -0.1F * (float)(i + 1) };
	return OK;
}

static enum error scripted_forget(struct engine *engine, enum engine_lane lane, int32_t sequence, uint32_t from)
{
	(void)engine;
	(void)lane;
	(void)sequence;
	(void)from;
	return OK;
}

static void scripted_share(struct engine *engine, int32_t from, int32_t to, uint32_t count)
{
	(void)engine;
	(void)from;
	(void)to;
	(void)count;
}

/* As large as a small model's. */
static struct kv_state *scripted_save(struct engine *engine, enum engine_lane lane, int32_t sequence, uint32_t tokens)
{
	(void)engine;
	(void)lane;
	(void)sequence;
	return kv_state_new(tokens, (size_t)tokens * BYTES_PER_CELL);
}

static enum error scripted_restore(struct engine *engine, enum engine_lane lane, int32_t sequence,
                                   const struct kv_state *state, uint32_t count)
{
	(void)engine;
	(void)lane;
	(void)sequence;
	return count <= state->tokens ? OK : ERROR_INTERNAL;
}

static void scripted_token_text(struct engine *engine, int32_t token, struct bytes *out)
{
	(void)engine;
	bytes_append_text(out, words[(size_t)token % COUNT_OF(words)]);
}

const struct engine_ops scripted_engine_ops = {
	.name = "scripted",
	.open = scripted_open,
	.close = scripted_close,
	.warm_up = scripted_warm_up,
	.prepare = scripted_prepare,
	.release = scripted_release,
	.decode = scripted_decode,
	.sample = scripted_sample,
	.forget = scripted_forget,
	.share = scripted_share,
	.save = scripted_save,
	.restore = scripted_restore,
	.token_text = scripted_token_text,
};
