/* What the two threads of the engine share. Private to steps.c, prompts.c and streams.c. */
#ifndef PENSTOCK_ENGINE_STEPS_STATE_H
#define PENSTOCK_ENGINE_STEPS_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/places.h"
#include "engine/prefixes.h"
#include "engine/steps.h"

struct prompts;
struct streams;

/* How long a thread has computed, readable while it does. */
struct busy_clock {
	_Atomic int64_t since_ns; /* 0 = at rest */
	_Atomic int64_t total_ns; /* up to since_ns */
};

struct steps {
	struct engine *engine;
	struct loop *loop;
	void (*on_news)(void *owner);
	void *owner;
	struct steps_settings settings;
	struct prefixes *prefixes;
	struct prompts *prompts;
	struct streams *streams;
	struct busy_clock prompts_clock;
	struct busy_clock streams_clock;
	_Atomic uint32_t share_permille; /* what prompts get while streams decode */
	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t prompts_work;
	pthread_cond_t streams_work;
	pthread_cond_t streams_rest; /* timed waits by the monotonic clock */
	struct generation *inbox;    /* to the prompts, newest first */
	struct generation *handed;   /* to the streams, newest first */
	uint32_t handed_count;
	struct generation *news; /* oldest first */
	struct generation *last_news;
	struct places places;
	struct steps_load load;
	uint32_t prompts_running; /* parts of load.sequences_running */
	uint32_t streams_running;
	bool stopping;
	bool prompts_woken;
	bool streams_woken;
	bool news_posted;
};

/* ---- prompts.c, streams.c ---- */

enum error prompts_start(struct steps *steps);
void prompts_stop(struct steps *steps);
/* Asked during a prompt step, on its thread: holds it up when the streams need the processor. */
bool prompts_go_on(struct steps *steps);
enum error streams_start(struct steps *steps);
void streams_stop(struct steps *steps);
bool streams_go_on(struct steps *steps);

/* ---- steps.c ---- */

int64_t busy_clock_ns(const struct busy_clock *clock, int64_t now_ns);
void busy_clock_set(struct busy_clock *clock, bool is_busy);

/* The next tokens of a generation that are not in the cache, as a row of at most `tokens_max`; it never crosses from the prompt into output that is
 * computed again. */
struct step_row steps_row(const struct generation *generation, uint32_t tokens_max);
/* Do all of these rows' generations have nobody who waits for them? */
bool steps_rows_are_cancelled(const struct step_row *rows, uint32_t count);
/* Samples the next token of a row and tells the loop's side. Returns why the generation is over, FINISH_NONE when it goes on; *failure: with
 * FINISH_ERROR. */
enum finish_reason steps_take_token(struct steps *steps, enum engine_lane lane, struct generation *generation,
                                    int32_t output, int64_t now_ns, enum error *failure);
/* It is over: its place is free for others, and the loop hears of it. It must be in no list and no sequence any more. */
void steps_finish(struct steps *steps, struct generation *generation, enum finish_reason reason, enum error failure);
/* Wakes the loop if there is news. */
void steps_tell_loop(struct steps *steps);
/* Saves the state of a sequence and keeps it as a prefix if it is worth it. NULL: no memory. */
struct kv_state *steps_save(struct steps *steps, enum engine_lane lane, struct generation *generation);
/* Keeps the cells of a sequence as a prefix if it is worth it. */
void steps_keep_prefix(struct steps *steps, enum engine_lane lane, struct generation *generation);

#endif
