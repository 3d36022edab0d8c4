/* A small world around struct control in virtual time: clients who arrive and leave, engines that take steps as policy/batch plans them
 * and cost what their rates say. Everything that would be I/O in serve happens here by a heap of timers; no clock, no threads.
 *
 * Used by the scenario runner and by the unit tests of policy/. The caller moves time on with world_run_until and acts in between; what it
 * does is delivered to control at once. Broken rules of control (two endings, a dispatch to a replica that is not ready, more in flight than
 * sequences) abort by MUST. */
#ifndef PENSTOCK_TEST_WORLD_H
#define PENSTOCK_TEST_WORLD_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/random.h"
#include "policy/batch.h"
#include "policy/control.h"

#define WORLD_SEQUENCES_MAX 256

enum world_state {
	WORLD_ARRIVING, /* not yet seen by control */
	WORLD_PREPARING,
	WORLD_QUEUED,
	WORLD_DISPATCHED,
	WORLD_STREAMING,
	WORLD_DONE, /* this and what follows: over */
	WORLD_FAILED,
	WORLD_GONE,
	WORLD_REFUSED,
	WORLD_CANCELLED,
	WORLD_STATES
};

struct world_request {
	/* Given by the caller. */
	uint32_t pool;
	enum request_class class;
	uint32_t prompt_tokens;
	uint32_t output_tokens;   /* what it really takes, at least 1 */
	uint32_t expected_tokens; /* what control is told; 0 = output_tokens */
	int64_t deadline_ns;      /* absolute */
	int64_t prepare_ns;       /* from PREPARE to PREPARED; NS_NEVER = stuck */
	uint32_t route;
	uint32_t tenant;
	struct control_limits limits; /* of the tenant */
	uint32_t tries; /* more, when it is refused, each after what it was told; they are requests of their own */
	bool is_repeat;
	/* What became of it. */
	enum world_state state;
	enum refusal refusal;
	int64_t retry_after_ns;
	int64_t predicted_ns;
	int64_t promised_ns; /* as admission had it */
	int64_t wait_ns;     /* as expected on arrival */
	uint32_t rung;       /* of its route when it arrived */
	uint32_t parent;     /* of a repeat: the request that was refused; else its own index */
	int64_t asked_ns;    /* when its client asked first */
	uint32_t replica;
	int64_t arrived_ns;
	int64_t dispatched_ns;   /* -1 = never */
	int64_t first_token_ns;  /* -1 = never */
	int64_t ended_ns;        /* -1 = open */
	uint64_t dispatch_order; /* 1 for the first; 0 = never */
	/* Inside. */
	uint32_t index;
	uint32_t ticket;
	uint32_t prefill_left;
	uint32_t produced;
	uint32_t planned; /* tokens of the step that runs */
	bool is_stalled;
	struct heap_node prepared; /* its preparation; once refused, its client's next try */
};

/* What an engine is like. */
struct world_engine {
	uint32_t sequences; /* up to WORLD_SEQUENCES_MAX */
	uint32_t cells;     /* 0 = not accounted */
	struct predict_rates rates;
	double noise;        /* a step takes up to this share more or less */
	bool is_learning;    /* plans with and reports what it has learned, instead of its true rates */
	uint32_t tokens_max; /* of a prompt step; 0 = 128 */
};

struct world;
/* After each call of control; event: the one it was for, NULL when time alone had passed. May act on the world. */
typedef void world_hook(void *context, struct world *world, const struct event *event);

/* ERROR_MEMORY. settings are copied by control. */
enum error world_new(const struct control_settings *settings, struct world **out);
void world_free(struct world **world);

/* Hands control one event at a time, and tells `hook` after each. */
void world_one_by_one(struct world *world, world_hook *hook, void *context);
/* From which tier of a route a rung takes its requests: rung values are numbers of pools here. Its rung now. */
uint32_t world_rung(const struct world *world, uint32_t route);
/* Replicas that control asked for last; 0 = it did not. */
uint32_t world_wanted(const struct world *world, uint32_t pool);
/* Writes every step to `out` (borrowed) as control_text does. */
void world_record(struct world *world, struct bytes *out);

void world_replica_ready(struct world *world, uint32_t replica, const struct world_engine *engine);
void world_replica_starting(struct world *world, uint32_t replica, uint32_t percent);
/* What it runs fails. */
void world_replica_down(struct world *world, uint32_t replica);
/* From now on no engine makes progress; what stands still for 30 s fails, as the gateway would have it. */
void world_stall_all(struct world *world);

/* Arrives now. Returns its number, from 0. */
uint32_t world_arrive(struct world *world, const struct world_request *request);
/* The client leaves, the engine breaks off, the engine goes on without it. Nothing happens to one that is over. */
void world_gone(struct world *world, uint32_t request);
void world_fail(struct world *world, uint32_t request);
void world_stall(struct world *world, uint32_t request);

/* All that is due up to and at time_ns. */
void world_run_until(struct world *world, int64_t time_ns);
/* Until no request is open, at most to time_ns; false when some still are. */
bool world_run_out(struct world *world, int64_t time_ns);

int64_t world_now_ns(const struct world *world);
uint32_t world_count(const struct world *world);
uint32_t world_open(const struct world *world);
/* Control steps and events so far. */
uint64_t world_steps(const struct world *world);
uint64_t world_events(const struct world *world);
const struct world_request *world_request(const struct world *world, uint32_t request);
const struct control *world_control(const struct world *world);
/* Static; as scenarios write it. */
const char *world_state_word(enum world_state state);

#endif
