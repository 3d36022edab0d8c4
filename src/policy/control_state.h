/* What struct control is made of: private to control*.c.
 *
 * A ticket per admitted request, in its pool's queue (a heap by class, deadline, sequence) from PREPARED until it is dispatched, then in its
 * replica's list. `expiries` holds every ticket that can run out of time. All storage is made in control_new. */
#ifndef PENSTOCK_POLICY_CONTROL_STATE_H
#define PENSTOCK_POLICY_CONTROL_STATE_H

#include "base/heap.h"
#include "base/random.h"
#include "policy/control.h"
#include "policy/opaque.h"

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
};

struct ticket {
	struct heap_node queue;  /* in its pool, while QUEUED; in control.resting, while RESTING */
	struct heap_node expiry; /* in control.expiries, until its first token */
	uint64_t request;
	enum ticket_state state;
	uint32_t pool;
	uint32_t replica;
	uint32_t class;
	uint32_t prompt_tokens;
	uint32_t output_tokens; /* expected */
	uint32_t produced;
	uint32_t next; /* free list; its class's list while it waits; the replica's list */
	uint32_t previous;
	int64_t arrived_ns;
	int64_t prepared_ns;
	int64_t deadline_ns;
	struct forecast forecast; /* on arrival */
	bool is_guess;            /* the forecast rests on nothing yet */
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

struct replica {
	enum replica_state state;
	uint32_t pool;
	uint32_t sequences;
	uint32_t cells;
	uint32_t in_flight;
	uint64_t reserved_cells; /* prompt + expected output of what is in flight */
	uint64_t prefill_tokens; /* of those whose first token has not come */
	uint32_t first;          /* list of tickets, CONTROL_TICKET_NONE ends it */
	uint32_t percent;
	int64_t starting_since_ns;
	struct predict_rates rates;
	struct health health;
	struct opaque opaque;    /* of an opaque pool */
	uint32_t ahead_permille; /* what a prompt token in front costs, of one of its own: 1,000 in our engines */
	uint32_t foreign;        /* requests there that are not ours, by its last report */
};

/* Tickets that wait, of one class. */
struct queued {
	uint32_t count; /* PREPARING ones included */
	uint64_t prompt_tokens;
	uint64_t output_tokens;
	uint32_t first; /* list of tickets, the last that came first; CONTROL_TICKET_NONE ends it */
};

struct pool {
	struct control_pool settings;
	uint32_t first_replica;
	struct heap queue;
	uint32_t queued_count;
	struct queued queued[CLASS_COUNT];
	uint32_t in_flight;
	int64_t cold_start_ns; /* the last one's length */
	/* One for each class: those that are overtaken all day must not make the others look badly predicted. */
	struct predict_ratio ratios[CLASS_COUNT];
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
	struct heap expiries;
	struct heap resting;
	uint32_t retrying; /* second attempts (and later ones) that wait for their first token */
	struct random random;
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
/* The one that came last of the lowest class below `class` that waits; NULL when there is none. */
struct ticket *ticket_to_displace(struct control *control, const struct pool *pool, uint32_t class);
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

/* ---- control.c ---- */

void refuse_ticket(struct control *control, struct ticket *ticket, enum refusal refusal);

/* ---- control_forecast.c: what will become of a request ---- */

/* Tokens of a replica's work that stand before a request's first token: its own, and those in front as far as they cost it anything. */
uint64_t replica_work(const struct replica *replica, uint32_t own_tokens, uint64_t tokens_ahead);
/* How many requests of `cells` this replica may be sent now, 0 or more. */
uint32_t replica_credits(const struct control *control, const struct replica *replica, uint64_t cells);
/* Of a request that joins the queue now. */
struct forecast forecast_request(const struct control *control, const struct pool *pool, uint32_t prompt_tokens,
                                 uint32_t output_tokens, uint32_t class);
/* What admission promises of a forecast duration: times the class's ratio, except where an idle replica would take the request at once. */
int64_t forecast_promised_ns(const struct control *control, const struct pool *pool, uint32_t class,
                             int64_t forecast_ns);

#endif
