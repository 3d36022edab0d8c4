/* The embeddings' thread with a computer of the test's own: order, batches, and how requests end. */
#include "engine/embeddings.h"

#include "turns.h"

#include <pthread.h>
#include <stdlib.h>

#define TOKENS_MAX 16
#define INPUTS_MAX 4
#define JOBS_MAX 64
#define BATCHES_MAX 256

struct bench {
	struct loop *loop;
	struct embeddings *embeddings;
	struct embedding_job jobs[JOBS_MAX];
	uint32_t count;
	uint32_t ended;
	uint32_t order[JOBS_MAX]; /* of ending: indices of jobs */

	pthread_mutex_t gate; /* held by the test: computing waits */
	enum error fails_with;
	/* The thread's; read once it has stopped or all is over. */
	uint32_t batches;
	uint32_t sizes[BATCHES_MAX]; /* inputs of each batch */
	uint32_t most_tokens;
};

static enum error compute(void *owner, const struct embedding_input *const *inputs, uint32_t count)
{
	struct bench *bench = owner;
	uint32_t tokens = 0;
	pthread_mutex_lock(&bench->gate);
	for (uint32_t i = 0; i < count; i++) {
		tokens += inputs[i]->count;
		inputs[i]->vector[0] += (float)inputs[i]->tokens[0];
	}
	if (bench->batches < BATCHES_MAX)
		bench->sizes[bench->batches++] = count;
	bench->most_tokens = tokens > bench->most_tokens ? tokens : bench->most_tokens;
	enum error error = bench->fails_with;
	pthread_mutex_unlock(&bench->gate);
	return error;
}

static void take_news(void *owner)
{
	struct bench *bench = owner;
	struct embedding_job *job;
	while ((job = embeddings_collect(bench->embeddings)))
		bench->order[bench->ended++] = (uint32_t)(job - bench->jobs);
}

/* The gate is closed: nothing is computed before open_gate. */
static void bench_init(struct bench *bench)
{
	*bench = (struct bench){ .loop = new_loop() };
	const struct embedding_computer computer = {
		.compute = compute, .owner = bench, .batch_tokens = TOKENS_MAX, .batch_inputs = INPUTS_MAX
	};
	pthread_mutex_init(&bench->gate, NULL);
	pthread_mutex_lock(&bench->gate);
	ck_error_is(embeddings_start(&computer, bench->loop, take_news, bench, &bench->embeddings), OK);
}

static void open_gate(struct bench *bench)
{
	pthread_mutex_unlock(&bench->gate);
}

static void bench_fini(struct bench *bench)
{
	embeddings_stop(&bench->embeddings);
	ck_assert_ptr_null(bench->embeddings);
	embeddings_stop(&bench->embeddings);
	for (uint32_t i = 0; i < bench->count; i++) {
		for (uint32_t j = 0; j < bench->jobs[i].input_count; j++) {
			free(bench->jobs[i].inputs[j].tokens);
			free(bench->jobs[i].inputs[j].vector);
		}
		free(bench->jobs[i].inputs);
	}
	pthread_mutex_destroy(&bench->gate);
	loop_free(&bench->loop);
}

/* A request of `count` inputs, each of `tokens` tokens; the first token is unique. */
static struct embedding_job *add(struct bench *bench, uint32_t count, uint32_t tokens, int64_t deadline_ns)
{
	struct embedding_job *job = &bench->jobs[bench->count++];
	job->inputs = calloc(count, sizeof(*job->inputs));
	ck_assert_ptr_nonnull(job->inputs);
	job->input_count = count;
	job->deadline_ns = deadline_ns;
	for (uint32_t i = 0; i < count; i++) {
		job->inputs[i] = (struct embedding_input){ .tokens = calloc(tokens, sizeof(int32_t)),
			                                       .count = tokens,
			                                       .vector = calloc(1, sizeof(float)) };
		ck_assert(job->inputs[i].tokens && job->inputs[i].vector);
		job->inputs[i].tokens[0] = (int32_t)(bench->count * 1000 + i);
	}
	ck_error_is(embeddings_add(bench->embeddings, job), OK);
	return job;
}

static void must_be_computed(const struct bench *bench)
{
	for (uint32_t i = 0; i < bench->count; i++) {
		const struct embedding_job *job = &bench->jobs[i];
		ck_error_is(job->error, OK);
		ck_assert(job->started_ns > 0 && job->finished_ns >= job->started_ns);
		for (uint32_t j = 0; j < job->input_count; j++)
			ck_assert_float_eq(job->inputs[j].vector[0], (float)job->inputs[j].tokens[0]);
	}
}

/* The first is in work, so that those behind it are chosen together. */
static void occupy(struct bench *bench)
{
	struct embeddings_load load = { 0 };
	add(bench, 1, TOKENS_MAX, NS_NEVER);
	do
		embeddings_load(bench->embeddings, &load);
	while (load.running != 1);
}

START_TEST(deadlines_come_first_then_arrival)
{
	struct bench bench;
	const int64_t now_ns = clock_now_ns();
	bench_init(&bench);
	occupy(&bench);
	add(&bench, 1, 9, NS_NEVER);
	add(&bench, 1, 9, now_ns + 200 * NS_PER_S);
	add(&bench, 1, 9, now_ns + 100 * NS_PER_S);
	add(&bench, 1, 9, NS_NEVER);
	open_gate(&bench);
	run_until(bench.loop, bench.ended == 5);
	static const uint32_t wanted[] = { 0, 3, 2, 1, 4 };
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(bench.order[i], wanted[i]);
	must_be_computed(&bench);
	bench_fini(&bench);
}
END_TEST

START_TEST(inputs_share_batches_up_to_both_widths)
{
	struct bench bench;
	bench_init(&bench);
	occupy(&bench);
	add(&bench, 2, 2, NS_NEVER); /* with one of the next: 4 inputs */
	add(&bench, 5, 2, NS_NEVER);
	add(&bench, 3, 7, NS_NEVER); /* 2 of 7 tokens fit */
	struct embeddings_load load;
	embeddings_load(bench.embeddings, &load);
	ck_assert_uint_eq(load.waiting, 3);
	ck_assert_uint_eq(load.backlog_tokens, 4 + 10 + 21);
	open_gate(&bench);
	run_until(bench.loop, bench.ended == 4);
	must_be_computed(&bench);
	static const uint32_t wanted[] = { 1, 4, 4, 2 };
	ck_assert_uint_eq(bench.batches, 4);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_eq(bench.sizes[i], wanted[i]);
	embeddings_load(bench.embeddings, &load);
	ck_assert(load.running == 0 && load.waiting == 0 && load.backlog_tokens == 0);
	ck_assert(load.batches == 4 && load.tokens == TOKENS_MAX + 35 && load.model.observed == 4);
	bench_fini(&bench);
}
END_TEST

START_TEST(an_input_longer_than_a_batch_goes_alone)
{
	struct bench bench;
	bench_init(&bench);
	occupy(&bench);
	add(&bench, 1, 2, NS_NEVER);
	add(&bench, 2, TOKENS_MAX + 5, NS_NEVER);
	add(&bench, 1, 2, NS_NEVER);
	open_gate(&bench);
	run_until(bench.loop, bench.ended == 4);
	must_be_computed(&bench);
	ck_assert_uint_eq(bench.batches, 5);
	ck_assert_uint_eq(bench.most_tokens, TOKENS_MAX + 5);
	bench_fini(&bench);
}
END_TEST

START_TEST(those_who_left_or_are_late_are_not_computed)
{
	struct bench bench;
	bench_init(&bench);
	occupy(&bench);
	struct embedding_job *gone = add(&bench, 3, 2, NS_NEVER);
	struct embedding_job *late = add(&bench, 1, 2, clock_now_ns() - 1);
	struct embedding_job *kept = add(&bench, 1, 2, NS_NEVER);
	atomic_store(&gone->cancelled, true);
	open_gate(&bench);
	run_until(bench.loop, bench.ended == 4);
	ck_error_is(gone->error, ERROR_CANCELLED);
	ck_error_is(late->error, ERROR_TIMEOUT);
	ck_error_is(kept->error, OK);
	ck_assert_float_eq(gone->inputs[0].vector[0], 0);
	ck_assert_uint_eq(bench.batches, 2);
	struct embeddings_load load;
	embeddings_load(bench.embeddings, &load);
	ck_assert_uint_eq(load.backlog_tokens, 0);
	bench_fini(&bench);
}
END_TEST

START_TEST(a_failed_batch_ends_its_requests_and_no_others)
{
	struct bench bench;
	struct embeddings_load load;
	bench_init(&bench);
	bench.fails_with = ERROR_INTERNAL;
	struct embedding_job *failed = add(&bench, 9, 2, NS_NEVER);
	open_gate(&bench);
	run_until(bench.loop, bench.ended == 1);
	ck_error_is(failed->error, ERROR_INTERNAL);
	embeddings_load(bench.embeddings, &load);
	ck_assert(load.batches == 0 && load.backlog_tokens == 0 && load.waiting == 0);
	pthread_mutex_lock(&bench.gate);
	bench.fails_with = OK;
	pthread_mutex_unlock(&bench.gate);
	struct embedding_job *next = add(&bench, 9, 2, NS_NEVER);
	run_until(bench.loop, bench.ended == 2);
	ck_error_is(next->error, OK);
	bench_fini(&bench);
}
END_TEST

START_TEST(stopping_leaves_the_rest_to_its_owner)
{
	struct bench bench;
	bench_init(&bench);
	for (int i = 0; i < 20; i++)
		add(&bench, 7, 3, NS_NEVER);
	open_gate(&bench);
	bench_fini(&bench);
}
END_TEST

UNIT_MAIN("engine/embeddings", deadlines_come_first_then_arrival, inputs_share_batches_up_to_both_widths,
          an_input_longer_than_a_batch_goes_alone, those_who_left_or_are_late_are_not_computed,
          a_failed_batch_ends_its_requests_and_no_others, stopping_leaves_the_rest_to_its_owner)
