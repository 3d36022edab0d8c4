/* The way of a generation: inbox (locked) -> waiting -> running (places.h) -> news (locked, finished or not). */
#include "engine/steps.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "engine/places.h"
#include "policy/batch.h"

struct steps {
	struct engine *engine;
	struct loop *loop;
	void (*on_news)(void *owner);
	void *owner;
	pthread_t thread;
	struct batch_limits limits;
	/* The thread's. */
	struct places places;
	struct batch_sequence *plan; /* shape (sequences,), parallel to `rows` and `planned` */
	struct generation **planned;
	struct step_row *rows;
	struct step_model model;
	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct generation *inbox; /* newest first */
	struct generation *news;  /* oldest first */
	struct generation *last_news;
	struct steps_load load;
	bool stopping;
	bool woken;
	bool news_posted;
};

/* ---- what crosses threads; the lock is held ---- */

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

static void finish_locked(struct steps *steps, struct generation *generation, enum finish_reason reason,
                          enum error failure)
{
	generation_flush_text(generation);
	generation->ready.finish = reason;
	generation->ready.failure = failure;
	generation->times.finished_ns = clock_now_ns();
	post_news(steps, generation);
}

static void tell_loop(struct steps *steps)
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

/* ---- the lists ---- */

static void take_inbox(struct steps *steps)
{
	pthread_mutex_lock(&steps->lock);
	struct generation *generation = steps->inbox;
	steps->inbox = NULL;
	steps->woken = false;
	pthread_mutex_unlock(&steps->lock);
	while (generation) {
		struct generation *next = generation->next;
		places_wait(&steps->places, generation);
		generation = next;
	}
}

static void finish(struct steps *steps, struct generation *generation, enum finish_reason reason, enum error failure)
{
	if (generation->sequence >= 0)
		places_leave(&steps->places, generation);
	pthread_mutex_lock(&steps->lock);
	finish_locked(steps, generation, reason, failure);
	pthread_mutex_unlock(&steps->lock);
}

static void drop_cancelled(struct steps *steps)
{
	struct generation **slot = &steps->places.waiting;
	while (*slot) {
		struct generation *generation = *slot;
		if (atomic_load(&generation->cancelled)) {
			*slot = generation->next;
			finish(steps, generation, FINISH_CANCELLED, OK);
		} else {
			slot = &generation->next;
		}
	}
	for (uint32_t i = 0; i < steps->places.sequences; i++) {
		struct generation *generation = steps->places.running[i];
		if (generation && atomic_load(&generation->cancelled))
			finish(steps, generation, FINISH_CANCELLED, OK);
	}
}

static bool preempt(struct steps *steps)
{
	if (!places_preempt(&steps->places))
		return false;
	pthread_mutex_lock(&steps->lock);
	steps->load.preemptions++;
	pthread_mutex_unlock(&steps->lock);
	return true;
}

/* ---- a step ---- */

static uint32_t list_running(struct steps *steps)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < steps->places.sequences; i++) {
		struct generation *generation = steps->places.running[i];
		if (!generation)
			continue;
		steps->planned[count] = generation;
		steps->plan[count] = (struct batch_sequence){
			.prefill_left = generation_prefill_left(generation),
			.context_tokens = generation->cached,
			.deadline_ns = generation->deadline_ns,
			.arrival = generation->arrival,
		};
		count++;
	}
	return count;
}

/* Turns the plan into rows; a row never crosses from the prompt into output that is computed again. */
static uint32_t make_rows(struct steps *steps, uint32_t count)
{
	uint32_t row_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct generation *generation = steps->planned[i];
		uint32_t tokens = steps->plan[i].tokens;
		if (tokens == 0)
			continue;
		bool in_prompt = generation->cached < generation->prompt_count;
		uint32_t offset = in_prompt ? generation->cached : generation->cached - generation->prompt_count;
		uint32_t end = in_prompt ? generation->prompt_count : generation->output_count;
		if (tokens > end - offset)
			tokens = end - offset;
		steps->rows[row_count] = (struct step_row){
			.generation = generation,
			.sequence = generation->sequence,
			.position = (int32_t)generation->cached,
			.tokens = (in_prompt ? generation->prompt : generation->output_tokens) + offset,
			.count = tokens,
			.samples = generation->cached + tokens == generation_total_tokens(generation),
		};
		steps->planned[row_count++] = generation;
	}
	return row_count;
}

static void note_start(struct steps *steps, uint32_t row_count, int64_t now_ns)
{
	pthread_mutex_lock(&steps->lock);
	for (uint32_t i = 0; i < row_count; i++) {
		if (!steps->planned[i]->times.started_ns)
			steps->planned[i]->times.started_ns = now_ns;
	}
	pthread_mutex_unlock(&steps->lock);
}

static void keep_logprobs(struct generation *generation, const struct token_logprob *tops, uint32_t top_count)
{
	struct generation_logprob entry = { .chosen = tops[0], .top_count = top_count - 1 };
	memcpy(entry.tops, tops + 1, sizeof(*tops) * entry.top_count);
	bytes_append(&generation->ready.logprobs, &entry, sizeof(entry));
}

static void take_token(struct steps *steps, struct generation *generation, int32_t output, int64_t now_ns)
{
	struct sampled_token token = { 0 };
	struct token_logprob tops[API_TOP_LOGPROBS_MAX + 1];
	uint32_t top_count = generation->request.logprobs ? (uint32_t)generation->request.top_logprobs + 1 : 0;
	enum error error = steps->engine->ops->sample(steps->engine, generation, output, &token, tops, top_count);
	if (error) {
		finish(steps, generation, FINISH_ERROR, error);
		return;
	}
	generation->output_tokens[generation->output_count++] = token.token;
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
		finish(steps, generation, FINISH_STOP, OK);
	else if (generation->output_count == generation->output_max)
		finish(steps, generation, FINISH_LENGTH, OK);
}

static void take_step(struct steps *steps, uint32_t row_count, const struct step_size *size, int64_t began_ns)
{
	int64_t now_ns = clock_now_ns();
	step_model_observe(&steps->model, size, now_ns - began_ns);
	for (uint32_t i = 0; i < row_count; i++) {
		struct generation *generation = steps->planned[i];
		generation->cached += steps->rows[i].count;
		if (steps->rows[i].samples)
			take_token(steps, generation, steps->rows[i].output, now_ns);
	}
}

static void fail_step(struct steps *steps, uint32_t row_count)
{
	log_line(LOG_ERROR, "a step of %u sequences failed; their requests end", row_count);
	for (uint32_t i = 0; i < row_count; i++)
		finish(steps, steps->planned[i], FINISH_ERROR, ERROR_INTERNAL);
}

static void run_step(struct steps *steps)
{
	uint32_t count = list_running(steps);
	if (count == 0)
		return;
	struct step_size size = batch_plan(steps->plan, count, &steps->limits, &steps->model);
	uint32_t row_count = make_rows(steps, count);
	uint32_t wanted = size.prefill_tokens + size.decode_sequences;
	uint32_t free_cells = steps->engine->facts.context_tokens - places_cells_used(&steps->places);
	if (wanted > free_cells && preempt(steps))
		return; /* planned anew with its cells */
	int64_t began_ns = clock_now_ns();
	note_start(steps, row_count, began_ns);
	enum error error = steps->engine->ops->decode(steps->engine, steps->rows, row_count);
	if (error == ERROR_CANCELLED || (error == ERROR_BUSY && preempt(steps)))
		return;
	if (error)
		fail_step(steps, row_count);
	else
		take_step(steps, row_count, &size, began_ns);
	pthread_mutex_lock(&steps->lock);
	steps->load.steps++;
	steps->load.prefill_tokens += size.prefill_tokens;
	pthread_mutex_unlock(&steps->lock);
}

static void publish_load(struct steps *steps)
{
	uint32_t running = 0;
	uint32_t waiting = 0;
	uint32_t backlog = 0;
	for (struct generation *generation = steps->places.waiting; generation; generation = generation->next) {
		waiting++;
		backlog += generation_prefill_left(generation);
	}
	for (uint32_t i = 0; i < steps->places.sequences; i++) {
		if (!steps->places.running[i])
			continue;
		running++;
		backlog += generation_prefill_left(steps->places.running[i]);
	}
	pthread_mutex_lock(&steps->lock);
	steps->load.sequences_running = running;
	steps->load.sequences_waiting = waiting;
	steps->load.backlog_tokens = backlog;
	steps->load.cells_used = places_cells_used(&steps->places);
	steps->load.model = steps->model;
	pthread_mutex_unlock(&steps->lock);
}

static bool wait_for_work(struct steps *steps)
{
	bool is_idle = places_are_idle(&steps->places);
	pthread_mutex_lock(&steps->lock);
	while (is_idle && !steps->inbox && !steps->woken && !steps->stopping)
		pthread_cond_wait(&steps->work, &steps->lock);
	bool goes_on = !steps->stopping;
	pthread_mutex_unlock(&steps->lock);
	return goes_on;
}

static void *run(void *argument)
{
	struct steps *steps = argument;
	while (wait_for_work(steps)) {
		take_inbox(steps);
		drop_cancelled(steps);
		places_start(&steps->places);
		publish_load(steps); /* a step can be long: what it works on is known before it ends */
		run_step(steps);
		publish_load(steps);
		tell_loop(steps);
	}
	return NULL;
}

/* ---- the loop's side ---- */

static void free_steps(struct steps *steps)
{
	places_fini(&steps->places);
	free(steps->plan);
	free(steps->planned);
	free(steps->rows);
	pthread_mutex_destroy(&steps->lock);
	pthread_cond_destroy(&steps->work);
	free(steps);
}

enum error steps_start(struct engine *engine, int64_t budget_ns, struct loop *loop, void (*on_news)(void *owner),
                       void *owner, struct steps **out)
{
	struct steps *steps = calloc(1, sizeof(*steps));
	if (!steps)
		return ERROR_MEMORY;
	uint32_t sequences = engine->facts.sequences;
	*steps = (struct steps){ .engine = engine, .loop = loop, .on_news = on_news, .owner = owner };
	steps->limits = (struct batch_limits){ engine->facts.step_tokens_max, engine->facts.chunk_tokens, budget_ns };
	pthread_mutex_init(&steps->lock, NULL);
	pthread_cond_init(&steps->work, NULL);
	step_model_init(&steps->model);
	steps->load.model = steps->model;
	enum error error = places_init(&steps->places, engine);
	steps->plan = calloc(sequences, sizeof(*steps->plan));
	steps->planned = calloc(sequences, sizeof(*steps->planned));
	steps->rows = calloc(sequences, sizeof(*steps->rows));
	if (!error && !(steps->plan && steps->planned && steps->rows))
		error = ERROR_MEMORY;
	if (!error)
		error = error_from_errno(pthread_create(&steps->thread, NULL, run, steps));
	if (error) {
		free_steps(steps);
		return error;
	}
	*out = steps;
	return OK;
}

void steps_stop(struct steps **steps_slot)
{
	struct steps *steps = *steps_slot;
	if (!steps)
		return;
	*steps_slot = NULL;
	pthread_mutex_lock(&steps->lock);
	steps->stopping = true;
	pthread_cond_signal(&steps->work);
	pthread_mutex_unlock(&steps->lock);
	pthread_join(steps->thread, NULL);
	free_steps(steps);
}

void steps_add(struct steps *steps, struct generation *generation)
{
	pthread_mutex_lock(&steps->lock);
	generation->next = steps->inbox;
	steps->inbox = generation;
	pthread_cond_signal(&steps->work);
	pthread_mutex_unlock(&steps->lock);
}

void steps_wake(struct steps *steps)
{
	pthread_mutex_lock(&steps->lock);
	steps->woken = true;
	pthread_cond_signal(&steps->work);
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
	pthread_mutex_unlock(&steps->lock);
}
