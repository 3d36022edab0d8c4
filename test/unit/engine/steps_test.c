/* The step thread with the scripted engine: every answer whole and its own, whatever runs beside it. */
#include "engine/steps.h"

#include "engine/prefixes.h"
#include "engine/scripted.h"
#include "turns.h"

#include "base/random.h"

#define RUNS_MAX 256

/* A generation as the loop sees it; owner of its generation. */
struct run {
	struct generation *generation; /* NULL once it has ended */
	struct bytes text;
	uint32_t tokens;
	uint32_t cached_tokens;
	uint32_t preemptions;
	size_t logprobs;
	enum finish_reason finish;
	enum error failure;
	struct generation_times times;
	int order; /* in which it ended, from 1 */
};

struct bench {
	struct loop *loop;
	struct engine *engine;
	struct steps *steps;
	struct run runs[RUNS_MAX];
	int count;
	int ended;
};

static void take_news(void *owner)
{
	struct bench *bench = owner;
	struct generation_output output;
	struct generation_times times;
	struct generation *generation;
	while ((generation = steps_collect(bench->steps, &output, &times))) {
		struct run *run = generation->owner;
		ck_assert_ptr_eq(run->generation, generation);
		bytes_append_span(&run->text, bytes_span(&output.text));
		run->tokens += output.tokens;
		run->cached_tokens += output.cached_tokens;
		run->preemptions += output.preemptions;
		run->logprobs += output.logprobs.len / sizeof(struct generation_logprob);
		bytes_fini(&output.text);
		bytes_fini(&output.logprobs);
		if (!output.finish)
			continue;
		run->finish = output.finish;
		run->failure = output.failure;
		run->times = times;
		run->order = ++bench->ended;
		generation_free(bench->engine, &run->generation);
	}
}

static void bench_init_lanes(struct bench *bench, int64_t context, int64_t sequences, int64_t short_context,
                             uint64_t prefix_bytes)
{
	const struct steps_settings settings = { .gap_ns = 250 * NS_PER_MS, .prefix_bytes = prefix_bytes };
	*bench = (struct bench){ .loop = new_loop(), .engine = script_open_lanes(context, sequences, short_context) };
	ck_error_is(steps_start(bench->engine, &settings, bench->loop, take_news, bench, &bench->steps), OK);
}

static void bench_init(struct bench *bench, int64_t context, int64_t sequences)
{
	bench_init_lanes(bench, context, sequences, 0, 0);
}

static void bench_fini(struct bench *bench)
{
	steps_stop(&bench->steps);
	ck_assert_ptr_null(bench->steps);
	steps_stop(&bench->steps);
	for (int i = 0; i < bench->count; i++) {
		bytes_fini(&bench->runs[i].text);
		generation_free(bench->engine, &bench->runs[i].generation);
	}
	bench->engine->ops->close(&bench->engine);
	loop_free(&bench->loop);
}

/* Not handed over yet: deadline_ns and expected_tokens may still be set. */
static struct run *make(struct bench *bench, const char *fields)
{
	struct run *run = &bench->runs[bench->count++];
	ck_assert_int_le(bench->count, RUNS_MAX);
	*run = (struct run){ .generation = script_generation(bench->engine, API_COMPLETION, fields) };
	run->generation->owner = run;
	run->generation->times.arrived_ns = clock_now_ns();
	run->generation->arrival = (uint64_t)bench->count;
	return run;
}

static struct run *add(struct bench *bench, const char *fields)
{
	struct run *run = make(bench, fields);
	steps_add(bench->steps, run->generation);
	return run;
}

static void check_run(const struct run *run, enum finish_reason finish, size_t words, uint32_t tokens)
{
	struct bytes wanted = script_text(words);
	struct bytes text = run->text;
	ck_assert_msg(span_equal(bytes_span(&run->text), bytes_span(&wanted)), "\"%.*s\", wanted \"%s\"", (int)text.len,
	              text.data ? text.data : "", bytes_text(&wanted));
	ck_assert_int_eq(run->finish, finish);
	ck_assert_uint_eq(run->tokens, tokens);
	bytes_fini(&wanted);
}

static bool is_at_rest(const struct bench *bench)
{
	struct steps_load load;
	steps_load(bench->steps, &load);
	return load.sequences_running == 0 && load.sequences_waiting == 0 && load.cells_used == 0 &&
	       load.backlog_tokens == 0;
}

START_TEST(many_at_once)
{
	struct bench bench;
	struct steps_load load;
	struct random random;
	uint32_t words[200];
	uint64_t prompts = 0, outputs = 0;
	random_seed(&random, 5);
	bench_init(&bench, 4096, 16);
	for (int i = 0; i < 200; i++) {
		char fields[96];
		words[i] = (uint32_t)random_below(&random, 60);
		snprintf(fields, sizeof(fields), ",\"scripted\":{\"tokens\":%u}", words[i]);
		prompts += add(&bench, fields)->generation->prompt_count;
		outputs += words[i] + 1; /* the token that ends the answer counts, too */
		if (i % 20 == 0)
			run_turns(bench.loop, 1);
	}
	run_until(bench.loop, bench.ended == 200);
	for (int i = 0; i < 200; i++) {
		check_run(&bench.runs[i], FINISH_STOP, words[i], words[i] + 1);
		const struct generation_times *times = &bench.runs[i].times;
		ck_assert(0 < times->started_ns && times->started_ns <= times->first_token_ns &&
		          times->first_token_ns <= times->finished_ns);
	}
	run_until(bench.loop, is_at_rest(&bench));
	steps_load(bench.steps, &load);
	ck_assert_uint_eq(load.output_tokens, outputs);
	ck_assert_uint_eq(load.prefill_tokens, prompts);
	ck_assert_uint_eq(load.preemptions, 0);
	ck_assert_uint_gt(load.steps, 60);
	ck_assert_uint_gt(load.prompt_model.observed, 0);
	bench_fini(&bench);
}
END_TEST

START_TEST(limits_stops_and_logprobs)
{
	struct bench bench;
	bench_init(&bench, 512, 4);
	const struct run *limited = add(&bench, ",\"max_tokens\":3");
	const struct run *one = add(&bench, ",\"max_tokens\":1");
	const struct run *exact = add(&bench, ",\"max_tokens\":11");
	const struct run *stopped = add(&bench, ",\"stop\":[\"never\",\" fo\"]");
	const struct run *at_once = add(&bench, ",\"stop\":\"on\"");
	const struct run *held = add(&bench, ",\"max_tokens\":3,\"stop\":\"three fives\"");
	const struct run *probable = add(&bench, ",\"logprobs\":2,\"max_tokens\":4");
	const struct run *empty = add(&bench, ",\"scripted\":{\"tokens\":0}");
	run_until(bench.loop, bench.ended == 8);
	check_run(limited, FINISH_LENGTH, 3, 3);
	check_run(one, FINISH_LENGTH, 1, 1);
	check_run(exact, FINISH_STOP, 10, 11);
	ck_span_is(bytes_span(&stopped->text), "one two three");
	ck_assert(stopped->finish == FINISH_STOP && stopped->tokens == 4);
	ck_assert(at_once->text.len == 0 && at_once->finish == FINISH_STOP);
	check_run(held, FINISH_LENGTH, 3, 3);
	check_run(probable, FINISH_LENGTH, 4, 4);
	ck_assert_uint_eq(probable->logprobs, 4);
	check_run(empty, FINISH_STOP, 0, 1);
	bench_fini(&bench);
}
END_TEST

START_TEST(cancelled_within_a_step_running_or_waiting)
{
	struct bench bench;
	struct steps_load before, after;
	bench_init(&bench, 512, 1);
	/* A step takes 30 ms, so that one can be told from the next. */
	struct run *running = add(&bench, ",\"scripted\":{\"stall_after\":2,\"gap_ms\":30,\"tokens\":300}");
	run_until(bench.loop, running->tokens > 0);
	struct run *waiting = add(&bench, "");
	run_turns(bench.loop, 2);
	struct run *order[] = { waiting, running };
	for (int i = 0; i < 2; i++) {
		steps_load(bench.steps, &before);
		atomic_store(&order[i]->generation->cancelled, true);
		steps_wake(bench.steps);
		run_until(bench.loop, order[i]->finish);
		steps_load(bench.steps, &after);
		ck_assert_int_eq(order[i]->finish, FINISH_CANCELLED);
		ck_assert_uint_le(after.steps - before.steps, 2);
		ck_assert_int_eq(bench.ended, i + 1);
	}
	ck_assert_uint_eq(waiting->tokens, 0);
	/* And an idle thread hears of a new one. */
	const struct run *next = add(&bench, "");
	run_until(bench.loop, next->finish);
	check_run(next, FINISH_STOP, 10, 11);
	run_until(bench.loop, is_at_rest(&bench));
	bench_fini(&bench);
}
END_TEST

START_TEST(cancelled_before_it_was_seen)
{
	struct bench bench;
	bench_init(&bench, 512, 2);
	for (int i = 0; i < 50; i++) {
		struct run *run = make(&bench, "");
		atomic_store(&run->generation->cancelled, i % 2 == 0);
		steps_add(bench.steps, run->generation);
	}
	run_until(bench.loop, bench.ended == 50);
	for (int i = 0; i < 50; i++) {
		if (i % 2)
			check_run(&bench.runs[i], FINISH_STOP, 10, 11);
		else
			check_run(&bench.runs[i], FINISH_CANCELLED, 0, 0);
	}
	bench_fini(&bench);
}
END_TEST

/* All are expected to be short, and all are long: the cache runs full several times over. */
START_TEST(more_cells_than_there_are)
{
	static const int64_t contexts[] = { 128, 150, 200 };
	for (size_t c = 0; c < COUNT_OF(contexts); c++) {
		struct bench bench;
		struct steps_load load;
		bench_init(&bench, contexts[c], 8);
		for (int i = 0; i < 24; i++) {
			char fields[64];
			snprintf(fields, sizeof(fields), ",\"scripted\":{\"tokens\":%d}", 30 + i);
			struct run *run = make(&bench, fields);
			run->generation->expected_tokens = 1;
			steps_add(bench.steps, run->generation);
		}
		run_until(bench.loop, bench.ended == 24);
		for (uint32_t i = 0; i < 24; i++)
			check_run(&bench.runs[i], FINISH_STOP, 30 + i, 31 + i);
		run_until(bench.loop, is_at_rest(&bench));
		steps_load(bench.steps, &load);
		ck_assert_uint_gt(load.preemptions, 0);
		bench_fini(&bench);
	}
}
END_TEST

START_TEST(an_answer_as_long_as_the_cache)
{
	struct bench bench;
	bench_init(&bench, 128, 4);
	const struct run *large = add(&bench, ",\"scripted\":{\"tokens\":1000},\"max_tokens\":1000");
	const uint32_t room = 128 - large->generation->prompt_count;
	const struct run *small = add(&bench, "");
	run_until(bench.loop, bench.ended == 2);
	check_run(large, FINISH_LENGTH, room, room);
	check_run(small, FINISH_STOP, 10, 11);
	bench_fini(&bench);
}
END_TEST

/* They are expected to fit the short lane and do not: each goes on in the long one, which holds one or two of them at a time. */
START_TEST(streams_that_outgrow_the_short_lane)
{
	struct bench bench;
	bench_init_lanes(&bench, 200, 4, 40, 0);
	for (int i = 0; i < 12; i++) {
		struct run *run = make(&bench, ",\"scripted\":{\"tokens\":90}");
		run->generation->expected_tokens = 5;
		steps_add(bench.steps, run->generation);
	}
	run_until(bench.loop, bench.ended == 12);
	for (int i = 0; i < 12; i++)
		check_run(&bench.runs[i], FINISH_STOP, 90, 91);
	run_until(bench.loop, is_at_rest(&bench));
	bench_fini(&bench);
}
END_TEST

/* The lowest class gives way, the latest of it first, and says what it would have said. */
START_TEST(the_lowest_class_is_preempted)
{
	struct bench bench;
	bench_init(&bench, 150, 4);
	for (uint32_t i = 0; i < 3; i++) {
		struct run *run = make(&bench, ",\"scripted\":{\"tokens\":60,\"gap_ms\":1}");
		run->generation->expected_tokens = 1;
		run->generation->class = i == 0 ? 2 : 0;
		steps_add(bench.steps, run->generation);
	}
	run_until(bench.loop, bench.ended == 3);
	for (int i = 0; i < 3; i++)
		check_run(&bench.runs[i], FINISH_STOP, 60, 61);
	ck_assert_uint_gt(bench.runs[0].preemptions, 0);
	ck_assert_uint_le(bench.runs[1].preemptions, bench.runs[0].preemptions);
	bench_fini(&bench);
}
END_TEST

/* All prompts of the scripted engine are alike: one is computed, the others take it from it or from the cache, all but the last token. */
START_TEST(one_cold_prefix_is_computed_once)
{
	struct bench bench;
	struct steps_load load;
	struct bytes fields = { 0 };
	bench_init_lanes(&bench, 4096, 16, 512, 1 << 20);
	bytes_append_text(&fields, ",\"user\":\"");
	for (int i = 0; i < 400; i++)
		bytes_append_text(&fields, "long ");
	bytes_append_text(&fields, "\",\"max_tokens\":5,\"scripted\":{\"first_token_ms\":50}");
	for (int i = 0; i < 10; i++)
		add(&bench, bytes_text(&fields));
	uint32_t prompt = bench.runs[0].generation->prompt_count;
	struct run *stranger = make(&bench, bytes_text(&fields));
	stranger->generation->salt = 1;
	steps_add(bench.steps, stranger->generation);
	run_until(bench.loop, bench.ended == 11);
	uint32_t cached = 0;
	for (int i = 0; i < 10; i++) {
		check_run(&bench.runs[i], FINISH_LENGTH, 5, 5);
		ck_assert(bench.runs[i].cached_tokens == 0 || bench.runs[i].cached_tokens >= prompt - PREFIX_BLOCK);
		cached += bench.runs[i].cached_tokens;
	}
	ck_assert_uint_ge(cached, 9 * (prompt - PREFIX_BLOCK));
	ck_assert_uint_eq(stranger->cached_tokens, 0);
	steps_load(bench.steps, &load);
	ck_assert_uint_eq(load.cached_tokens, cached);
	ck_assert_uint_eq(load.prefill_tokens + cached, 11 * prompt);
	ck_assert_uint_gt(load.prefix_bytes, 0);
	bytes_fini(&fields);
	bench_fini(&bench);
}
END_TEST

START_TEST(what_is_late_is_dropped_before_its_prompt)
{
	struct bench bench;
	bench_init(&bench, 4096, 4);
	/* Enough steps for the model to be believed. */
	for (int i = 0; i < 30; i++) {
		add(&bench, ",\"max_tokens\":1,\"scripted\":{\"first_token_ms\":2}");
		run_until(bench.loop, bench.ended == i + 1);
	}
	struct run *late = make(&bench, "");
	late->generation->deadline_ns = clock_now_ns() - 1;
	steps_add(bench.steps, late->generation);
	run_until(bench.loop, late->finish);
	ck_assert_int_eq(late->finish, FINISH_ERROR);
	ck_error_is(late->failure, ERROR_TIMEOUT);
	ck_assert_int_eq(late->times.started_ns, 0);
	bench_fini(&bench);
}
END_TEST

START_TEST(a_failure_is_its_own)
{
	struct bench bench;
	bench_init(&bench, 4096, 8);
	for (int i = 0; i < 20; i++)
		add(&bench, i % 5 == 0 ? ",\"scripted\":{\"fail_after\":3}" : "");
	run_until(bench.loop, bench.ended == 20);
	for (int i = 0; i < 20; i++) {
		check_run(&bench.runs[i], i % 5 ? FINISH_STOP : FINISH_ERROR, i % 5 ? 10 : 3, i % 5 ? 11 : 3);
		ck_error_is(bench.runs[i].failure, i % 5 ? OK : ERROR_INTERNAL);
	}
	run_until(bench.loop, is_at_rest(&bench));
	bench_fini(&bench);
}
END_TEST

START_TEST(the_earliest_deadline_goes_first)
{
	static const int64_t deadlines_s[] = { 9, 3, -1, 9, 6 };
	static const int wanted[] = { 4, 2, 6, 5, 3 };
	struct bench bench;
	bench_init(&bench, 512, 1);
	const struct run *first = add(&bench, ",\"scripted\":{\"tokens\":8,\"gap_ms\":20}");
	run_until(bench.loop, first->tokens > 0);
	for (int i = 0; i < 5; i++) {
		struct run *run = make(&bench, "");
		if (deadlines_s[i] > 0)
			run->generation->deadline_ns = run->generation->times.arrived_ns + deadlines_s[i] * NS_PER_S;
		steps_add(bench.steps, run->generation);
	}
	run_until(bench.loop, bench.ended == 6);
	ck_assert_int_eq(first->order, 1);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(bench.runs[i + 1].order, wanted[i]);
	bench_fini(&bench);
}
END_TEST

/* Those that run, those that wait and those that were never seen go back to the caller. */
START_TEST(stopping_in_the_middle)
{
	for (int turns = 0; turns < 4; turns++) {
		struct bench bench;
		bench_init(&bench, 256, 2);
		for (int i = 0; i < 10; i++)
			add(&bench, ",\"scripted\":{\"tokens\":100,\"gap_ms\":5}");
		if (turns > 1)
			run_until(bench.loop, bench.runs[0].tokens > 2);
		run_turns(bench.loop, turns);
		bench_fini(&bench);
	}
}
END_TEST

UNIT_MAIN("engine/steps", many_at_once, limits_stops_and_logprobs, cancelled_within_a_step_running_or_waiting,
          cancelled_before_it_was_seen, more_cells_than_there_are, an_answer_as_long_as_the_cache,
          streams_that_outgrow_the_short_lane, the_lowest_class_is_preempted, one_cold_prefix_is_computed_once,
          what_is_late_is_dropped_before_its_prompt, a_failure_is_its_own, the_earliest_deadline_goes_first,
          stopping_in_the_middle)
