/* What the world is made of: private to world*.c. */
#ifndef PENSTOCK_TEST_WORLD_STATE_H
#define PENSTOCK_TEST_WORLD_STATE_H

#include "world.h"

#define WORLD_NOT_YET (-1)
#define WORLD_IDLE_NS (INT64_C(30) * 1000 * 1000 * 1000)

struct world_replica {
	enum replica_state state;
	enum replica_state told; /* as control has been told */
	struct world_engine engine;
	uint32_t running[WORLD_SEQUENCES_MAX];
	uint32_t running_count;
	struct world_lane {
		struct heap_node step; /* in timers while a step runs */
		struct step_size size; /* of that step */
		int64_t began_ns;
		struct step_model model;
	} lanes[STEP_LANES];
	int64_t reported_ns;
};

struct world {
	struct control *control;
	struct world_replica *replicas;
	uint32_t replica_count;
	struct world_request **requests;
	uint32_t request_count;
	uint32_t request_capacity;
	uint32_t open;
	uint64_t dispatched;
	struct heap timers;
	struct heap_node deadline; /* control's */
	struct heap_node idle;
	struct event *events; /* not yet delivered */
	size_t event_count;
	size_t event_capacity;
	struct order *orders;
	size_t order_capacity;
	bool is_one_by_one;
	bool is_stalled;
	bool is_delivering;
	bool is_due; /* control wants to be called */
	world_hook *hook;
	void *hook_context;
	struct bytes *record;
	struct control_route *routes; /* as given; owned */
	uint32_t *rungs;              /* by route; owned */
	uint32_t *wanted;             /* by pool; owned */
	struct random random;
	int64_t now_ns;
	uint64_t steps;
	uint64_t events_seen;
};

/* ---- world.c ---- */

/* NS_NEVER clears it. */
void world_set_timer(struct world *world, struct heap_node *timer, int64_t at_ns);
void world_push_event(struct world *world, const struct event *event);
void world_push_request_event(struct world *world, enum event_kind kind, uint32_t request);
/* The client of one that was refused asks again. */
void world_try_again(struct world *world, const struct world_request *refused);
/* The one place where a request ends. */
void world_end(struct world *world, uint32_t request, enum world_state state);
/* Hands over all events, and those that the answers bring at once. */
void world_deliver(struct world *world);

/* ---- world_engine.c ---- */

/* Runs on this replica from now; one that has died meanwhile fails it. */
void world_engine_take(struct world *world, struct world_replica *replica, struct world_request *request);
/* Runs no more; does nothing when it does not run. */
void world_engine_drop(struct world *world, uint32_t request);
void world_engine_end_step(struct world *world, struct world_replica *replica, enum step_lane lane);

#endif
