/* What the files of gateway/ share. Not for others. */
#ifndef PENSTOCK_GATEWAY_GATEWAY_PARTS_H
#define PENSTOCK_GATEWAY_GATEWAY_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "config/config.h"
#include "fleet/fleet.h"
#include "gateway/gateway.h"
#include "http/http_server.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/tls.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "observe/trace.h"
#include "stages/affinity.h"
#include "stages/desk.h"
#include "stages/services.h"

#define LISTENERS_MAX 16

struct gateway;

/* One loop and what is on it. Loop 0 runs on the main thread and has the listeners, the fleet and the admin server besides. */
struct worker_loop {
	struct gateway *gateway;
	struct services services;
	pthread_t thread;
	bool has_thread;
	bool drained; /* the main loop's: it has said that nothing is open any more */
};

struct gateway {
	const struct gateway_options *options;
	struct config *config; /* the current one; a reference. Loop 0's */
	unsigned loop_count;
	struct worker_loop *loops;
	struct metrics *metrics;
	struct metrics_shard *main_shard; /* gauges that are set at a scrape, and the counters of loop 0's other duties */
	const char **route_names;         /* the metrics' route domain: "-" and the config's */
	const char **pool_names;
	_Atomic uint32_t *request_tokens; /* by pool; from the engines' reports */
	struct affinity *affinity;
	struct conversations *conversations;
	_Atomic uint32_t *rungs;    /* by route: where its ladder stands */
	int64_t *starting_since_ns; /* by replica; 0: it is not starting. Loop 0's */
	struct promises *promises;
	struct desk_room *room;
	struct fleet *fleet;
	struct bytes secret;
	char folder[64]; /* of the engines' sockets */
	struct listener *listeners[LISTENERS_MAX];
	size_t listener_count;
	struct listener *admin_listeners[LISTENERS_MAX];
	size_t admin_listener_count;
	struct http_server *admin_server;
	struct tls_context *tls; /* what new connections over TCP are shown; a reference; NULL: plain. Loop 0's */
	struct timer drain;      /* the end of patience */
	struct timer accept;     /* accepting again after the limit was reached */
	bool is_accepting_paused;
	bool announced; /* "ready" was printed */
	bool draining;
	int exit_status;
	int record;
	struct gateway_alerts *alerts; /* loop 0's */
};

/* acceptor.c: opens the listeners of both kinds. On error *fault holds a sentence. */
enum error acceptor_open(struct gateway *gateway, struct bytes *fault);
void acceptor_close(struct gateway *gateway, bool with_admin);

/* admin.c */
enum error admin_new(struct gateway *gateway);
/* Is every pool served by a ready replica, and are requests taken? */
bool gateway_is_ready(struct gateway *gateway);

/* Sets the gauges that are read from pools and replicas. Loop 0. */
void admin_refresh_gauges(struct gateway *gateway);

/* alerts.c: evaluates the alerts every ten seconds on loop 0 and hands what changes to the webhook. On error *fault holds a sentence. */
enum error gateway_alerts_start(struct gateway *gateway, struct bytes *fault);
void gateway_alerts_stop(struct gateway *gateway);
/* Takes over what a new config says. */
void gateway_alerts_reload(struct gateway *gateway, const struct alert_thresholds *thresholds);
/* The page of GET /alerts?all=1. */
void gateway_alerts_write(struct gateway *gateway, struct span query, struct bytes *out);
/* The program's thresholds and over them those of the config's file. On error its faults, one line each, are appended. Blocks. */
enum error gateway_load_thresholds(const struct config *config, struct alert_thresholds *out, struct bytes *faults);

/* requests.c: GET /requests?last=N: the newest N finished records of all loops, one a line, the oldest first. False: the query is wrong. */
bool gateway_write_last_requests(struct gateway *gateway, struct span query, struct bytes *out);

/* greeting.c: prints what a user needs first. */
void greeting_print(const struct gateway *gateway);

/* reload.c: reads the config again; the old one stays when the new one is broken or would change what can't change. */
void reload(struct gateway *gateway);

/* drain.c: stops taking requests, lets the open ones finish, then stops. */
void drain_start(struct gateway *gateway);
/* Makes a loop tell when its last request has ended. */
void drain_watch(struct worker_loop *loop);

#endif
