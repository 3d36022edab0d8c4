/* What a stage may use: one of these a loop, made by gateway/. */
#ifndef PENSTOCK_STAGES_SERVICES_H
#define PENSTOCK_STAGES_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/random.h"
#include "config/config.h"
#include "fleet/fleet.h"
#include "http/http_client.h"
#include "http/http_server.h"
#include "io/loop.h"
#include "policy/quantile.h"
#include "observe/metrics.h"
#include "observe/trace.h"
#include "stages/repeat.h"

struct affinity;
struct conversations;
struct digest;
struct desk;
struct request;

/* A slot of the loop's requests. */
struct request_slot {
	struct request *request; /* NULL = free */
	uint32_t generation;     /* grows with each use: stale names find nothing */
	uint32_t next_free;
};

/* What a loop has learned about a route; estimates only. */
struct route_memory {
	double bytes_per_token;      /* of prompts */
	double output_tokens;        /* mean of finished answers; 0 = none yet */
	struct quantile output_high; /* nine of ten are shorter: what the engine keeps room for */
	/* Of answers that had a cap: clients who name one often mean it. Whichever of cap * share and the mean was nearer of late is believed. */
	double cap_share;
	double cap_error; /* sliding means of how far each was off, tokens */
	double mean_error;
	uint64_t capped;  /* answers that had one */
	uint64_t answers; /* learned from */
};

struct services {
	struct loop *loop;
	unsigned loop_index;
	struct config *config;     /* a reference; replaced by a reload */
	struct desk *desk;         /* this loop's window on control */
	struct affinity *affinity; /* borrowed: all loops share it; so the next two */
	struct conversations *conversations;
	const _Atomic uint32_t *rungs; /* by route, in the config's order: where its ladder stands */
	struct repeats repeats;
	struct random_reserve ids;
	struct metrics_shard *metrics;
	struct trace *trace;
	struct digest *digest; /* of API keys; owned; NULL where the config has none */
	struct http_server *server;
	const struct fleet *fleet;        /* only what never changes: names, URLs */
	struct http_pool **replicas;      /* by replica number: this loop's connections */
	const char *const *replica_names; /* by replica number */
	uint32_t replica_count;
	const _Atomic uint32_t *request_tokens; /* by pool: prompt and output that its engines take; 0 = not known yet */
	struct route_memory *memory;            /* by route, in the config's order */
	struct request_slot *slots;             /* owned */
	uint32_t slot_count;
	uint32_t free_slot;
	uint32_t open; /* requests under way */
	bool draining;
	void (*on_request_end)(void *owner, unsigned open); /* may be NULL: a drain waits for it */
	void *owner;
};

/* Handlers for the loop's public server; context is a struct services. */
extern const struct http_server_events pipeline_http_events;

#endif
