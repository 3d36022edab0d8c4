/* One lock guards the queue, the list of what has ended and the counts; it is never held while a batch is computed. */
#include "engine/embeddings.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"

/* Weight of the newest batch in what is usual. */
#define USUAL_WEIGHT 0.1

struct embeddings {
	struct embedding_computer computer;
	struct loop *loop;
	void (*on_news)(void *owner);
	void *owner;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_stopping;
	bool has_posted; /* the loop will look at `done` */
	struct heap queue;
	struct embedding_job *done;
	struct embedding_job **done_end;
	struct embeddings_load load;

	/* The thread's: the batch in work. */
	const struct embedding_input **inputs;
	struct embedding_job **jobs; /* whose they are */
	uint32_t count;
	uint32_t tokens;
};

static struct embedding_job *job_of(struct heap_node *node)
{
	return node ? container_of(node, struct embedding_job, node) : NULL;
}

static void tell_news(void *argument)
{
	struct embeddings *embeddings = argument;
	pthread_mutex_lock(&embeddings->lock);
	embeddings->has_posted = false;
	pthread_mutex_unlock(&embeddings->lock);
	embeddings->on_news(embeddings->owner);
}

/* ---- under the lock ---- */

static void end_job(struct embeddings *embeddings, struct embedding_job *job, enum error error)
{
	for (uint32_t i = job->taken; i < job->input_count; i++)
		embeddings->load.backlog_tokens -= job->inputs[i].count;
	heap_remove(&embeddings->queue, &job->node);
	job->error = error;
	job->finished_ns = clock_now_ns();
	job->next_done = NULL;
	*embeddings->done_end = job;
	embeddings->done_end = &job->next_done;
	if (!embeddings->has_posted)
		embeddings->has_posted = loop_post(embeddings->loop, tell_news, embeddings) == OK;
}

static bool has_room(const struct embeddings *embeddings, const struct embedding_input *input)
{
	const struct embedding_computer *computer = &embeddings->computer;
	return embeddings->count == 0 ||
	       (embeddings->count < computer->batch_inputs && embeddings->tokens + input->count <= computer->batch_tokens);
}

/* Returns false when the batch is full. */
static bool take_inputs(struct embeddings *embeddings, struct embedding_job *job, int64_t now_ns)
{
	if (job->taken == 0)
		job->started_ns = now_ns;
	while (job->taken < job->input_count) {
		struct embedding_input *input = &job->inputs[job->taken];
		if (!has_room(embeddings, input))
			return false;
		embeddings->inputs[embeddings->count] = input;
		embeddings->jobs[embeddings->count++] = job;
		embeddings->tokens += input->count;
		embeddings->load.backlog_tokens -= input->count;
		job->taken++;
	}
	return true;
}

/* The next batch: nobody overtakes who does not fit, so that a long input waits no longer than its turn. */
static void choose(struct embeddings *embeddings, int64_t now_ns)
{
	struct embedding_job *job;
	embeddings->count = embeddings->tokens = 0;
	while ((job = job_of(heap_peek(&embeddings->queue)))) {
		if (atomic_load(&job->cancelled)) {
			end_job(embeddings, job, ERROR_CANCELLED);
			continue;
		}
		if (job->taken == 0 && now_ns > job->deadline_ns) {
			end_job(embeddings, job, ERROR_TIMEOUT);
			continue;
		}
		if (!take_inputs(embeddings, job, now_ns))
			break;
		heap_pop(&embeddings->queue);
	}
}

static uint32_t jobs_in_batch(const struct embeddings *embeddings)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < embeddings->count; i++)
		count += i == 0 || embeddings->jobs[i] != embeddings->jobs[i - 1];
	return count;
}

static void learn(struct embeddings *embeddings, int64_t took_ns)
{
	struct embeddings_load *load = &embeddings->load;
	const struct step_size size = { .tokens = embeddings->tokens,
		                            .context_cells = step_prompt_cells(embeddings->tokens, 0) };
	step_model_observe(&load->model, &size, took_ns);
	double context = embeddings->tokens / 2.0;
	load->usual_context += load->batches ? USUAL_WEIGHT * (context - load->usual_context) : context;
	load->batches++;
	load->tokens += embeddings->tokens;
}

static void settle(struct embeddings *embeddings, enum error error)
{
	for (uint32_t i = 0; i < embeddings->count; i++)
		embeddings->jobs[i]->computed++;
	for (uint32_t i = 0; i < embeddings->count; i++) {
		struct embedding_job *job = embeddings->jobs[i];
		bool is_last_of_job = i + 1 == embeddings->count || embeddings->jobs[i + 1] != job;
		if (is_last_of_job && (error || job->computed == job->input_count))
			end_job(embeddings, job, error);
	}
}

/* ---- the thread ---- */

static void *run(void *argument)
{
	struct embeddings *embeddings = argument;
	const struct embedding_computer *computer = &embeddings->computer;
	pthread_mutex_lock(&embeddings->lock);
	while (!embeddings->is_stopping) {
		choose(embeddings, clock_now_ns());
		embeddings->load.running = jobs_in_batch(embeddings);
		if (embeddings->count == 0) {
			pthread_cond_wait(&embeddings->changed, &embeddings->lock);
			continue;
		}
		pthread_mutex_unlock(&embeddings->lock);
		int64_t began_ns = clock_now_ns();
		enum error error = computer->compute(computer->owner, embeddings->inputs, embeddings->count);
		int64_t took_ns = clock_now_ns() - began_ns;
		if (error)
			log_line(LOG_ERROR, "a batch of %u embeddings failed: %s", embeddings->count, error_text(error));
		pthread_mutex_lock(&embeddings->lock);
		if (!error)
			learn(embeddings, took_ns);
		settle(embeddings, error);
	}
	pthread_mutex_unlock(&embeddings->lock);
	return NULL;
}

/* ---- what the loop calls ---- */

static void free_memory(struct embeddings *embeddings)
{
	heap_fini(&embeddings->queue);
	pthread_mutex_destroy(&embeddings->lock);
	pthread_cond_destroy(&embeddings->changed);
	free(embeddings->inputs);
	free(embeddings->jobs);
	free(embeddings);
}

enum error embeddings_start(const struct embedding_computer *computer, struct loop *loop, void (*on_news)(void *owner),
                            void *owner, struct embeddings **out)
{
	struct embeddings *embeddings = calloc(1, sizeof(*embeddings));
	*out = NULL;
	if (!embeddings)
		return ERROR_MEMORY;
	embeddings->computer = *computer;
	embeddings->loop = loop;
	embeddings->on_news = on_news;
	embeddings->owner = owner;
	embeddings->done_end = &embeddings->done;
	embeddings->inputs = calloc(computer->batch_inputs, sizeof(struct embedding_input *));
	embeddings->jobs = calloc(computer->batch_inputs, sizeof(struct embedding_job *));
	pthread_mutex_init(&embeddings->lock, NULL);
	pthread_cond_init(&embeddings->changed, NULL);
	heap_init(&embeddings->queue);
	step_model_init(&embeddings->load.model, STEP_PROMPTS);
	enum error error = embeddings->inputs && embeddings->jobs ? OK : ERROR_MEMORY;
	if (!error)
		error = error_from_errno(pthread_create(&embeddings->thread, NULL, run, embeddings));
	if (error) {
		free_memory(embeddings);
		return error;
	}
	*out = embeddings;
	return OK;
}

void embeddings_stop(struct embeddings **embeddings_slot)
{
	struct embeddings *embeddings = *embeddings_slot;
	*embeddings_slot = NULL;
	if (!embeddings)
		return;
	pthread_mutex_lock(&embeddings->lock);
	embeddings->is_stopping = true;
	pthread_cond_signal(&embeddings->changed);
	pthread_mutex_unlock(&embeddings->lock);
	pthread_join(embeddings->thread, NULL);
	free_memory(embeddings);
}

enum error embeddings_add(struct embeddings *embeddings, struct embedding_job *job)
{
	pthread_mutex_lock(&embeddings->lock);
	job->node = (struct heap_node){ .key = job->deadline_ns };
	enum error error = heap_push(&embeddings->queue, &job->node);
	for (uint32_t i = 0; !error && i < job->input_count; i++)
		embeddings->load.backlog_tokens += job->inputs[i].count;
	pthread_cond_signal(&embeddings->changed);
	pthread_mutex_unlock(&embeddings->lock);
	return error;
}

struct embedding_job *embeddings_collect(struct embeddings *embeddings)
{
	pthread_mutex_lock(&embeddings->lock);
	struct embedding_job *job = embeddings->done;
	if (job) {
		embeddings->done = job->next_done;
		if (!embeddings->done)
			embeddings->done_end = &embeddings->done;
	}
	pthread_mutex_unlock(&embeddings->lock);
	return job;
}

void embeddings_load(struct embeddings *embeddings, struct embeddings_load *out)
{
	pthread_mutex_lock(&embeddings->lock);
	*out = embeddings->load;
	out->waiting = (uint32_t)embeddings->queue.count;
	/* The one whose rest did not fit is in both. */
	struct embedding_job *first = job_of(heap_peek(&embeddings->queue));
	if (first && first->taken && out->waiting)
		out->waiting--;
	pthread_mutex_unlock(&embeddings->lock);
}
