/* A replica and the fleet as fleet.c (the set), fleet_process.c (workers that we start) and fleet_remote.c (engines behind URLs) share them. Not for
 * others. */
#ifndef PENSTOCK_FLEET_FLEET_PARTS_H
#define PENSTOCK_FLEET_FLEET_PARTS_H

#include <pthread.h>

#include "base/url.h"
#include "fleet/fleet.h"
#include "http/http_client.h"
#include "http/sse.h"
#include "io/tls.h"
#include "io/process.h"

struct replica {
	struct fleet *fleet;
	uint32_t index;
	uint32_t pool;
	struct url url; /* of one that we start: its socket */
	struct http_pool *connection;
	struct http_call *call; /* NULL while nothing is asked */
	struct timer retry;     /* the next connect or question, or the next start */
	/* One that we start. */
	struct process *process; /* NULL between two lives */
	struct sse sse;          /* of /load */
	struct timer deadline;   /* of a start */
	int64_t back_off_ns;
	int64_t started_ns;
	bool was_ready;      /* in any life */
	bool is_parked;      /* not wanted: takes nothing, or does not run */
	struct timer retire; /* the next look whether it has finished */
	/* One behind a URL. */
	struct bytes head;   /* of the question */
	struct bytes answer; /* as far as it has come */
	int status;          /* of the answer; 0 = no head yet */
	unsigned failures;   /* in a row */
	bool has_no_metrics; /* it said so: its health is asked for instead */
	/* Guarded by fleet->lock. */
	struct load_report report;
	uint32_t restarts;
};

struct fleet {
	struct loop *loop;
	struct config *config; /* a reference */
	const struct fleet_events *events;
	void *owner;
	char *program;
	struct tls_context **tls; /* by pool; NULL: none of its URLs is https */
	struct replica *replicas;
	const char **names;
	uint32_t count;
	pthread_mutex_t lock;
	bool stopping;
	void (*stopped)(void *owner);
	struct timer kill; /* those that don't end when asked */
};

static inline const struct pool_config *replica_config(const struct replica *replica)
{
	return &replica->fleet->config->pools[replica->pool];
}

/* ---- fleet.c ---- */

/* Keeps the report and tells the owner. */
void replica_publish(struct replica *replica, const struct load_report *report);
void replica_publish_state(struct replica *replica, enum engine_state state);
/* Calls fleet->stopped when no process is left. */
void fleet_tell_stopped(struct fleet *fleet);

/* Connections of `loop` to the replica. */
enum error replica_connect(const struct replica *replica, struct loop *loop, struct http_pool_settings *settings,
                           struct http_pool **out);

/* ---- fleet_process.c ---- */

enum error replica_init_process(struct replica *replica, const char *folder);
enum error replica_start_process(struct replica *replica);

/* ---- fleet_scale.c ---- */

void replica_init_scale(struct replica *replica);
/* It is not wanted now. */
void replica_park(struct replica *replica);

/* ---- fleet_remote.c ---- */

enum error replica_init_remote(struct replica *replica, const char *url);
void replica_start_remote(struct replica *replica);

#endif
