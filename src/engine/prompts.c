/* The thread that computes prompts: a step takes chunks of one or more prompts in the order of policy/batch. A finished prompt has its first token;
 * its cells go to the streams as a state, and stay behind as a cached prefix.
 *
 * A prompt begins with what is known of it: the cells of a prompt that is in work here, or a cached prefix. One that shares more with a prompt in
 * work than that has computed yet waits for it, so that ten requests with one cold prefix compute it once. */
#include "engine/steps_state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "engine/kv_state.h"
#include "policy/batch.h"

/* Prompts that a plan looks at: those that came first. */
#define PLAN_MAX 256
/* Of a period the streams leave the prompts their share. */
#define SHARE_PERIOD_NS (20 * NS_PER_MS)
#define USUAL_WEIGHT 0.05

struct prompts {
	struct steps *steps;
	pthread_t thread;
	bool is_running;
	struct generation *waiting; /* by arrival; borrowed, so the next */
	struct generation *active[ENGINE_PROMPTS_MAX];
	struct batch_prompt plan[PLAN_MAX];
	struct generation *planned[PLAN_MAX]; /* parallel to plan */
	struct step_row rows[ENGINE_PROMPTS_MAX];
	uint32_t row_count; /* during a step */
	struct step_model model;
	double usual_context;
	int64_t period_ns; /* began then */
};

/* ---- during a step ---- */

static void leave_to_streams(struct steps *steps, int64_t until_ns)
{
	struct timespec until = { until_ns / NS_PER_S, until_ns % NS_PER_S };
	int result = 0;
	pthread_mutex_lock(&steps->lock);
	while (!steps->stopping && atomic_load(&steps->streams_clock.since_ns) && result == 0)
		result = pthread_cond_timedwait(&steps->streams_rest, &steps->lock, &until);
	pthread_mutex_unlock(&steps->lock);
}

bool prompts_go_on(struct steps *steps)
{
	struct prompts *prompts = steps->prompts;
	if (steps_rows_are_cancelled(prompts->rows, prompts->row_count))
		return false;
	int64_t permille = atomic_load_explicit(&steps->share_permille, memory_order_relaxed);
	if (permille >= 1000 || atomic_load_explicit(&steps->streams_clock.since_ns, memory_order_relaxed) == 0)
		return true;
	int64_t now_ns = clock_now_ns();
	if (now_ns - prompts->period_ns >= SHARE_PERIOD_NS)
		prompts->period_ns = now_ns;
	if (now_ns - prompts->period_ns >= SHARE_PERIOD_NS * permille / 1000)
		leave_to_streams(steps, prompts->period_ns + SHARE_PERIOD_NS);
	return true;
}

/* ---- the lists ---- */

static void put_waiting(struct prompts *prompts, struct generation *generation)
{
	struct generation **slot = &prompts->waiting;
	while (*slot && (*slot)->arrival < generation->arrival)
		slot = &(*slot)->next;
	generation->next = *slot;
	*slot = generation;
}

static void take_inbox(struct prompts *prompts)
{
	struct steps *steps = prompts->steps;
	pthread_mutex_lock(&steps->lock);
	struct generation *generation = steps->inbox;
	steps->inbox = NULL;
	steps->prompts_woken = false;
	pthread_mutex_unlock(&steps->lock);
	while (generation) {
		struct generation *next = generation->next;
		put_waiting(prompts, generation);
		generation = next;
	}
}

static void leave(struct prompts *prompts, struct generation *generation)
{
	enum error dropped =
		prompts->steps->engine->ops->forget(prompts->steps->engine, LANE_PROMPTS, generation->sequence, 0);
	(void)dropped; /* all of it goes, always */
	prompts->active[generation->sequence] = NULL;
	generation->sequence = -1;
}

static void end(struct prompts *prompts, struct generation *generation, enum finish_reason reason, enum error failure)
{
	leave(prompts, generation);
	steps_finish(prompts->steps, generation, reason, failure);
}

static struct batch_prompt describe(const struct generation *generation)
{
	return (struct batch_prompt){
		.left = generation_prefill_left(generation),
		.context_tokens = generation->cached,
		.arrived_ns = generation->times.arrived_ns,
		.deadline_ns = generation->deadline_ns,
		.arrival = generation->arrival,
	};
}

/* Why it need not be computed; FINISH_NONE: it must. What has begun is finished: its first token may be a moment late, but is near. */
static enum finish_reason is_pointless(const struct prompts *prompts, const struct generation *generation,
                                       int64_t now_ns)
{
	if (atomic_load(&generation->cancelled))
		return FINISH_CANCELLED;
	const struct batch_prompt prompt = describe(generation);
	bool is_late = generation->output_count == 0 && !batch_is_in_time(&prompt, now_ns, &prompts->model);
	return is_late ? FINISH_ERROR : FINISH_NONE;
}

static void drop_pointless(struct prompts *prompts)
{
	struct generation **slot = &prompts->waiting;
	int64_t now_ns = clock_now_ns();
	while (*slot) {
		struct generation *generation = *slot;
		enum finish_reason reason = is_pointless(prompts, generation, now_ns);
		if (reason) {
			*slot = generation->next;
			steps_finish(prompts->steps, generation, reason, reason == FINISH_ERROR ? ERROR_TIMEOUT : OK);
		} else {
			slot = &generation->next;
		}
	}
	for (uint32_t i = 0; i < ENGINE_PROMPTS_MAX; i++) {
		if (prompts->active[i] && atomic_load(&prompts->active[i]->cancelled))
			end(prompts, prompts->active[i], FINISH_CANCELLED, OK);
	}
}

/* ---- what can begin ---- */

static uint32_t common_tokens(const struct generation *a, const struct generation *b)
{
	uint32_t most = a->prompt_count < b->prompt_count ? a->prompt_count : b->prompt_count;
	uint32_t common = 0;
	if (a->salt != b->salt)
		return 0;
	while (common < most && a->prompt[common] == b->prompt[common])
		common++;
	return common;
}

/* The prompt in work that has most in common with this one; *common: how much. */
static struct generation *nearest_active(const struct prompts *prompts, const struct generation *generation,
                                         uint32_t *common)
{
	struct generation *nearest = NULL;
	*common = 0;
	for (uint32_t i = 0; i < ENGINE_PROMPTS_MAX; i++) {
		struct generation *active = prompts->active[i];
		uint32_t tokens = active ? common_tokens(active, generation) : 0;
		if (tokens > *common) {
			*common = tokens;
			nearest = active;
		}
	}
	return nearest;
}

/* Is a prompt in work about to compute what this one could take from it? */
static bool waits_for_prefix(const struct prompts *prompts, const struct generation *generation)
{
	uint32_t common;
	if (prompts->steps->engine->facts.keeps_whole)
		return false;
	const struct generation *nearest = nearest_active(prompts, generation, &common);
	return nearest && common >= nearest->cached + PREFIX_BLOCK;
}

static uint32_t cells_in_work(const struct prompts *prompts)
{
	uint32_t cells = 0;
	for (uint32_t i = 0; i < ENGINE_PROMPTS_MAX; i++)
		cells += prompts->active[i] ? generation_total_tokens(prompts->active[i]) : 0;
	return cells;
}

static int32_t free_sequence(const struct prompts *prompts)
{
	for (int32_t i = 0; i < ENGINE_PROMPTS_MAX; i++) {
		if (!prompts->active[i])
			return i;
	}
	return -1;
}

/* Gives it the cells of the longest known prefix. The last token is always computed: its logits are wanted. */
static void take_prefix(struct prompts *prompts, struct generation *generation)
{
	struct steps *steps = prompts->steps;
	struct engine *engine = steps->engine;
	uint32_t most = generation->prompt_count - 1;
	uint32_t live = 0;
	uint32_t kept = 0;
	struct generation *nearest = engine->facts.keeps_whole ? NULL : nearest_active(prompts, generation, &live);
	if (nearest && live > nearest->cached)
		live = nearest->cached;
	live = live < most ? live : most;
	struct kv_state *state = prefixes_find(steps->prefixes, generation->salt, generation->prompt, most, &kept);
	if (live >= PREFIX_BLOCK && live >= kept) {
		engine->ops->share(engine, nearest->sequence, generation->sequence, live);
		generation->cached = live;
	} else if (state && engine->ops->restore(engine, LANE_PROMPTS, generation->sequence, state, kept) == OK) {
		generation->cached = kept;
	}
	kv_state_unref(&state);
}

static void unlink_waiting(struct prompts *prompts, const struct generation *generation)
{
	struct generation **slot = &prompts->waiting;
	while (*slot != generation)
		slot = &(*slot)->next;
	*slot = generation->next;
}

/* Gives a waiting one a place, a sequence and its prefix; false: it can't begin now. */
static bool begin(struct prompts *prompts, struct generation *generation)
{
	struct steps *steps = prompts->steps;
	int32_t sequence = free_sequence(prompts);
	if (sequence < 0 || waits_for_prefix(prompts, generation))
		return false;
	pthread_mutex_lock(&steps->lock);
	bool has_place = places_take(&steps->places, generation);
	if (has_place && !generation->times.started_ns)
		generation->times.started_ns = clock_now_ns();
	pthread_mutex_unlock(&steps->lock);
	if (!has_place)
		return false;
	unlink_waiting(prompts, generation);
	generation->next = NULL;
	generation->sequence = sequence;
	prompts->active[sequence] = generation;
	take_prefix(prompts, generation);
	if (generation->cached && generation->output_count == 0) {
		pthread_mutex_lock(&steps->lock);
		generation->ready.cached_tokens = generation->cached;
		steps->load.cached_tokens += generation->cached;
		pthread_mutex_unlock(&steps->lock);
	}
	return true;
}

/* ---- a step ---- */

static void add_to_plan(struct prompts *prompts, struct generation *generation, uint32_t *count)
{
	prompts->planned[*count] = generation;
	prompts->plan[(*count)++] = describe(generation);
}

/* What is in work, and what could begin: those behind the first long one without a place may only take short places. */
static uint32_t list_prompts(struct prompts *prompts)
{
	struct steps *steps = prompts->steps;
	uint32_t count = 0;
	uint32_t room = steps->engine->facts.context_tokens - cells_in_work(prompts);
	for (uint32_t i = 0; i < ENGINE_PROMPTS_MAX; i++) {
		if (prompts->active[i])
			add_to_plan(prompts, prompts->active[i], &count);
	}
	bool has_sequence = free_sequence(prompts) >= 0;
	pthread_mutex_lock(&steps->lock);
	const struct places places = steps->places;
	pthread_mutex_unlock(&steps->lock);
	bool long_is_closed = false;
	for (struct generation *waiting = prompts->waiting; waiting && has_sequence && count < PLAN_MAX;
	     waiting = waiting->next) {
		bool is_long = places_lane(&places, waiting) == LANE_LONG;
		if (is_long && long_is_closed)
			continue;
		if (!places_has_room(&places, waiting)) {
			long_is_closed |= is_long;
			continue;
		}
		if (generation_total_tokens(waiting) <= room && !waits_for_prefix(prompts, waiting))
			add_to_plan(prompts, waiting, &count);
	}
	return count;
}

/* The next in order that is planned and waits; count: there is none. */
static uint32_t next_to_begin(const struct prompts *prompts, uint32_t count)
{
	uint32_t next = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct batch_prompt *prompt = &prompts->plan[i];
		bool begins = prompt->tokens && prompts->planned[i]->sequence < 0;
		if (begins && (next == count || prompt->order < prompts->plan[next].order))
			next = i;
	}
	return next;
}

/* Begins what is planned and waits, in order; false: something began, and with its prefix the plan is another. */
static bool begin_planned(struct prompts *prompts, uint32_t count)
{
	bool stays = true;
	for (uint32_t i; (i = next_to_begin(prompts, count)) < count;) {
		stays &= !begin(prompts, prompts->planned[i]);
		prompts->plan[i].tokens = 0;
	}
	return stays;
}

static uint32_t make_rows(struct prompts *prompts, uint32_t count)
{
	uint32_t row_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (prompts->plan[i].tokens)
			prompts->rows[row_count++] = steps_row(prompts->planned[i], prompts->plan[i].tokens);
	}
	return row_count;
}

static void hand_over(struct prompts *prompts, struct generation *generation)
{
	struct steps *steps = prompts->steps;
	kv_state_unref(&generation->state);
	generation->state = steps_save(steps, LANE_PROMPTS, generation);
	leave(prompts, generation);
	if (!generation->state) {
		steps_finish(steps, generation, FINISH_ERROR, ERROR_MEMORY);
		return;
	}
	pthread_mutex_lock(&steps->lock);
	generation->next = steps->handed;
	steps->handed = generation;
	steps->handed_count++;
	pthread_cond_signal(&steps->streams_work);
	pthread_mutex_unlock(&steps->lock);
}

/* The row's tokens are computed; the one that ends a prompt gives the first token. */
static void take_row(struct prompts *prompts, const struct step_row *row, int64_t now_ns)
{
	struct steps *steps = prompts->steps;
	struct generation *generation = prompts->active[row->sequence];
	enum error failure = OK;
	generation->cached += row->count;
	if (!row->samples)
		return;
	enum finish_reason reason = steps_take_token(steps, LANE_PROMPTS, generation, row->output, now_ns, &failure);
	steps_tell_loop(steps);
	if (!reason) {
		hand_over(prompts, generation);
		return;
	}
	if (reason != FINISH_ERROR)
		steps_keep_prefix(steps, LANE_PROMPTS, generation);
	end(prompts, generation, reason, failure);
}

/* A step that failed as a whole is taken apart: the row that can't be computed fails, the others don't. */
static void run_one_by_one(struct prompts *prompts, uint32_t count)
{
	struct engine *engine = prompts->steps->engine;
	struct step_row rows[ENGINE_PROMPTS_MAX];
	memcpy(rows, prompts->rows, sizeof(*rows) * count);
	for (uint32_t i = 0; i < count; i++) {
		struct generation *generation = prompts->active[rows[i].sequence];
		prompts->rows[0] = rows[i];
		prompts->row_count = 1;
		enum error error = engine->ops->forget(engine, LANE_PROMPTS, rows[i].sequence, (uint32_t)rows[i].position);
		if (!error)
			error = engine->ops->decode(engine, LANE_PROMPTS, prompts->rows, 1);
		prompts->row_count = 0;
		if (!error) {
			take_row(prompts, &prompts->rows[0], clock_now_ns());
		} else if (error != ERROR_CANCELLED) {
			log_line(LOG_ERROR, "a prompt of %u tokens can't be computed: %s", generation->prompt_count,
			         error_text(error));
			end(prompts, generation, FINISH_ERROR, ERROR_INTERNAL);
		}
	}
}

static void learn(struct prompts *prompts, struct step_size *size, int64_t began_ns, int64_t beside_ns)
{
	struct steps *steps = prompts->steps;
	int64_t now_ns = clock_now_ns();
	int64_t took_ns = max_ll(now_ns - began_ns, 1);
	beside_ns = busy_clock_ns(&steps->streams_clock, now_ns) - beside_ns;
	size->beside = (uint32_t)(size->tokens * min_ll(beside_ns, took_ns) / took_ns);
	step_model_observe(&prompts->model, size, took_ns);
	double context = (double)size->context_cells / size->tokens;
	prompts->usual_context += USUAL_WEIGHT * (context - prompts->usual_context);
}

static void run_rows(struct prompts *prompts, uint32_t row_count)
{
	struct steps *steps = prompts->steps;
	struct step_size size = { 0 };
	for (uint32_t i = 0; i < row_count; i++) {
		size.tokens += prompts->rows[i].count;
		size.context_cells += step_prompt_cells(prompts->rows[i].count, (uint32_t)prompts->rows[i].position);
	}
	int64_t began_ns = clock_now_ns();
	int64_t beside_ns = busy_clock_ns(&steps->streams_clock, began_ns);
	prompts->row_count = row_count;
	busy_clock_set(&steps->prompts_clock, true);
	enum error error = steps->engine->ops->decode(steps->engine, LANE_PROMPTS, prompts->rows, row_count);
	busy_clock_set(&steps->prompts_clock, false);
	prompts->row_count = 0;
	if (error == ERROR_CANCELLED)
		return;
	pthread_mutex_lock(&steps->lock);
	steps->load.steps++;
	steps->load.prefill_tokens += size.tokens;
	pthread_mutex_unlock(&steps->lock);
	if (error) {
		log_line(LOG_WARNING, "a step of %u prompts failed (%s): they are computed one by one", row_count,
		         error_text(error));
		run_one_by_one(prompts, row_count);
		return;
	}
	learn(prompts, &size, began_ns, beside_ns);
	for (uint32_t i = 0; i < row_count; i++)
		take_row(prompts, &prompts->rows[i], clock_now_ns());
}

static void publish(struct prompts *prompts)
{
	struct steps *steps = prompts->steps;
	uint32_t running = 0;
	uint32_t waiting = 0;
	uint32_t backlog = 0;
	for (const struct generation *generation = prompts->waiting; generation; generation = generation->next) {
		waiting++;
		backlog += generation_prefill_left(generation);
	}
	for (uint32_t i = 0; i < ENGINE_PROMPTS_MAX; i++) {
		if (!prompts->active[i])
			continue;
		running++;
		backlog += generation_prefill_left(prompts->active[i]);
	}
	pthread_mutex_lock(&steps->lock);
	steps->prompts_running = running;
	steps->load.sequences_waiting = waiting;
	steps->load.backlog_tokens = backlog;
	steps->load.prompt_model = prompts->model;
	steps->load.usual_context = (uint32_t)prompts->usual_context;
	pthread_mutex_unlock(&steps->lock);
}

/* false: nothing can be computed now. */
static bool run_step(struct prompts *prompts)
{
	uint32_t count;
	do {
		count = list_prompts(prompts);
		struct step_size size =
			batch_plan(prompts->plan, count, prompts->steps->engine->facts.step_tokens_max, &prompts->model);
		if (size.tokens == 0)
			return false;
	} while (!begin_planned(prompts, count));
	uint32_t row_count = make_rows(prompts, count);
	publish(prompts); /* a step can be long: what it works on is known before it ends */
	if (row_count)
		run_rows(prompts, row_count);
	return row_count > 0 || cells_in_work(prompts) > 0;
}

static bool wait_for_work(struct steps *steps, bool is_idle)
{
	pthread_mutex_lock(&steps->lock);
	while (is_idle && !steps->inbox && !steps->prompts_woken && !steps->stopping)
		pthread_cond_wait(&steps->prompts_work, &steps->lock);
	bool goes_on = !steps->stopping;
	pthread_mutex_unlock(&steps->lock);
	return goes_on;
}

static void *run(void *argument)
{
	struct prompts *prompts = argument;
	bool is_idle = true;
	while (wait_for_work(prompts->steps, is_idle)) {
		take_inbox(prompts);
		drop_pointless(prompts);
		is_idle = !run_step(prompts);
		publish(prompts);
		steps_tell_loop(prompts->steps);
	}
	return NULL;
}

enum error prompts_start(struct steps *steps)
{
	struct prompts *prompts = calloc(1, sizeof(*prompts));
	if (!prompts)
		return ERROR_MEMORY;
	steps->prompts = prompts;
	prompts->steps = steps;
	step_model_init(&prompts->model, STEP_PROMPTS);
	enum error error = error_from_errno(pthread_create(&prompts->thread, NULL, run, prompts));
	prompts->is_running = !error;
	return error;
}

void prompts_stop(struct steps *steps)
{
	struct prompts *prompts = steps->prompts;
	if (!prompts)
		return;
	if (prompts->is_running)
		pthread_join(prompts->thread, NULL);
	steps->prompts = NULL;
	free(prompts);
}
