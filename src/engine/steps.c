/* What both threads of the engine use, and the loop's side of them.
 *
 * The way of a generation: inbox -> prompts.c: waiting, active -> handed -> streams.c: parked, running -> news, finished or not. */
#include "engine/steps_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "policy/batch.h"

/* ---- clocks ---- */

int64_t busy_clock_ns(const struct busy_clock *clock, int64_t now_ns)
{
	int64_t since_ns = atomic_load_explicit(&clock->since_ns, memory_order_relaxed);
	int64_t total_ns = atomic_load_explicit(&clock->total_ns, memory_order_relaxed);
	return since_ns ? total_ns + max_ll(now_ns - since_ns, 0) : total_ns;
}

void busy_clock_set(struct busy_clock *clock, bool is_busy)
{
	int64_t now_ns = clock_now_ns();
	int64_t since_ns = atomic_load_explicit(&clock->since_ns, memory_order_relaxed);
	if (is_busy == (since_ns != 0))
		return;
	if (since_ns)
		atomic_fetch_add_explicit(&clock->total_ns, now_ns - since_ns, memory_order_relaxed);
	atomic_store_explicit(&clock->since_ns, is_busy ? now_ns : 0, memory_order_relaxed);
}

/* ---- news; the lock is held ---- */

static void post_news(struct steps *steps, struct generation *generation)
{
	if (generation->has_news)
		return;
	generation->has_news = true;
	generation->next_news = NULL;
	if (steps->news)
		steps->last_news->next_news = generation;
	else
		steps->news = generation;
	steps->last_news = generation;
}

static void run_news(void *argument)
{
	struct steps *steps = argument;
	pthread_mutex_lock(&steps->lock);
	steps->news_posted = false;
	pthread_mutex_unlock(&steps->lock);
	steps->on_news(steps->owner);
}

void steps_tell_loop(struct steps *steps)
{
	pthread_mutex_lock(&steps->lock);
	bool tells = steps->news && !steps->news_posted;
	if (tells)
		steps->news_posted = true;
	pthread_mutex_unlock(&steps->lock);
	if (tells && loop_post(steps->loop, run_news, steps) != OK) {
		pthread_mutex_lock(&steps->lock);
		steps->news_posted = false; /* the next step tries again */
		pthread_mutex_unlock(&steps->lock);
	}
}

void steps_finish(struct steps *steps, struct generation *generation, enum finish_reason reason, enum error failure)
{
	kv_state_unref(&generation->state);
	pthread_mutex_lock(&steps->lock);
	places_give(&steps->places, generation);
	/* Who waits for a place may have it. */
	steps->prompts_woken = true;
	pthread_cond_signal(&steps->prompts_work);
	if (steps->places.returning) {
		steps->streams_woken = true;
		pthread_cond_signal(&steps->streams_work);
	}
	generation_flush_text(generation);
	generation->ready.finish = reason;
	generation->ready.failure = failure;
	generation->times.finished_ns = clock_now_ns();
	post_news(steps, generation);
	pthread_mutex_unlock(&steps->lock);
}

/* ---- rows and tokens ---- */

struct step_row steps_row(const struct generation *generation, uint32_t tokens_max)
{
	bool in_prompt = generation->cached < generation->prompt_count;
	uint32_t offset = in_prompt ? generation->cached : generation->cached - generation->prompt_count;
	uint32_t left = (in_prompt ? generation->prompt_count : generation->output_count) - offset;
	uint32_t count = left < tokens_max ? left : tokens_max;
	return (struct step_row){
		.generation = generation,
		.sequence = generation->sequence,
		.position = (int32_t)generation->cached,
		.tokens = (in_prompt ? generation->prompt : generation->output_tokens) + offset,
		.count = count,
		.samples = generation->cached + count == generation_total_tokens(generation),
	};
}

bool steps_rows_are_cancelled(const struct step_row *rows, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!atomic_load_explicit(&rows[i].generation->cancelled, memory_order_relaxed))
			return false;
	}
	return count > 0;
}

static void keep_logprobs(struct generation *generation, const struct token_logprob *tops, uint32_t top_count)
{
	struct generation_logprob entry = { .chosen = tops[0], .top_count = top_count - 1 };
	memcpy(entry.tops, tops + 1, sizeof(*tops) * entry.top_count);
	bytes_append(&generation->ready.logprobs, &entry, sizeof(entry));
}

enum finish_reason steps_take_token(struct steps *steps, enum engine_lane lane, struct generation *generation,
                                    int32_t output, int64_t now_ns, enum error *failure)
{
	struct sampled_token token = { 0 };
	struct token_logprob tops[API_TOP_LOGPROBS_MAX + 1];
	uint32_t top_count = generation->request.logprobs ? (uint32_t)generation->request.top_logprobs + 1 : 0;
	*failure = steps->engine->ops->sample(steps->engine, lane, generation, output, &token, tops, top_count);
	if (*failure)
		return FINISH_ERROR;
	generation->output_tokens[generation->output_count++] = token.token;
	generation->token_ns = now_ns;
	pthread_mutex_lock(&steps->lock);
	if (!generation->times.first_token_ns)
		generation->times.first_token_ns = now_ns;
	steps->load.output_tokens++;
	generation->ready.tokens++;
	bool stops = token.is_end;
	if (!token.is_end) {
		if (top_count)
			keep_logprobs(generation, tops, top_count);
		stops = generation_add_text(generation, token.text);
	}
	post_news(steps, generation);
	pthread_mutex_unlock(&steps->lock);
	if (stops)
		return FINISH_STOP;
	return generation->output_count == generation->output_max ? FINISH_LENGTH : FINISH_NONE;
}

/* ---- prefixes ---- */

/* Prompt and output in one array; the prompt's own when that is enough. *made: to be freed. NULL: no memory. */
static const int32_t *cached_tokens(const struct generation *generation, int32_t **made)
{
	*made = NULL;
	if (generation->cached <= generation->prompt_count)
		return generation->prompt;
	int32_t *tokens = malloc(sizeof(*tokens) * generation->cached);
	*made = tokens;
	if (!tokens)
		return NULL;
	memcpy(tokens, generation->prompt, sizeof(*tokens) * generation->prompt_count);
	memcpy(tokens + generation->prompt_count, generation->output_tokens,
	       sizeof(*tokens) * (generation->cached - generation->prompt_count));
	return tokens;
}

static struct kv_state *save(struct steps *steps, enum engine_lane lane, struct generation *generation,
                             bool only_prefix)
{
	struct kv_state *state = NULL;
	int32_t *made;
	const int32_t *tokens = cached_tokens(generation, &made);
	bool is_prefix = tokens && prefixes_wants(steps->prefixes, generation->salt, tokens, generation->cached);
	if (is_prefix || !only_prefix)
		state = steps->engine->ops->save(steps->engine, lane, generation->sequence, generation->cached);
	if (state && is_prefix)
		prefixes_add(steps->prefixes, generation->salt, tokens, state);
	free(made);
	return state;
}

struct kv_state *steps_save(struct steps *steps, enum engine_lane lane, struct generation *generation)
{
	return save(steps, lane, generation, false);
}

void steps_keep_prefix(struct steps *steps, enum engine_lane lane, struct generation *generation)
{
	struct kv_state *state = save(steps, lane, generation, true);
	kv_state_unref(&state);
}

/* ---- the loop's side ---- */

static bool go_on(void *owner, enum engine_lane lane)
{
	return lane == LANE_PROMPTS ? prompts_go_on(owner) : streams_go_on(owner);
}

static bool has_file(const struct steps *steps)
{
	return steps->settings.prefix_file && *steps->settings.prefix_file;
}

static void load_prefixes(struct steps *steps)
{
	const char *path = steps->settings.prefix_file;
	if (!has_file(steps))
		return;
	int64_t began_ns = clock_now_ns();
	enum error error = prefixes_load(steps->prefixes, path, steps->engine->facts.identity);
	if (error && error != ERROR_NOT_FOUND)
		log_line(LOG_WARNING, "the cached prefixes in %s can't be used: %s", path,
		         error == ERROR_UNSUPPORTED ? "they are of another model or engine" : error_text(error));
	log_line(LOG_INFO, "%llu KiB of cached prefixes taken from %s in %lld ms",
	         (unsigned long long)prefixes_bytes(steps->prefixes) / 1024, path,
	         (long long)((clock_now_ns() - began_ns) / NS_PER_MS));
}

static void save_prefixes(struct steps *steps)
{
	if (!has_file(steps) || !steps->prefixes)
		return;
	enum error error = prefixes_save(steps->prefixes, steps->settings.prefix_file, steps->engine->facts.identity);
	if (error)
		log_line(LOG_WARNING, "the cached prefixes can't be written to %s: %s", steps->settings.prefix_file,
		         error_text(error));
}

static void free_steps(struct steps *steps)
{
	steps->engine->goes_on = NULL;
	save_prefixes(steps);
	prefixes_free(&steps->prefixes);
	pthread_mutex_destroy(&steps->lock);
	pthread_cond_destroy(&steps->prompts_work);
	pthread_cond_destroy(&steps->streams_work);
	pthread_cond_destroy(&steps->streams_rest);
	free(steps);
}

static void init_locks(struct steps *steps)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&steps->lock, NULL);
	pthread_cond_init(&steps->prompts_work, NULL);
	pthread_cond_init(&steps->streams_work, NULL);
	pthread_cond_init(&steps->streams_rest, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

enum error steps_start(struct engine *engine, const struct steps_settings *settings, struct loop *loop,
                       void (*on_news)(void *owner), void *owner, struct steps **out)
{
	struct steps *steps = calloc(1, sizeof(*steps));
	if (!steps)
		return ERROR_MEMORY;
	*steps = (struct steps){ .engine = engine,
		                     .settings = *settings,
		                     .loop = loop,
		                     .on_news = on_news,
		                     .owner = owner,
		                     .share_permille = 1000 };
	init_locks(steps);
	places_init(&steps->places, &engine->facts);
	step_model_init(&steps->load.prompt_model, STEP_PROMPTS);
	step_model_init(&steps->load.stream_model, STEP_STREAMS);
	engine->owner = steps;
	engine->goes_on = go_on;
	enum error error = prefixes_new(settings->prefix_bytes, engine->facts.keeps_whole, &steps->prefixes);
	if (!error) {
		load_prefixes(steps);
		error = streams_start(steps);
	}
	if (!error)
		error = prompts_start(steps);
	if (error)
		steps_stop(&steps);
	*out = steps;
	return error;
}

void steps_stop(struct steps **steps_slot)
{
	struct steps *steps = *steps_slot;
	if (!steps)
		return;
	*steps_slot = NULL;
	pthread_mutex_lock(&steps->lock);
	steps->stopping = true;
	pthread_cond_signal(&steps->prompts_work);
	pthread_cond_signal(&steps->streams_work);
	pthread_cond_signal(&steps->streams_rest);
	pthread_mutex_unlock(&steps->lock);
	prompts_stop(steps);
	streams_stop(steps);
	free_steps(steps);
}

void steps_add(struct steps *steps, struct generation *generation)
{
	pthread_mutex_lock(&steps->lock);
	generation->next = steps->inbox;
	steps->inbox = generation;
	pthread_cond_signal(&steps->prompts_work);
	pthread_mutex_unlock(&steps->lock);
}

void steps_wake(struct steps *steps)
{
	pthread_mutex_lock(&steps->lock);
	steps->prompts_woken = true;
	steps->streams_woken = true;
	pthread_cond_signal(&steps->prompts_work);
	pthread_cond_signal(&steps->streams_work);
	pthread_mutex_unlock(&steps->lock);
}

struct generation *steps_collect(struct steps *steps, struct generation_output *out, struct generation_times *times)
{
	pthread_mutex_lock(&steps->lock);
	struct generation *generation = steps->news;
	if (generation) {
		steps->news = generation->next_news;
		generation->has_news = false;
		*out = generation->ready;
		*times = generation->times;
		generation->ready = (struct generation_output){ 0 };
	}
	pthread_mutex_unlock(&steps->lock);
	return generation;
}

void steps_load(struct steps *steps, struct steps_load *out)
{
	pthread_mutex_lock(&steps->lock);
	*out = steps->load;
	out->sequences_running = steps->prompts_running + steps->streams_running + steps->handed_count;
	pthread_mutex_unlock(&steps->lock);
	out->prefix_bytes = prefixes_bytes(steps->prefixes);
	out->share_permille = atomic_load(&steps->share_permille);
}
