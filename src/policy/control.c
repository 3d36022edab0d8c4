/* State: a ticket per admitted request, in its pool's queue (a heap by class, deadline, sequence) until it is dispatched, then in its replica's list.
 * `expiries` holds every ticket that can run out of time. All storage is made in control_new. */
#include "policy/control.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/macros.h"
#include "base/random.h"

/* Cold start of a pool that has not had one yet. */
#define COLD_START_NS (3 * NS_PER_S)
#define RETRY_AFTER_MIN_NS NS_PER_S
#define RETRY_AFTER_MAX_NS (300 * NS_PER_S)
#define CLASS_SHIFT 60

enum ticket_state { TICKET_FREE, TICKET_PREPARING, TICKET_QUEUED, TICKET_DISPATCHED, TICKET_STREAMING };

struct ticket {
	struct heap_node queue;  /* in its pool, while QUEUED */
	struct heap_node expiry; /* in control.expiries */
	uint64_t request;
	enum ticket_state state;
	uint32_t pool;
	uint32_t replica;
	uint32_t class;
	uint32_t prompt_tokens;
	uint32_t output_tokens; /* expected */
	uint32_t produced;
	uint32_t next; /* free list; the replica's list */
	uint32_t previous;
	int64_t arrived_ns;
	int64_t deadline_ns;
	int64_t predicted_ns;
};

struct replica {
	enum replica_state state;
	uint32_t pool;
	uint32_t sequences;
	uint32_t cells;
	uint32_t in_flight;
	uint32_t reserved_cells; /* prompt + expected output of what is in flight */
	uint32_t prefill_tokens; /* of those whose first token has not come */
	uint32_t first;          /* list of tickets, CONTROL_TICKET_NONE ends it */
	uint32_t percent;
	int64_t starting_since_ns;
	struct predict_rates rates;
};

struct pool {
	struct control_pool settings;
	uint32_t first_replica;
	struct heap queue;
	uint32_t queued; /* PREPARING ones included */
	uint32_t in_flight;
	uint64_t queued_prompt_tokens[CLASS_COUNT];
	uint64_t queued_output_tokens[CLASS_COUNT];
	int64_t cold_start_ns; /* the last one's length */
	struct predict_ratio ratio;
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
	struct heap expiries;
	struct random random;
	/* Of the current step. */
	int64_t now_ns;
	struct order *orders;
	size_t order_count;
	size_t order_cap;
};

/* ---- making ---- */

static enum error make_tables(struct control *control, const struct control_settings *settings)
{
	for (uint32_t i = 0; i < settings->pool_count; i++) {
		control->replica_count += settings->pools[i].replica_count;
		control->ticket_count += settings->pools[i].queue_max;
	}
	control->ticket_count += settings->in_flight_max;
	control->pools = calloc(control->pool_count, sizeof(*control->pools));
	control->replicas = calloc(control->replica_count, sizeof(*control->replicas));
	control->tickets = calloc(control->ticket_count, sizeof(*control->tickets));
	if (!control->pools || !control->replicas || !control->tickets)
		return ERROR_MEMORY;
	return heap_reserve(&control->expiries, control->ticket_count);
}

static enum error fill_tables(struct control *control, const struct control_settings *settings)
{
	uint32_t replica = 0;
	enum error error = OK;
	for (uint32_t i = 0; i < control->pool_count && !error; i++) {
		struct pool *pool = &control->pools[i];
		pool->settings = settings->pools[i];
		pool->first_replica = replica;
		pool->cold_start_ns = COLD_START_NS;
		for (uint32_t r = 0; r < pool->settings.replica_count; r++, replica++)
			control->replicas[replica] =
				(struct replica){ .pool = i, .first = CONTROL_TICKET_NONE, .rates = predict_rates_unknown };
		error = heap_reserve(&pool->queue, control->ticket_count);
	}
	for (uint32_t i = 0; i < control->ticket_count; i++)
		control->tickets[i].next = i + 1 < control->ticket_count ? i + 1 : CONTROL_TICKET_NONE;
	return error;
}

enum error control_new(const struct control_settings *settings, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	if (!control)
		return ERROR_MEMORY;
	control->pool_count = settings->pool_count;
	random_seed(&control->random, settings->seed);
	enum error error = make_tables(control, settings);
	if (!error)
		error = fill_tables(control, settings);
	if (error)
		control_free(&control);
	*out = control;
	return error;
}

void control_free(struct control **control_slot)
{
	struct control *control = *control_slot;
	if (!control)
		return;
	*control_slot = NULL;
	for (uint32_t i = 0; control->pools && i < control->pool_count; i++)
		heap_fini(&control->pools[i].queue);
	heap_fini(&control->expiries);
	free(control->pools);
	free(control->replicas);
	free(control->tickets);
	free(control);
}

/* ---- orders ---- */

static void give_order(struct control *control, const struct order *order)
{
	MUST(control->order_count < control->order_cap);
	control->orders[control->order_count++] = *order;
}

static bool has_room(const struct control *control)
{
	return control->order_count < control->order_cap;
}

/* ---- accounts ---- */

static uint32_t index_of(const struct control *control, const struct ticket *ticket)
{
	return (uint32_t)(ticket - control->tickets);
}

static void count_queued(struct pool *pool, const struct ticket *ticket, int sign)
{
	pool->queued = (uint32_t)((int64_t)pool->queued + sign);
	pool->queued_prompt_tokens[ticket->class] += (uint64_t)((int64_t)sign * ticket->prompt_tokens);
	pool->queued_output_tokens[ticket->class] += (uint64_t)((int64_t)sign * ticket->output_tokens);
}

static uint32_t reserved_cells(const struct ticket *ticket)
{
	return ticket->prompt_tokens + ticket->output_tokens;
}

static void link_to_replica(struct control *control, struct ticket *ticket, uint32_t replica_index)
{
	struct replica *replica = &control->replicas[replica_index];
	ticket->replica = replica_index;
	ticket->previous = CONTROL_TICKET_NONE;
	ticket->next = replica->first;
	if (replica->first != CONTROL_TICKET_NONE)
		control->tickets[replica->first].previous = index_of(control, ticket);
	replica->first = index_of(control, ticket);
	replica->in_flight++;
	replica->reserved_cells += reserved_cells(ticket);
	replica->prefill_tokens += ticket->prompt_tokens;
	control->pools[ticket->pool].in_flight++;
}

static void unlink_from_replica(struct control *control, struct ticket *ticket)
{
	struct replica *replica = &control->replicas[ticket->replica];
	if (ticket->previous == CONTROL_TICKET_NONE)
		replica->first = ticket->next;
	else
		control->tickets[ticket->previous].next = ticket->next;
	if (ticket->next != CONTROL_TICKET_NONE)
		control->tickets[ticket->next].previous = ticket->previous;
	MUST(replica->in_flight > 0);
	replica->in_flight--;
	replica->reserved_cells -= reserved_cells(ticket);
	if (ticket->state == TICKET_DISPATCHED)
		replica->prefill_tokens -= ticket->prompt_tokens;
	control->pools[ticket->pool].in_flight--;
}

/* Gives back whatever the ticket holds. */
static void release(struct control *control, struct ticket *ticket)
{
	struct pool *pool = &control->pools[ticket->pool];
	heap_remove(&control->expiries, &ticket->expiry);
	if (ticket->state == TICKET_QUEUED)
		heap_remove(&pool->queue, &ticket->queue);
	if (ticket->state == TICKET_QUEUED || ticket->state == TICKET_PREPARING)
		count_queued(pool, ticket, -1);
	else
		unlink_from_replica(control, ticket);
	ticket->state = TICKET_FREE;
	ticket->next = control->free_ticket;
	control->free_ticket = index_of(control, ticket);
	control->used--;
}

/* The ticket that an event names; NULL for one that was given back already (a cancel that crossed a refusal). */
static struct ticket *ticket_of(struct control *control, const struct event *event)
{
	if (event->ticket >= control->ticket_count)
		return NULL;
	struct ticket *ticket = &control->tickets[event->ticket];
	return ticket->state != TICKET_FREE && ticket->request == event->request ? ticket : NULL;
}

/* ---- prediction ---- */

/* When the first of the requests in flight ends: they share the engine, so the one with the least left takes that times their number. */
static int64_t first_completion_ns(const struct control *control, const struct replica *replica)
{
	int64_t least_ns = NS_NEVER;
	for (uint32_t i = replica->first; i != CONTROL_TICKET_NONE; i = control->tickets[i].next) {
		const struct ticket *ticket = &control->tickets[i];
		uint32_t left = ticket->output_tokens > ticket->produced ? ticket->output_tokens - ticket->produced : 1;
		int64_t left_ns = predict_decode_share_ns(&replica->rates, left, replica->in_flight, replica->reserved_cells);
		if (ticket->state == TICKET_DISPATCHED)
			left_ns += predict_prefill_ns(&replica->rates, ticket->prompt_tokens, replica->in_flight);
		least_ns = min_ll(least_ns, left_ns);
	}
	return least_ns == NS_NEVER ? 0 : least_ns * replica->in_flight;
}

static int64_t cold_start_rest_ns(const struct control *control, const struct pool *pool, const struct replica *replica)
{
	if (replica->state == REPLICA_READY)
		return 0;
	int64_t elapsed_ns = control->now_ns - replica->starting_since_ns;
	return max_ll(pool->cold_start_ns - elapsed_ns, 100 * NS_PER_MS);
}

static bool has_credit(const struct replica *replica, uint32_t cells)
{
	if (replica->state != REPLICA_READY || replica->in_flight >= replica->sequences)
		return false;
	return replica->in_flight == 0 || replica->cells == 0 || replica->reserved_cells + cells <= replica->cells;
}

/* Engine time of everything queued at this class or before it. */
static int64_t queued_work_ns(const struct pool *pool, const struct replica *replica, uint32_t class)
{
	int64_t work_ns = 0;
	uint32_t sequences = replica->sequences ? replica->sequences : 1;
	for (uint32_t c = 0; c <= class; c++) {
		work_ns += (int64_t)pool->queued_prompt_tokens[c] * replica->rates.prefill_ns;
		work_ns += predict_decode_share_ns(&replica->rates,
		                                   (uint32_t)min_ll((long long)pool->queued_output_tokens[c], UINT32_MAX),
		                                   sequences, replica->cells / 2);
	}
	return work_ns;
}

struct forecast {
	int64_t wait_ns;        /* until a credit; NS_NEVER when no replica is up or coming */
	int64_t first_token_ns; /* from now, scaled by the learned ratio */
};

/* The best replica's forecast for a request that joins the queue now. */
static struct forecast forecast_for(const struct control *control, const struct pool *pool, uint32_t prompt_tokens,
                                    uint32_t output_tokens, uint32_t class)
{
	struct forecast best = { NS_NEVER, NS_NEVER };
	double ratio = predict_ratio_p95(&pool->ratio);
	uint32_t usable = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		usable += control->replicas[pool->first_replica + i].state != REPLICA_DOWN;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		if (replica->state == REPLICA_DOWN)
			continue;
		int64_t wait_ns = cold_start_rest_ns(control, pool, replica) + queued_work_ns(pool, replica, class) / usable;
		if (replica->state == REPLICA_READY && !has_credit(replica, prompt_tokens + output_tokens))
			wait_ns += first_completion_ns(control, replica);
		int64_t prefill_ns =
			predict_prefill_ns(&replica->rates, prompt_tokens + replica->prefill_tokens, replica->in_flight);
		if (wait_ns + prefill_ns < best.first_token_ns)
			best = (struct forecast){ wait_ns, wait_ns + prefill_ns };
	}
	if (best.wait_ns == NS_NEVER)
		return best;
	return (struct forecast){ (int64_t)((double)best.wait_ns * ratio), (int64_t)((double)best.first_token_ns * ratio) };
}

/* ---- events ---- */

static void refuse_arrival(struct control *control, const struct event *event, enum refusal refusal,
                           const struct forecast *forecast, int64_t over_ns)
{
	int64_t retry_ns = min_ll(max_ll(over_ns, RETRY_AFTER_MIN_NS), RETRY_AFTER_MAX_NS);
	/* Clients that are told the same moment come back together: spread them over a quarter. */
	retry_ns += (int64_t)random_below(&control->random, (uint64_t)retry_ns / 4 + 1);
	give_order(control, &(struct order){
							.kind = ORDER_REFUSE,
							.request = event->request,
							.ticket = CONTROL_TICKET_NONE,
							.refusal = refusal,
							.retry_after_ns = retry_ns,
							.predicted_ns = forecast->first_token_ns == NS_NEVER ? 0 : forecast->first_token_ns,
						});
}

static void take_ticket(struct control *control, const struct event *event, const struct forecast *forecast)
{
	struct pool *pool = &control->pools[event->pool];
	uint32_t index = control->free_ticket;
	struct ticket *ticket = &control->tickets[index];
	control->free_ticket = ticket->next;
	control->used++;
	uint32_t ahead = pool->queued;
	*ticket = (struct ticket){
		.request = event->request,
		.state = TICKET_PREPARING,
		.pool = event->pool,
		.class = event->class,
		.prompt_tokens = event->prompt_tokens,
		.output_tokens = event->output_tokens,
		.arrived_ns = control->now_ns,
		.deadline_ns = event->deadline_ns,
		.predicted_ns = forecast->first_token_ns,
	};
	count_queued(pool, ticket, 1);
	ticket->expiry.key = min_ll(control->now_ns + pool->settings.wait_max_ns, event->deadline_ns);
	MUST(heap_push(&control->expiries, &ticket->expiry) == OK);
	give_order(control, &(struct order){
							.kind = ORDER_PREPARE,
							.request = event->request,
							.ticket = index,
							.predicted_ns = forecast->first_token_ns,
							.queue_ahead = ahead,
						});
}

static void on_arrive(struct control *control, const struct event *event)
{
	MUST(event->pool < control->pool_count && event->class < CLASS_COUNT);
	struct pool *pool = &control->pools[event->pool];
	struct forecast forecast = forecast_for(control, pool, event->prompt_tokens, event->output_tokens, event->class);
	int64_t wait_max_ns = pool->settings.wait_max_ns;
	if (forecast.wait_ns == NS_NEVER)
		refuse_arrival(control, event, REFUSAL_NO_REPLICA, &forecast, pool->cold_start_ns);
	else if (forecast.wait_ns > wait_max_ns)
		refuse_arrival(control, event, REFUSAL_HOPELESS, &forecast, forecast.wait_ns - wait_max_ns);
	else if (control->now_ns + forecast.first_token_ns > event->deadline_ns)
		refuse_arrival(control, event, REFUSAL_HOPELESS, &forecast,
		               control->now_ns + forecast.first_token_ns - event->deadline_ns);
	else if (pool->queued >= pool->settings.queue_max || control->free_ticket == CONTROL_TICKET_NONE)
		refuse_arrival(control, event, REFUSAL_QUEUE_FULL, &forecast, forecast.wait_ns / 2);
	else
		take_ticket(control, event, &forecast);
}

static void on_prepared(struct control *control, struct ticket *ticket, const struct event *event)
{
	struct pool *pool = &control->pools[ticket->pool];
	if (ticket->state != TICKET_PREPARING)
		return;
	count_queued(pool, ticket, -1);
	if (event->prompt_tokens)
		ticket->prompt_tokens = event->prompt_tokens;
	count_queued(pool, ticket, 1);
	ticket->state = TICKET_QUEUED;
	ticket->queue.key = ((int64_t)ticket->class << CLASS_SHIFT) + ticket->deadline_ns;
	MUST(ticket->deadline_ns < INT64_C(1) << CLASS_SHIFT);
	MUST(heap_push(&pool->queue, &ticket->queue) == OK);
}

static void on_first_token(struct control *control, struct ticket *ticket)
{
	if (ticket->state != TICKET_DISPATCHED)
		return;
	control->replicas[ticket->replica].prefill_tokens -= ticket->prompt_tokens;
	ticket->state = TICKET_STREAMING;
	heap_remove(&control->expiries, &ticket->expiry);
	predict_ratio_add(&control->pools[ticket->pool].ratio, control->now_ns - ticket->arrived_ns, ticket->predicted_ns);
}

static void on_load(struct control *control, const struct event *event)
{
	MUST(event->replica < control->replica_count);
	struct replica *replica = &control->replicas[event->replica];
	struct pool *pool = &control->pools[replica->pool];
	enum replica_state before = replica->state;
	replica->state = (enum replica_state)event->state;
	replica->percent = event->percent;
	if (replica->state == REPLICA_STARTING && before != REPLICA_STARTING)
		replica->starting_since_ns = control->now_ns;
	if (replica->state != REPLICA_READY)
		return;
	if (before == REPLICA_STARTING)
		pool->cold_start_ns = control->now_ns - replica->starting_since_ns;
	replica->sequences = event->sequences;
	replica->cells = event->cells;
	replica->rates = event->rates;
}

static void take_event(struct control *control, const struct event *event)
{
	struct ticket *ticket;
	switch (event->kind) {
	case EVENT_ARRIVE:
		on_arrive(control, event);
		return;
	case EVENT_LOAD:
		on_load(control, event);
		return;
	case EVENT_TIMER:
	case EVENT_KINDS:
		return;
	default:
		ticket = ticket_of(control, event);
	}
	if (!ticket)
		return;
	if (event->kind == EVENT_PREPARED)
		on_prepared(control, ticket, event);
	else if (event->kind == EVENT_FIRST_TOKEN)
		on_first_token(control, ticket);
	else if (event->kind == EVENT_PROGRESS)
		ticket->produced = event->output_tokens;
	else
		release(control, ticket);
}

/* ---- what follows ---- */

/* The replica with a credit and the least prompt work in front; equal ones by the seeded generator. NULL when none has a credit. */
static struct replica *choose_replica(struct control *control, const struct pool *pool, const struct ticket *ticket)
{
	struct replica *chosen = NULL;
	int64_t chosen_ns = NS_NEVER;
	uint64_t ties = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		struct replica *replica = &control->replicas[pool->first_replica + i];
		if (!has_credit(replica, reserved_cells(ticket)))
			continue;
		int64_t first_ns =
			predict_prefill_ns(&replica->rates, ticket->prompt_tokens + replica->prefill_tokens, replica->in_flight);
		ties = first_ns == chosen_ns ? ties + 1 : 1;
		if (first_ns < chosen_ns || (first_ns == chosen_ns && random_below(&control->random, ties) == 0)) {
			chosen = replica;
			chosen_ns = first_ns;
		}
	}
	return chosen;
}

static void dispatch(struct control *control, struct pool *pool)
{
	struct heap_node *node;
	while (has_room(control) && (node = heap_peek(&pool->queue))) {
		struct ticket *ticket = container_of(node, struct ticket, queue);
		struct replica *replica = choose_replica(control, pool, ticket);
		if (!replica)
			return;
		heap_remove(&pool->queue, node);
		count_queued(pool, ticket, -1);
		ticket->state = TICKET_DISPATCHED;
		link_to_replica(control, ticket, (uint32_t)(replica - control->replicas));
		heap_remove(&control->expiries, &ticket->expiry);
		ticket->expiry.key = ticket->deadline_ns;
		MUST(heap_push(&control->expiries, &ticket->expiry) == OK);
		give_order(control, &(struct order){
								.kind = ORDER_DISPATCH,
								.request = ticket->request,
								.ticket = index_of(control, ticket),
								.replica = ticket->replica,
							});
	}
}

static void expire(struct control *control)
{
	struct heap_node *node;
	while (has_room(control) && (node = heap_peek(&control->expiries)) && node->key <= control->now_ns) {
		struct ticket *ticket = container_of(node, struct ticket, expiry);
		struct order order = { .request = ticket->request, .ticket = index_of(control, ticket) };
		heap_remove(&control->expiries, node);
		if (ticket->state == TICKET_DISPATCHED) {
			order.kind = ORDER_CANCEL;
			order.refusal = REFUSAL_DEADLINE;
		} else {
			const struct pool *pool = &control->pools[ticket->pool];
			struct forecast forecast =
				forecast_for(control, pool, ticket->prompt_tokens, ticket->output_tokens, ticket->class);
			order.kind = ORDER_REFUSE;
			order.refusal = REFUSAL_EXPIRED;
			order.retry_after_ns = forecast.wait_ns == NS_NEVER ? pool->cold_start_ns : forecast.wait_ns;
			order.retry_after_ns = min_ll(max_ll(order.retry_after_ns, RETRY_AFTER_MIN_NS), RETRY_AFTER_MAX_NS);
			release(control, ticket);
		}
		give_order(control, &order);
	}
}

size_t control_step(struct control *control, int64_t now_ns, const struct event *events, size_t count,
                    struct order *orders, size_t cap, int64_t *next_deadline_ns)
{
	MUST(cap >= 2 * count + CONTROL_ORDERS_EXTRA);
	MUST(now_ns >= control->now_ns);
	control->now_ns = now_ns;
	control->orders = orders;
	control->order_count = 0;
	control->order_cap = cap;
	for (size_t i = 0; i < count; i++)
		take_event(control, &events[i]);
	for (uint32_t i = 0; i < control->pool_count; i++)
		dispatch(control, &control->pools[i]);
	expire(control);
	struct heap_node *next = heap_peek(&control->expiries);
	*next_deadline_ns = next ? next->key : NS_NEVER;
	if (!has_room(control))
		*next_deadline_ns = now_ns;
	return control->order_count;
}

void control_view_pool(const struct control *control, uint32_t pool_index, struct control_pool_view *out)
{
	const struct pool *pool = &control->pools[pool_index];
	struct forecast forecast = forecast_for(control, pool, 0, 0, CLASS_STANDARD);
	*out = (struct control_pool_view){
		.queued = pool->queued,
		.in_flight = pool->in_flight,
		.predicted_wait_ns = forecast.wait_ns == NS_NEVER ? 0 : forecast.wait_ns,
		.ratio_p95 = predict_ratio_p95(&pool->ratio),
	};
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		out->replicas_ready += control->replicas[pool->first_replica + i].state == REPLICA_READY;
}

uint32_t control_tickets(const struct control *control)
{
	return control->used;
}
