/* The replicas that we know: engine workers that we start, watch, and start again when they die, and engines behind URLs that we ask how they are.
 * Lives on one loop (the first); other threads only read load reports.
 *
 * A worker is a child process with a Unix socket, whose pushed load reports (GET /load) become events for control through on_load. One behind a URL
 * is ready until it says otherwise; vllm, sglang and llama-server are asked for their metrics, or their health, at most once a second. */
#ifndef PENSTOCK_FLEET_FLEET_H
#define PENSTOCK_FLEET_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "api/load_report.h"
#include "base/error.h"
#include "base/url.h"
#include "config/config.h"
#include "http/http_client.h"
#include "io/loop.h"

struct fleet;

struct fleet_events {
	/* A replica's state or load has changed. */
	void (*on_load)(void *owner, uint32_t replica, const struct load_report *report);
	/* Requests of ours that it works on. */
	uint32_t (*in_flight)(void *owner, uint32_t replica);
	/* A model can't be used at all (first start): why is a sentence. */
	void (*on_unusable)(void *owner, uint32_t replica, const char *why);
};

/* Makes the replicas of every pool, numbered through in the config's order; starts nothing yet. folder: where their sockets
 * go, it must exist; program: what to start. Both copied. Where an upstream.ca can't be used, a sentence is appended to *fault. */
enum error fleet_new(struct loop *loop, struct config *config, const char *folder, const char *program,
                     const struct fleet_events *events, void *owner, struct fleet **out, struct bytes *fault);
/* Of workers, replicas.min of each pool; the others are stopped until fleet_scale wants them. */
enum error fleet_start(struct fleet *fleet);
/* So many workers of the pool should run; the last ones go first, each when it has finished what it has. Does nothing where the engines are not ours. */
void fleet_scale(struct fleet *fleet, uint32_t pool, uint32_t wanted);
/* Asks every worker to end and calls stopped(owner) when all have; those that don't are killed after two seconds. */
void fleet_stop(struct fleet *fleet, void (*stopped)(void *owner));
void fleet_free(struct fleet **fleet);

uint32_t fleet_count(const struct fleet *fleet);
/* "small/0"; constant. Names of all: fleet_names. */
const char *const *fleet_names(const struct fleet *fleet);
/* Index of the replica's pool in the config. */
uint32_t fleet_pool(const struct fleet *fleet, uint32_t replica);
/* The pool's first replica; constant. */
uint32_t fleet_first(const struct fleet *fleet, uint32_t pool);
/* Where it listens; constant. */
const struct url *fleet_url(const struct fleet *fleet, uint32_t replica);
/* A loop's own connections to it; while the loop does not run, or on its thread. settings: idle_ns and idle_max; the rest is filled in here. */
enum error fleet_connect(const struct fleet *fleet, uint32_t replica, struct loop *loop,
                         struct http_pool_settings *settings, struct http_pool **out);
/* The last report. Any thread. */
void fleet_load(struct fleet *fleet, uint32_t replica, struct load_report *out);
/* Times its process ended without being asked to. Any thread. */
uint32_t fleet_restarts(struct fleet *fleet, uint32_t replica);
/* Process id of its worker; 0 when none runs. Loop thread. */
int fleet_process_id(const struct fleet *fleet, uint32_t replica);

#endif
