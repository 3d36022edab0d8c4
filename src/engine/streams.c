/* The thread that decodes: each round every stream gets its token, first those of the short lane, then those of the long one.
 *
 * A stream comes as a state, from the prompts or because it was parked: it outgrew its sequence in the short lane, or the long lane ran out of cells
 * and it was the lowest class's latest. It waits then for cells, and goes on by itself where it stopped: nobody fails. */
#include "engine/steps_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "engine/kv_state.h"
#include "policy/batch.h"

struct streams {
	struct steps *steps;
	pthread_t thread;
	bool is_running;
	uint32_t sequences;
	struct generation *parked; /* those with a state and no sequence, in order; borrowed, so the next */
	struct generation *
		*running[LANES];   /* owned arrays, shape (sequences,); NULL = a free sequence. LANE_PROMPTS has none */
	struct step_row *rows; /* shape (sequences,) */
	uint32_t row_count;    /* during a step */
	struct step_model model;
	struct batch_share share;
};

bool streams_go_on(struct steps *steps)
{
	return !steps_rows_are_cancelled(steps->streams->rows, steps->streams->row_count);
}

/* ---- the lists ---- */

static bool goes_before(const struct generation *a, const struct generation *b)
{
	return a->class != b->class ? a->class < b->class : a->arrival < b->arrival;
}

static void put_parked(struct streams *streams, struct generation *generation)
{
	struct generation **slot = &streams->parked;
	while (*slot && !goes_before(generation, *slot))
		slot = &(*slot)->next;
	generation->next = *slot;
	*slot = generation;
}

static void take_handed(struct streams *streams)
{
	struct steps *steps = streams->steps;
	pthread_mutex_lock(&steps->lock);
	struct generation *generation = steps->handed;
	steps->handed = NULL;
	steps->streams_running += steps->handed_count;
	steps->handed_count = 0;
	steps->streams_woken = false;
	pthread_mutex_unlock(&steps->lock);
	while (generation) {
		struct generation *next = generation->next;
		put_parked(streams, generation);
		generation = next;
	}
}

static void leave(struct streams *streams, struct generation *generation)
{
	struct engine *engine = streams->steps->engine;
	enum error dropped = engine->ops->forget(engine, generation->lane, generation->sequence, 0);
	(void)dropped; /* all of it goes, always */
	streams->running[generation->lane][generation->sequence] = NULL;
	generation->sequence = -1;
}

static void end(struct streams *streams, struct generation *generation, enum finish_reason reason, enum error failure)
{
	if (reason == FINISH_STOP || reason == FINISH_LENGTH)
		steps_keep_prefix(streams->steps, generation->lane, generation);
	leave(streams, generation);
	steps_finish(streams->steps, generation, reason, failure);
}

static void drop_cancelled(struct streams *streams)
{
	struct generation **slot = &streams->parked;
	while (*slot) {
		struct generation *generation = *slot;
		if (!atomic_load(&generation->cancelled)) {
			slot = &generation->next;
			continue;
		}
		*slot = generation->next;
		if (generation->lane == LANE_PROMPTS) {
			pthread_mutex_lock(&streams->steps->lock);
			streams->steps->places.returning--;
			pthread_mutex_unlock(&streams->steps->lock);
		}
		steps_finish(streams->steps, generation, FINISH_CANCELLED, OK);
	}
	for (int lane = LANE_SHORT; lane < LANES; lane++) {
		for (uint32_t i = 0; i < streams->sequences; i++) {
			struct generation *generation = streams->running[lane][i];
			if (generation && atomic_load(&generation->cancelled))
				end(streams, generation, FINISH_CANCELLED, OK);
		}
	}
}

/* ---- into a sequence, and out of it ---- */

/* Gives up the sequence and the place; its cells are kept aside. Without memory for them it ends. */
static void park(struct streams *streams, struct generation *generation)
{
	struct steps *steps = streams->steps;
	generation->state =
		steps->engine->ops->save(steps->engine, generation->lane, generation->sequence, generation->cached);
	generation->token_ns = 0;
	if (!generation->state) {
		end(streams, generation, FINISH_ERROR, ERROR_MEMORY);
		return;
	}
	leave(streams, generation);
	pthread_mutex_lock(&steps->lock);
	places_give(&steps->places, generation);
	steps->places.returning++;
	pthread_mutex_unlock(&steps->lock);
	put_parked(streams, generation);
}

static bool has_place(struct streams *streams, struct generation *generation)
{
	struct steps *steps = streams->steps;
	if (generation->lane != LANE_PROMPTS)
		return true;
	pthread_mutex_lock(&steps->lock);
	bool taken = places_take(&steps->places, generation);
	steps->places.returning -= taken;
	pthread_mutex_unlock(&steps->lock);
	return taken;
}

/* ERROR_BUSY: it has to wait. */
static enum error settle_one(struct streams *streams, struct generation *generation)
{
	struct engine *engine = streams->steps->engine;
	if (!has_place(streams, generation))
		return ERROR_BUSY;
	struct generation **lane = streams->running[generation->lane];
	int32_t sequence = 0;
	while (lane[sequence])
		sequence++; /* a place is a free sequence */
	enum error error =
		engine->ops->restore(engine, generation->lane, sequence, generation->state, generation->state->tokens);
	if (error)
		return error;
	kv_state_unref(&generation->state);
	generation->sequence = sequence;
	lane[sequence] = generation;
	return OK;
}

static void settle(struct streams *streams)
{
	struct generation **slot = &streams->parked;
	while (*slot) {
		struct generation *generation = *slot;
		struct generation *next = generation->next;
		enum error error = settle_one(streams, generation);
		if (error == ERROR_BUSY) {
			slot = &generation->next;
			continue;
		}
		*slot = next;
		generation->next = NULL;
		if (error) {
			log_line(LOG_ERROR, "the cells of a stream can't be restored: %s", error_text(error));
			steps_finish(streams->steps, generation, FINISH_ERROR, error);
		}
	}
}

static void count_preemption(struct steps *steps, struct generation *generation)
{
	pthread_mutex_lock(&steps->lock);
	steps->load.preemptions++;
	generation->ready.preemptions++;
	pthread_mutex_unlock(&steps->lock);
}

/* Parks the latest of the lowest class; false: only one is running, or none. */
static bool preempt(struct streams *streams)
{
	struct generation *last = NULL;
	uint32_t count = 0;
	for (uint32_t i = 0; i < streams->sequences; i++) {
		struct generation *generation = streams->running[LANE_LONG][i];
		count += generation != NULL;
		if (generation && (!last || goes_before(last, generation)))
			last = generation;
	}
	if (count < 2)
		return false;
	count_preemption(streams->steps, last);
	park(streams, last);
	return true;
}

/* Those that have filled their sequence in the short lane move to the long one. */
static void move_outgrown(struct streams *streams)
{
	for (uint32_t i = 0; i < streams->sequences; i++) {
		struct generation *generation = streams->running[LANE_SHORT][i];
		if (generation && generation->cached >= generation->reserved)
			park(streams, generation);
	}
}

/* Every long stream gets a cell for its next token. */
static void make_room(struct streams *streams)
{
	struct steps *steps = streams->steps;
	uint32_t wanted;
	do {
		wanted = 0;
		pthread_mutex_lock(&steps->lock);
		for (uint32_t i = 0; i < streams->sequences; i++) {
			struct generation *generation = streams->running[LANE_LONG][i];
			if (!generation)
				continue;
			wanted += generation->cached + 1;
			places_grow(&steps->places, generation, generation->cached + 1);
		}
		pthread_mutex_unlock(&steps->lock);
	} while (wanted > steps->engine->facts.context_tokens && preempt(streams));
}

/* ---- a round ---- */

static uint32_t make_rows(struct streams *streams, enum engine_lane lane, struct step_size *size)
{
	uint32_t count = 0;
	*size = (struct step_size){ 0 };
	for (uint32_t i = 0; i < streams->sequences; i++) {
		const struct generation *generation = streams->running[lane][i];
		if (!generation)
			continue;
		streams->rows[count++] = steps_row(generation, 1);
		size->context_cells += generation->cached;
	}
	size->tokens = count;
	return count;
}

/* The longest time since a row's last token; 0 = none had one. */
static int64_t longest_gap_ns(struct streams *streams, enum engine_lane lane, uint32_t count, int64_t now_ns)
{
	int64_t longest_ns = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct generation *generation = streams->running[lane][streams->rows[i].sequence];
		if (generation->token_ns)
			longest_ns = max_ll(longest_ns, now_ns - generation->token_ns);
	}
	return longest_ns;
}

static void learn(struct streams *streams, struct step_size *size, int64_t took_ns, int64_t beside_ns)
{
	took_ns = max_ll(took_ns, 1);
	size->beside = (uint32_t)(size->tokens * min_ll(beside_ns, took_ns) / took_ns);
	step_model_observe(&streams->model, size, took_ns);
}

static void observe_gap(struct streams *streams, int64_t gap_ns)
{
	struct steps *steps = streams->steps;
	batch_share_observe(&streams->share, gap_ns, steps->settings.gap_ns);
	atomic_store_explicit(&steps->share_permille, (uint32_t)(streams->share.share * 1000 + 0.5), memory_order_relaxed);
}

static void take_row(struct streams *streams, enum engine_lane lane, const struct step_row *row, int64_t now_ns)
{
	struct generation *generation = streams->running[lane][row->sequence];
	enum error failure = OK;
	generation->cached += row->count;
	enum finish_reason reason = steps_take_token(streams->steps, lane, generation, row->output, now_ns, &failure);
	if (reason)
		end(streams, generation, reason, failure);
}

/* A step that failed as a whole is taken apart: the row that can't be computed fails, the others don't. */
static void run_one_by_one(struct streams *streams, enum engine_lane lane, uint32_t count)
{
	struct engine *engine = streams->steps->engine;
	for (uint32_t i = 0; i < count; i++) {
		struct step_row row = streams->rows[i];
		struct generation *generation = streams->running[lane][row.sequence];
		enum error error = engine->ops->forget(engine, lane, row.sequence, (uint32_t)row.position);
		if (!error)
			error = engine->ops->decode(engine, lane, &row, 1);
		if (!error) {
			take_row(streams, lane, &row, clock_now_ns());
		} else if (error != ERROR_CANCELLED) {
			log_line(LOG_ERROR, "a stream can't go on after %u tokens: %s", generation->cached, error_text(error));
			end(streams, generation, FINISH_ERROR, ERROR_INTERNAL);
		}
	}
}

static void run_lane(struct streams *streams, enum engine_lane lane)
{
	struct steps *steps = streams->steps;
	struct step_size size;
	uint32_t count = make_rows(streams, lane, &size);
	if (count == 0)
		return;
	int64_t began_ns = clock_now_ns();
	int64_t beside_ns = busy_clock_ns(&steps->prompts_clock, began_ns);
	streams->row_count = count;
	enum error error = steps->engine->ops->decode(steps->engine, lane, streams->rows, count);
	streams->row_count = 0;
	if (error == ERROR_CANCELLED || (error == ERROR_BUSY && lane == LANE_LONG && preempt(streams)))
		return;
	pthread_mutex_lock(&steps->lock);
	steps->load.steps++;
	pthread_mutex_unlock(&steps->lock);
	if (error) {
		log_line(LOG_WARNING, "a round of %u streams failed (%s): they are decoded one by one", count,
		         error_text(error));
		run_one_by_one(streams, lane, count);
		return;
	}
	int64_t now_ns = clock_now_ns();
	beside_ns = busy_clock_ns(&steps->prompts_clock, now_ns) - beside_ns;
	learn(streams, &size, now_ns - began_ns, beside_ns);
	int64_t gap_ns = longest_gap_ns(streams, lane, count, now_ns);
	if (gap_ns && beside_ns > 0)
		observe_gap(streams, gap_ns);
	for (uint32_t i = 0; i < count; i++)
		take_row(streams, lane, &streams->rows[i], now_ns);
	steps_tell_loop(steps);
}

static bool publish(struct streams *streams)
{
	struct steps *steps = streams->steps;
	uint32_t running = 0;
	uint32_t parked = 0;
	uint32_t cells = 0;
	for (const struct generation *generation = streams->parked; generation; generation = generation->next)
		parked++;
	for (int lane = LANE_SHORT; lane < LANES; lane++) {
		for (uint32_t i = 0; i < streams->sequences; i++) {
			const struct generation *generation = streams->running[lane][i];
			running += generation != NULL;
			cells += generation ? generation->cached : 0;
		}
	}
	pthread_mutex_lock(&steps->lock);
	steps->streams_running = running + parked;
	steps->load.cells_used = cells;
	steps->load.stream_model = streams->model;
	pthread_mutex_unlock(&steps->lock);
	return running > 0;
}

static bool wait_for_work(struct steps *steps, bool is_idle)
{
	pthread_mutex_lock(&steps->lock);
	if (is_idle && !steps->handed && !steps->streams_woken && !steps->stopping) {
		busy_clock_set(&steps->streams_clock, false);
		pthread_cond_signal(&steps->streams_rest);
		while (!steps->handed && !steps->streams_woken && !steps->stopping)
			pthread_cond_wait(&steps->streams_work, &steps->lock);
	}
	bool goes_on = !steps->stopping;
	pthread_mutex_unlock(&steps->lock);
	return goes_on;
}

static void *run(void *argument)
{
	struct streams *streams = argument;
	bool is_idle = true;
	while (wait_for_work(streams->steps, is_idle)) {
		take_handed(streams);
		drop_cancelled(streams);
		move_outgrown(streams);
		settle(streams);
		make_room(streams);
		is_idle = !publish(streams);
		busy_clock_set(&streams->steps->streams_clock, !is_idle);
		run_lane(streams, LANE_SHORT);
		run_lane(streams, LANE_LONG);
		publish(streams);
		steps_tell_loop(streams->steps);
	}
	return NULL;
}

static void free_streams(struct streams *streams)
{
	free(streams->running[LANE_SHORT]);
	free(streams->running[LANE_LONG]);
	free(streams->rows);
	free(streams);
}

enum error streams_start(struct steps *steps)
{
	struct streams *streams = calloc(1, sizeof(*streams));
	if (!streams)
		return ERROR_MEMORY;
	uint32_t sequences = steps->engine->facts.sequences;
	*streams = (struct streams){ .steps = steps, .sequences = sequences };
	streams->running[LANE_SHORT] = calloc(sequences, sizeof(struct generation *));
	streams->running[LANE_LONG] = calloc(sequences, sizeof(struct generation *));
	streams->rows = calloc(sequences, sizeof(*streams->rows));
	step_model_init(&streams->model, STEP_STREAMS);
	batch_share_init(&streams->share);
	enum error error = streams->running[LANE_SHORT] && streams->running[LANE_LONG] && streams->rows ? OK : ERROR_MEMORY;
	if (error) {
		free_streams(streams);
		return error;
	}
	steps->streams = streams;
	error = error_from_errno(pthread_create(&streams->thread, NULL, run, streams));
	streams->is_running = !error;
	return error;
}

void streams_stop(struct steps *steps)
{
	struct streams *streams = steps->streams;
	if (!streams)
		return;
	if (streams->is_running)
		pthread_join(streams->thread, NULL);
	steps->streams = NULL;
	free_streams(streams);
}
