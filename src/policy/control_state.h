/* What struct control is made of: private to control*.c.
 *
 * A ticket per admitted request, in the flow of its tenant and class from ARRIVE until it is dispatched (and, from PREPARED, in the flow's order of
 * service), then in its replica's list. `expiries` holds every ticket that can run out of time. All storage is made in control_new. */
#ifndef PENSTOCK_POLICY_CONTROL_STATE_H
#define PENSTOCK_POLICY_CONTROL_STATE_H

#include "base/heap.h"
#include "base/pairing.h"
#include "base/random.h"
#include "policy/control.h"
#include "policy/demand.h"
#include "policy/opaque.h"
#include "policy/quota.h"

enum ticket_state {
	TICKET_FREE,
	TICKET_PREPARING,
	TICKET_QUEUED,
	TICKET_RESTING, /* between two attempts */
	TICKET_DISPATCHED,
	TICKET_STREAMING
};

/* Attempts of one request, and at one replica. */
#define ATTEMPTS_MAX 4
#define ATTEMPTS_THERE_MAX 2

/* What the arithmetic says of a request, from now and before any ratio; all NS_NEVER when no replica runs or is coming. */
struct forecast {
	int64_t wait_ns;       /* until it is dispatched */
	int64_t wait_bound_ns; /* not later, when requests are about as long as expected */
	int64_t first_token_ns;
	int64_t first_token_bound_ns;
	int64_t own_ns;  /* of it, its own prompt, with nobody beside it */
	bool is_at_once; /* a place is free */
};

struct ticket {
	struct pairing_node ready; /* in its flow, while QUEUED */
	struct heap_node rest;     /* in control.resting, while RESTING */
	struct heap_node expiry;   /* in control.expiries, until its first token */
	uint64_t request;
	enum ticket_state state;
	uint32_t pool;
	uint32_t replica;
	uint32_t class;
	uint32_t route;
	uint32_t tenant;
	uint32_t charged_tokens; /* to the rates of its tenant and route */
	uint32_t prompt_tokens;
	uint32_t output_tokens; /* expected */
	uint32_t produced;
	uint32_t next; /* free list; its flow's list while it waits; the replica's list */
	uint32_t previous;
	int64_t arrived_ns;
	int64_t prepared_ns;
	int64_t deadline_ns;
	int64_t first_token_max_ns; /* from its dispatch; 0 = only the deadline holds */
	int64_t promise_ns;         /* by when its first token is promised; NS_NEVER: it is not */
	int64_t order_ns;           /* by when it should be served: its promise, or its deadline */
	struct forecast forecast;   /* on arrival */
	bool is_guess;              /* the forecast rests on nothing yet */
	bool is_repeat;
	bool is_whole;
	uint64_t known_replicas; /* as in struct event */
	uint32_t known_tokens;
	uint32_t attempts;            /* that failed */
	uint32_t tried[ATTEMPTS_MAX]; /* where */
	uint32_t is_barred;           /* bits: not there again */
	bool is_retrying;             /* a second attempt is out: it counts in control.retrying */
	int64_t budget_until_ns;      /* RESTING: the budget must have room for it by then */
	/* Of the current attempt. */
	int64_t dispatched_ns;
	int64_t first_token_ns;
	uint64_t ahead_tokens;
	uint32_t in_flight; /* there, itself included */
};

/* Prompt tokens a second by the size of their prompts, in octaves: a sliding mean over half a minute. */
#define PROMPT_SIZES 16
struct prompt_rates {
	double rates[PROMPT_SIZES];
	int64_t at_ns;
};

struct replica {
	enum replica_state state;
	uint32_t pool;
	uint32_t sequences;
	uint32_t cells;
	uint32_t in_flight;
	uint64_t reserved_cells; /* prompt + expected output of what is in flight */
	uint64_t prefill_tokens; /* of those whose first token has not come */
	/* What the engine said last of prompts that it has not computed, and what it was sent since. */
	bool has_backlog;
	uint64_t backlog_tokens;
	int64_t backlog_at_ns;
	struct prompt_rates prompts; /* that were sent there */
	uint32_t first;              /* list of tickets, CONTROL_TICKET_NONE ends it */
	int64_t busy_since_ns;       /* while something is in flight */
	uint32_t percent;
	int64_t starting_since_ns;
	struct predict_rates rates;
	struct health health;
	struct opaque opaque;    /* of an opaque pool */
	uint32_t ahead_permille; /* what a prompt token in front costs, of one of its own: 1,000 in our engines */
	uint32_t foreign;        /* requests there that are not ours, by its last report */
};

/* Tickets of one tenant and class that wait for one pool; PREPARING and RESTING ones included, but for `ready`. */
struct flow {
	struct heap_node
		turn; /* in pool.turns, while some are QUEUED: by class, first attempts before repeats, then by `start` */
	struct pairing ready; /* QUEUED ones: first attempts before repeats, then by order_ns */
	uint32_t class;
	uint32_t weight_permille;
	uint32_t count;
	uint64_t prompt_tokens;
	uint64_t output_tokens;
	uint32_t newest; /* list of tickets by next; CONTROL_TICKET_NONE ends it */
	uint32_t oldest;
	uint32_t active; /* its place in pool.active while count > 0 */
	/* Virtual time of start-time fair queueing (Goyal, Vin, Cheng 1996): tokens over weight. */
	int64_t start;  /* of its next request */
	int64_t finish; /* of its last one */
};

struct pool {
	struct control_pool settings;
	uint32_t first_replica;
	struct flow *flows; /* by tenant and class; owned */
	struct heap turns;  /* flows that have something ready */
	uint32_t *active;   /* flows that have something waiting, in no order; owned */
	uint32_t active_count;
	int64_t virtual_now[CLASS_COUNT];
	uint64_t dispatched; /* ever */
	uint32_t queued_count;
	uint32_t in_flight;
	int64_t cold_start_ns; /* the last one's length */
	int64_t busy_ns;       /* of replicas, those that are busy now not included */
	struct demand demand;
	uint32_t wanted; /* as SCALE said last */
	/* One for each class: those that are overtaken all day must not make the others look badly predicted. */
	struct predict_ratio ratios[CLASS_COUNT];
	/* Of those that waited, by class; and of those that found a place free. */
	struct predict_middle middles[CLASS_COUNT + 1];
};

/* Whose requests they are. */
struct tenant {
	struct control_limits limits; /* as the last arrival said */
	struct quota requests;
	struct quota tokens;
	uint32_t open; /* tickets */
};

/* Predicted over promised of a second's arrivals, in steps of a twentieth; the last one holds what is over. */
#define PRESSURE_STEPS 64
#define PRESSURE_PER_UNIT 20
#define PRESSURE_SECONDS 3

/* Before anything is known of how such predictions turn out. */
#define GATE_FIRST 1.5

struct route {
	struct control_route settings;
	struct ladder ladder;
	double pressure; /* as last seen */
	/* 95 of 100 of those who are let in come within this times what is expected; and how many first tokens it has followed. */
	double gate;
	uint32_t gate_count;
	uint32_t told_permille;                            /* by EVENT_PRESSURE */
	uint32_t counts[PRESSURE_SECONDS][PRESSURE_STEPS]; /* a ring of seconds */
	uint32_t pool;                                     /* of its last arrival */
	double prompt_tokens;                              /* sliding means of arrivals */
	double output_tokens;
	struct quota requests;
	struct quota tokens;
	struct quota repeats;
};

struct control {
	struct pool *pools;
	uint32_t pool_count;
	struct replica *replicas;
	uint32_t replica_count;
	struct ticket *tickets;
	uint32_t ticket_count;
	uint32_t free_ticket;
	uint32_t used;
	uint32_t in_flight;
	uint32_t in_flight_max;
	struct route *routes;
	uint32_t route_count;
	struct tenant *tenants;
	uint32_t last_tenant; /* whose arrival was the last one */
	int64_t switched_ns;  /* when that was another one's than the one before; 0 = never */
	uint32_t tenant_count;
	struct heap expiries;
	struct heap resting;
	uint32_t retrying; /* second attempts (and later ones) that wait for their first token */
	struct random random;
	int64_t tick_ns;  /* when ladders and demands are looked at next */
	uint32_t ticked;  /* routes and pools done of the current tick */
	uint64_t seconds; /* ticks so far */
	/* Of the current step. */
	int64_t now_ns;
	struct order *orders;
	size_t order_count;
	size_t order_cap;
};

/* ---- control_accounts.c: who holds what ---- */

uint32_t ticket_index(const struct control *control, const struct ticket *ticket);
/* A ticket for this arrival, which counts as queued from now; the pool's queue must not be full. */
struct ticket *ticket_take(struct control *control, const struct event *event);
/* The ticket that an event names; NULL for one that was given back already (a cancel that crossed a refusal). */
struct ticket *ticket_of(struct control *control, const struct event *event);
/* PREPARING -> QUEUED, with a better estimate of its prompt (0 = none). */
void ticket_enqueue(struct control *control, struct ticket *ticket, uint32_t prompt_tokens);
/* DISPATCHED -> RESTING, until due_ns. */
void ticket_rest(struct control *control, struct ticket *ticket, int64_t due_ns);
/* QUEUED -> DISPATCHED. */
void ticket_dispatch(struct control *control, struct ticket *ticket, struct replica *replica);
/* DISPATCHED -> STREAMING. */
void ticket_stream(struct control *control, struct ticket *ticket);
/* Gives back whatever the ticket holds. */
void ticket_release(struct control *control, struct ticket *ticket);
/* Its prompt tokens that are cached at that replica already, as far as we know. */
uint32_t ticket_known_tokens(const struct control *control, const struct ticket *ticket, uint32_t replica);
/* Cells that it may come to hold. */
uint64_t ticket_cells(const struct ticket *ticket);

/* Busy replica time up to now, of a pool. */
int64_t pool_busy_ns(const struct control *control, const struct pool *pool);

/* ---- control_queue.c: who waits, and whose turn it is ---- */

enum error queue_init(struct control *control, struct pool *pool);
void queue_fini(struct pool *pool);
struct flow *flow_of(struct control *control, const struct ticket *ticket);
/* It waits from now, or no more. */
void queue_link(struct control *control, struct ticket *ticket);
void queue_unlink(struct control *control, struct ticket *ticket);
/* It may be dispatched from now, or no more. */
void queue_ready(struct control *control, struct ticket *ticket);
void queue_unready(struct control *control, struct ticket *ticket);
/* Before queue_unready of one that is dispatched: its flow pays for it. */
void queue_charge(struct control *control, const struct ticket *ticket);
/* Whose turn it is; NULL when nothing is ready. */
struct ticket *queue_next(struct control *control, struct pool *pool);
/* Who must go so that one more of this class and tenant may wait: the last that came of a lower class, or of a tenant that holds more than its share; NULL when
 * nobody need. */
struct ticket *queue_to_displace(struct control *control, struct pool *pool, const struct event *event);

/* What stands before a request, and its size on average: of itself when nothing does. */
struct ahead {
	uint32_t count;
	uint32_t prompt_tokens;
	uint32_t output_tokens;
};
struct ahead queue_ahead(const struct control *control, const struct pool *pool, const struct event *event);

/* ---- control_choice.c: which replica ---- */

/* NULL when none has a credit and may have it. */
struct replica *choice_of_replica(struct control *control, const struct pool *pool, const struct ticket *ticket);
/* Until its first token there, from now. */
int64_t choice_first_token_ns(const struct control *control, const struct replica *replica,
                              const struct ticket *ticket);

/* ---- control_retry.c: attempts that fail ---- */

void retry_or_refuse(struct control *control, struct ticket *ticket, const struct event *event);
/* Room for one more second attempt. */
bool retry_has_budget(const struct control *control);
/* When another attempt may go out: now where a replica can take it that it was not at yet, else after a pause; NS_NEVER when none may. */
int64_t retry_due_ns(struct control *control, const struct ticket *ticket);
/* Puts those whose rest is over back in their queues. */
void retry_rested(struct control *control);
/* Whether the ticket may still be sent there. */
bool retry_allows(const struct ticket *ticket, uint32_t replica);
bool ticket_has_tried(const struct ticket *ticket, uint32_t replica);
/* Before the replica is given back: what the attempt's end says of it. */
void replica_note_failure(struct control *control, const struct ticket *ticket, const struct event *event);
void replica_note_first_token(struct control *control, struct ticket *ticket);
void replica_note_end(struct control *control, const struct ticket *ticket, const struct event *event);

/* ---- control_admit.c ---- */

void take_arrival(struct control *control, const struct event *event);
void refuse_ticket(struct control *control, struct ticket *ticket, enum refusal refusal);
/* At its end: what it really used of its tenant's and its route's rates. 0 = unknown. */
void settle_rates(struct control *control, const struct ticket *ticket, uint64_t tokens);

/* ---- control_tick.c: once a second ---- */

/* What a route's promise makes of an arrival's prediction. */
void pressure_note(struct route *route, uint64_t second, double ratio);
/* What is predicted over what the route promises; 0 where it promises nothing. expected_ns: first token, the middle of what such forecasts came to; own_ns: of it,
 * its own prompt; token_ns: each one after it. */
double pressure_of(const struct route *route, int64_t expected_ns, int64_t own_ns, int64_t token_ns,
                   uint32_t output_tokens);
/* NS_NEVER where there is nothing to look at. */
int64_t tick_first_ns(const struct control *control);
/* A first token has come, or did not, of a request that was held against the promise. */
void gate_note(struct route *route, bool is_in_time);
void tick(struct control *control);

/* ---- control.c ---- */

void give_order(struct control *control, const struct order *order);
bool has_room(const struct control *control);

/* ---- control_prefill.c: prompts in an engine ---- */

/* Prompt tokens that it still has to compute, about: what is in flight, less what it has done of that by its last report and since. */
uint64_t replica_backlog(const struct control *control, const struct replica *replica);
/* Of that, what is computed before the first token of a prompt that is sent there now: an engine of ours lets short ones pass (policy/batch). */
uint64_t replica_tokens_before(const struct control *control, const struct replica *replica, uint32_t prompt_tokens);
/* Until the first token of a prompt of own_tokens that is sent there now, behind `before` tokens that are sent before it. */
int64_t replica_first_token_ns(const struct control *control, const struct replica *replica, uint32_t own_tokens,
                               uint64_t before);
/* A prompt is sent there. */
void replica_note_prompt(struct control *control, struct replica *replica, uint32_t tokens);
/* Its report. */
void replica_note_backlog(struct control *control, struct replica *replica, uint32_t tokens);
/* Tokens of its answer still to come, about. */
uint32_t output_rest(const struct ticket *ticket);

/* ---- control_forecast.c: what will become of a request ---- */

/* Tokens of a replica's work that stand before a request's first token: its own, and those in front as far as they cost it anything. */
uint64_t replica_work(const struct replica *replica, uint32_t own_tokens, uint64_t tokens_ahead);
/* How many requests of `cells` this replica may be sent now, 0 or more. */
uint32_t replica_credits(const struct control *control, const struct replica *replica, uint64_t cells);
/* Of a request that joins the queue now. */
struct forecast forecast_request(const struct control *control, const struct pool *pool, const struct event *event);
/* How long each token of an answer would take there now, at the best replica; NS_NEVER when none runs. */
int64_t forecast_token_ns(const struct control *control, const struct pool *pool);
/* How long a request keeps the whole of a replica busy. */
int64_t forecast_work_ns(const struct control *control, const struct pool *pool, uint32_t prompt_tokens,
                         uint32_t output_tokens);
/* What half of those that were forecast so took: the median of the like of `forecast`. */
int64_t forecast_expected_ns(const struct pool *pool, uint32_t class, const struct forecast *forecast,
                             int64_t of_it_ns);
/* Which of pool.middles that is. */
uint32_t forecast_kind(const struct forecast *forecast, uint32_t class);
/* What admission promises of a forecast duration: times the class's ratio, except where an idle replica would take the request at once. */
int64_t forecast_promised_ns(const struct control *control, const struct pool *pool, uint32_t class,
                             int64_t forecast_ns);

#endif
