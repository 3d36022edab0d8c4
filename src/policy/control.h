/* Admission, queueing and dispatch: events in, orders out. The same object runs in serve (real clock), in plan (virtual time) and under scenario
 * scripts. No I/O, no clock, no allocation after control_new, integer nanoseconds, seeded random numbers inside; ties go by sequence.
 *
 * Not thread-safe: serve calls it under one lock. A request's way: ARRIVE -> PREPARE (it has a ticket) or REFUSE; PREPARED -> DISPATCH when a
 * replica has a credit, or REFUSE when its wait is over or its first token can no longer be in time; FIRST_TOKEN, PROGRESS...; then exactly one
 * of DONE, FAILED, GONE gives everything back. RETRY gives the replica back and asks for another attempt: DISPATCH follows when there may be one,
 * perhaps at another replica, or REFUSE (control_retry.c). A full queue makes room for a higher class, and for a tenant that has less than its share of it:
 * whoever came last is refused (QUEUE_FULL). After REFUSE nothing more is owed; after CANCEL the request still ends with one of the three.
 *
 * Who waits is served by class, inside a class by tenants' weighted fair shares of predicted tokens, inside a tenant by deadline (control_queue.c).
 *
 * Admission asks the forecast (control_forecast.c), times the learned ratio of its class. A request that finds an idle replica and an empty
 * queue is asked without the ratio: one that has grown too large can always be learned anew. A route that promises a time to first token takes only what is
 * predicted to keep it: a request that comes too late misses the promise just as one that is refused, and makes others late besides.
 *
 * Once a second each route's ladder looks at the pressure (RUNG says where it stands now) and each pool at its demand (SCALE says how many replicas it
 * should have). Neither names a request. */
#ifndef PENSTOCK_POLICY_CONTROL_H
#define PENSTOCK_POLICY_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "policy/health.h"
#include "policy/ladder.h"
#include "policy/predict.h"

struct control;

#define CONTROL_TICKET_NONE UINT32_MAX
#define CONTROL_NOT_TOLD UINT32_MAX

enum request_class { CLASS_INTERACTIVE, CLASS_STANDARD, CLASS_BATCH, CLASS_COUNT };

enum event_kind {
	EVENT_ARRIVE,
	EVENT_PREPARED,
	EVENT_FIRST_TOKEN,
	EVENT_PROGRESS,
	EVENT_RETRY, /* an attempt failed before anything of the answer reached the client */
	EVENT_DONE,
	EVENT_FAILED,
	EVENT_GONE,
	EVENT_LOAD,
	EVENT_PRESSURE, /* of a route whose promise is not about time */
	EVENT_TIMER,
	EVENT_KINDS
};

enum replica_state { REPLICA_DOWN, REPLICA_STARTING, REPLICA_READY, REPLICA_STATES };

/* What a tenant may use. All 0: a weight of one, and no bounds. */
struct control_limits {
	uint32_t weight_permille; /* of its fair share */
	uint32_t concurrency;     /* requests open at once */
	uint32_t requests_per_minute;
	uint32_t tokens_per_minute; /* prompt and answer */
};

/* One thing that happened. request: the caller's name for it, opaque here. Fields beside the comment of their kind are 0. */
struct event {
	enum event_kind kind;
	uint64_t request;             /* all but LOAD, PRESSURE and TIMER */
	uint32_t ticket;              /* all but ARRIVE, LOAD, PRESSURE and TIMER: from the PREPARE order */
	uint32_t pool;                /* ARRIVE */
	uint32_t class;               /* ARRIVE: enum request_class */
	uint32_t route;               /* ARRIVE, PRESSURE: number in the settings; where there are none, 0 */
	uint32_t tenant;              /* ARRIVE: below the settings' tenant_count; 0 = nobody in particular */
	struct control_limits limits; /* ARRIVE: of the tenant */
	uint32_t prompt_tokens;       /* ARRIVE: estimate; PREPARED: better one, 0 = no news; DONE: exact, 0 = unknown */
	uint32_t output_tokens;       /* ARRIVE: expected; PROGRESS: so far; DONE: exact */
	int64_t begun_ns;             /* ARRIVE: its first byte, from which its promise counts (absolute); 0 = now */
	int64_t deadline_ns;    /* ARRIVE, RETRY: the first token must be there by then (absolute; NS_NEVER = whenever) */
	int64_t first_token_ns; /* ARRIVE: longest from its dispatch to its first token; 0 = only the deadline holds */
	uint32_t is_repeat;     /* ARRIVE: the client asks again; goes behind first attempts of its class */
	uint32_t is_whole;      /* ARRIVE: its first token comes with its last, and tells nothing of waits */
	uint64_t
		known_replicas;     /* ARRIVE: a bit for each replica of the pool that has the beginning of its prompt cached */
	uint32_t known_tokens;  /* ARRIVE: how much of it */
	uint32_t failure;       /* RETRY, FAILED: enum failure; 0 = not the replica's doing */
	int64_t retry_after_ns; /* RETRY, FAILED: as the replica asked for; 0 = it did not */
	uint32_t replica;       /* LOAD */
	uint32_t state;         /* LOAD: enum replica_state */
	uint32_t sequences;     /* LOAD, READY: requests that run at once; 0 = takes none now */
	uint32_t cells;         /* LOAD, READY: of the KV cache; 0 = not accounted */
	uint32_t
		backlog_tokens; /* LOAD, READY, of an engine of ours: prompt tokens that it has not computed; CONTROL_NOT_TOLD */
	uint32_t percent;   /* LOAD, STARTING: of loading; 0 = not told */
	uint32_t permille;  /* PRESSURE: what was measured over what was promised */
	uint32_t running;   /* LOAD, READY, of an opaque one: requests there, whoever sent them; 0 = not told */
	struct predict_rates rates; /* LOAD, READY */
};

enum order_kind { ORDER_PREPARE, ORDER_DISPATCH, ORDER_REFUSE, ORDER_CANCEL, ORDER_RUNG, ORDER_SCALE, ORDER_KINDS };

enum refusal {
	REFUSAL_NONE,
	REFUSAL_QUEUE_FULL,  /* the pool's queue holds as many as it may */
	REFUSAL_HOPELESS,    /* the predicted wait is over what the queue or the deadline allows */
	REFUSAL_EXPIRED,     /* it waited as long as it may */
	REFUSAL_NO_REPLICA,  /* nothing runs and nothing is starting */
	REFUSAL_DEADLINE,    /* CANCEL: the first token did not come in time */
	REFUSAL_ATTEMPTS,    /* a failed attempt is not followed by another one */
	REFUSAL_PROMISE,     /* its route's promise would be broken */
	REFUSAL_TRY_AGAIN,   /* the ladder stands on try_again: not its turn */
	REFUSAL_RATE,        /* the tenant's or the route's rate is used up */
	REFUSAL_CONCURRENCY, /* the tenant has as many requests open as it may */
	REFUSALS
};

struct order {
	enum order_kind kind;
	uint64_t request;
	uint32_t ticket;
	uint32_t replica;       /* DISPATCH */
	enum refusal refusal;   /* REFUSE, CANCEL */
	int64_t retry_after_ns; /* REFUSE: when trying again should succeed, from the prediction */
	int64_t predicted_ns;   /* PREPARE, REFUSE: time to first token as expected, from now: half of them come sooner */
	int64_t promised_ns;    /* PREPARE, REFUSE: 95 of 100 come sooner; what admission held against the promise */
	int64_t wait_ns;        /* PREPARE, REFUSE: of it, until it is dispatched */
	uint32_t queue_ahead;   /* PREPARE: tickets in front of it */
	uint32_t route;         /* RUNG */
	uint32_t rung;          /* RUNG: the first so many rungs are in effect */
	uint32_t pool;          /* SCALE */
	uint32_t wanted;        /* SCALE: replicas */
};

struct control_pool {
	uint32_t queue_max;  /* tickets that may wait beyond those for which a place is free */
	int64_t wait_max_ns; /* a ticket waits at most this long */
	uint32_t replica_count;
	uint32_t is_opaque;   /* engines that don't tell what they can: rates and places are learned (policy/opaque) */
	uint32_t concurrency; /* opaque: requests a replica works on at once; 0 = learned */
	uint32_t scale_min;   /* SCALE asks for so many at least; 0 and scale_max 0: it never asks */
	uint32_t scale_max;
	uint32_t scale_spare; /* warm ones beyond what is needed */
};

/* What a route promises, as far as it decides about requests. */
struct control_route {
	/* ns; 0 = not promised. Predictions are held against them where the kind is latency. */
	int64_t ttft_ns;
	int64_t tpot_ns;
	int64_t e2e_ns;
	uint32_t rung_count;
	struct ladder_rung rungs[LADDER_RUNGS_MAX];
	/* A minute, over all its tenants; 0 = no bound. */
	uint32_t requests_per_minute;
	uint32_t tokens_per_minute;
	uint32_t repeats_per_minute;
};

struct control_settings {
	const struct control_pool *pools; /* copied; replicas are numbered through: pool 0's first */
	uint32_t pool_count;
	const struct control_route *routes; /* copied */
	uint32_t route_count;
	uint32_t tenant_count;  /* 0 counts as 1 */
	uint32_t in_flight_max; /* tickets dispatched at once, over all pools */
	uint64_t seed;
};

/* ERROR_MEMORY. */
enum error control_new(const struct control_settings *settings, struct control **out);
void control_free(struct control **control);

/* Takes what happened by now_ns (not before an earlier call's) and says what to do. orders: room for `cap` >= 2 * count + CONTROL_ORDERS_EXTRA,
 * of which never more than that many are used (so that orders do not depend on the caller's room); what does not fit comes with the next
 * call, which is then due at once. *next_deadline_ns: call again by then, with or without events; NS_NEVER when nothing is due.
 * Returns the number of orders. */
size_t control_step(struct control *control, int64_t now_ns, const struct event *events, size_t count,
                    struct order *orders, size_t cap, int64_t *next_deadline_ns);
#define CONTROL_ORDERS_EXTRA 64

/* What is going on, for metrics and tests. */
struct control_pool_view {
	uint32_t queued;
	uint32_t in_flight;
	uint32_t replicas_ready;
	int64_t
		predicted_wait_ns; /* of a standard request that arrived now, as promised; NS_NEVER when no replica runs or starts */
	double ratio_p95;      /* actual / predicted, of the class that does worst */
	uint32_t wanted;       /* replicas that SCALE asked for; 0 = it did not */
	int64_t cold_start_p95_ns; /* 0 = none was seen */
	int64_t busy_ns;           /* replica time with something in flight, since the start, all replicas */
};

struct control_route_view {
	uint32_t rung;
	bool is_latched;
	uint64_t moves;
	double pressure; /* as the ladder saw it last; 0 where nothing is promised */
};

struct control_replica_view {
	uint32_t in_flight;
	uint32_t limit; /* requests that it is sent at once */
	enum health_state health;
	int64_t first_token_ns; /* predicted for a prompt of 1,000 tokens now */
};
void control_view_pool(const struct control *control, uint32_t pool, struct control_pool_view *out);
void control_view_replica(const struct control *control, uint32_t replica, struct control_replica_view *out);
void control_view_route(const struct control *control, uint32_t route, struct control_route_view *out);
/* Tickets in use: 0 when every request has given everything back. */
uint32_t control_tickets(const struct control *control);

#endif
