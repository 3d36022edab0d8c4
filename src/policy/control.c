/* What happened and what follows: each event changes the accounts (control_accounts.c); then whatever has a credit is dispatched and
 * whatever ran out of time is refused or cancelled. */
#include "policy/control.h"

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

/* One that was tried before and finds no replica looks again after this. */
#define RESTED_AGAIN_NS (10 * NS_PER_MS)

/* ---- orders ---- */

void give_order(struct control *control, const struct order *order)
{
	MUST(control->order_count < control->order_cap);
	control->orders[control->order_count++] = *order;
}

bool has_room(const struct control *control)
{
	return control->order_count < control->order_cap;
}

/* ---- events ---- */

/* What became of the forecast. Being prepared later than its turn came is not the engine's doing, so it is left out. */
static void learn_ratio(struct control *control, const struct ticket *ticket)
{
	/* Nor do failed attempts, or an answer that comes whole: its first token is its last. */
	if (ticket->is_guess || ticket->attempts || ticket->is_whole)
		return;
	int64_t turn_ns = ticket->arrived_ns + ticket->forecast.wait_ns;
	int64_t late_ns = max_ll(ticket->prepared_ns - turn_ns, 0);
	int64_t actual_ns = control->now_ns - ticket->arrived_ns - late_ns;
	struct pool *pool = &control->pools[ticket->pool];
	int64_t forecast_ns = ticket->forecast.first_token_ns;
	predict_ratio_add(&pool->ratios[ticket->class], control->now_ns, actual_ns, forecast_ns);
	predict_middle_add(&pool->middles[forecast_kind(&ticket->forecast, ticket->class)], actual_ns, forecast_ns);
}

/* Whether it came as its route promises; a prompt that takes longer by itself says nothing of the gate. */
static void judge(struct control *control, const struct ticket *ticket, bool has_come)
{
	struct route *route = &control->routes[ticket->route];
	int64_t ttft_ns = route->settings.ttft_ns;
	if (!ttft_ns || ticket->is_whole || ticket->attempts || ticket->forecast.own_ns > ttft_ns / 2)
		return;
	gate_note(route, has_come && control->now_ns <= ticket->promise_ns);
}

static void on_load(struct control *control, const struct event *event)
{
	MUST(event->replica < control->replica_count && event->state < REPLICA_STATES);
	struct replica *replica = &control->replicas[event->replica];
	struct pool *pool = &control->pools[replica->pool];
	enum replica_state before = replica->state;
	replica->state = (enum replica_state)event->state;
	replica->percent = event->percent;
	if (replica->state == REPLICA_STARTING && before != REPLICA_STARTING)
		replica->starting_since_ns = control->now_ns;
	if (replica->state != REPLICA_READY) {
		replica->has_backlog = false;
		return;
	}
	if (before == REPLICA_STARTING) {
		pool->cold_start_ns = control->now_ns - replica->starting_since_ns;
		demand_note_start(&pool->demand, pool->cold_start_ns);
	}
	if (pool->settings.is_opaque) {
		replica->sequences = opaque_limit(&replica->opaque);
		replica->rates = opaque_rates(&replica->opaque);
		replica->ahead_permille = opaque_ahead_permille(&replica->opaque);
		replica->foreign = event->running > replica->in_flight ? event->running - replica->in_flight : 0;
		return;
	}
	replica->sequences = event->sequences;
	replica->cells = event->cells;
	replica->rates = predict_rates_bounded(&event->rates);
	replica_note_backlog(control, replica, event->backlog_tokens);
}

/* Of a request that has a ticket. */
static void take_ticket_event(struct control *control, struct ticket *ticket, const struct event *event)
{
	switch (event->kind) {
	case EVENT_PREPARED:
		if (ticket->state == TICKET_PREPARING)
			ticket_enqueue(control, ticket, event->prompt_tokens);
		return;
	case EVENT_FIRST_TOKEN:
		if (ticket->state != TICKET_DISPATCHED)
			return;
		/* One that ran out of time has been learned from. */
		if (ticket->expiry.place)
			learn_ratio(control, ticket);
		replica_note_first_token(control, ticket);
		judge(control, ticket, true);
		ticket_stream(control, ticket);
		return;
	case EVENT_RETRY:
		if (ticket->state == TICKET_DISPATCHED)
			retry_or_refuse(control, ticket, event);
		return;
	case EVENT_PROGRESS:
		ticket->produced = event->output_tokens;
		return;
	default: /* DONE, FAILED, GONE */
		if (event->kind == EVENT_FAILED && event->failure)
			replica_note_failure(control, ticket, event);
		else
			replica_note_end(control, ticket, event);
		settle_rates(control, ticket, (uint64_t)event->prompt_tokens + event->output_tokens);
		ticket_release(control, ticket);
	}
}

static void take_event(struct control *control, const struct event *event)
{
	struct ticket *ticket;
	switch (event->kind) {
	case EVENT_ARRIVE:
		take_arrival(control, event);
		return;
	case EVENT_LOAD:
		on_load(control, event);
		return;
	case EVENT_PRESSURE:
		MUST(event->route < control->route_count);
		control->routes[event->route].told_permille = event->permille;
		return;
	case EVENT_TIMER:
	case EVENT_KINDS:
		return;
	default:
		ticket = ticket_of(control, event);
		if (ticket)
			take_ticket_event(control, ticket, event);
	}
}

/* ---- what follows ---- */

/* A prediction that may be held against a deadline. What is known of an opaque one that is idle may be old: it is asked, or it would never be known anew. */
static bool is_prediction_good(const struct pool *pool, const struct replica *replica)
{
	return !pool->settings.is_opaque || (replica->in_flight > 0 && opaque_is_known(&replica->opaque));
}

static void dispatch(struct control *control, struct pool *pool)
{
	struct ticket *ticket;
	while (has_room(control) && (ticket = queue_next(control, pool))) {
		bool may_go = ticket->attempts == 0 || retry_has_budget(control);
		struct replica *replica = may_go ? choice_of_replica(control, pool, ticket) : NULL;
		if (!replica && ticket->attempts == 0)
			return;
		if (!may_go && control->now_ns >= ticket->budget_until_ns) {
			refuse_ticket(control, ticket, REFUSAL_ATTEMPTS);
			continue;
		}
		if (!replica) {
			/* It may not go where others may: it must not keep them waiting. */
			queue_unready(control, ticket);
			ticket->state = TICKET_RESTING;
			ticket->rest.key = max_ll(retry_due_ns(control, ticket), control->now_ns + RESTED_AGAIN_NS);
			MUST(heap_push(&control->resting, &ticket->rest) == OK);
			continue;
		}
		/* Work whose first token cannot be in time would only make the next one late, too. */
		int64_t left_ns = ticket->deadline_ns - control->now_ns;
		if (ticket->first_token_max_ns)
			left_ns = min_ll(left_ns, ticket->first_token_max_ns);
		if (is_prediction_good(pool, replica) && choice_first_token_ns(control, replica, ticket) > left_ns) {
			refuse_ticket(control, ticket, REFUSAL_HOPELESS);
			continue;
		}
		ticket_dispatch(control, ticket, replica);
		give_order(control, &(struct order){
								.kind = ORDER_DISPATCH,
								.request = ticket->request,
								.ticket = ticket_index(control, ticket),
								.replica = ticket->replica,
							});
	}
}

static void expire(struct control *control)
{
	struct heap_node *node;
	while (has_room(control) && (node = heap_peek(&control->expiries)) && node->key <= control->now_ns) {
		struct ticket *ticket = container_of(node, struct ticket, expiry);
		/* Its first token takes longer than this: the forecast was at least so wrong. */
		bool was_late = control->now_ns - ticket->arrived_ns > ticket->forecast.first_token_ns;
		if (ticket->state != TICKET_PREPARING && was_late) {
			learn_ratio(control, ticket);
			judge(control, ticket, false);
		}
		if (ticket->state != TICKET_DISPATCHED) {
			refuse_ticket(control, ticket, REFUSAL_EXPIRED);
			continue;
		}
		heap_remove(&control->expiries, node);
		give_order(control, &(struct order){
								.kind = ORDER_CANCEL,
								.request = ticket->request,
								.ticket = ticket_index(control, ticket),
								.refusal = REFUSAL_DEADLINE,
							});
	}
}

/* When a pool that has requests waiting may send one to a replica that it must not ask now. */
static int64_t next_ready_ns(const struct control *control, const struct pool *pool)
{
	int64_t next_ns = NS_NEVER;
	for (uint32_t i = 0; i < pool->settings.replica_count && pool->turns.count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		int64_t ready_ns = health_ready_ns(&replica->health, control->now_ns);
		if (ready_ns > control->now_ns)
			next_ns = min_ll(next_ns, ready_ns);
	}
	return next_ns;
}

static int64_t next_deadline(const struct control *control)
{
	const struct heap_node *expiry = heap_peek(&control->expiries);
	const struct heap_node *rested = heap_peek(&control->resting);
	int64_t next_ns = min_ll(expiry ? expiry->key : NS_NEVER, control->tick_ns);
	if (rested)
		next_ns = min_ll(next_ns, rested->key);
	for (uint32_t i = 0; i < control->pool_count; i++)
		next_ns = min_ll(next_ns, next_ready_ns(control, &control->pools[i]));
	return next_ns;
}

size_t control_step(struct control *control, int64_t now_ns, const struct event *events, size_t count,
                    struct order *orders, size_t cap, int64_t *next_deadline_ns)
{
	MUST(cap >= 2 * count + CONTROL_ORDERS_EXTRA);
	MUST(now_ns >= control->now_ns);
	control->now_ns = now_ns;
	control->orders = orders;
	control->order_count = 0;
	control->order_cap = 2 * count + CONTROL_ORDERS_EXTRA;
	for (size_t i = 0; i < count; i++)
		take_event(control, &events[i]);
	retry_rested(control);
	for (uint32_t i = 0; i < control->pool_count; i++)
		dispatch(control, &control->pools[i]);
	expire(control);
	tick(control);
	*next_deadline_ns = next_deadline(control);
	if (!has_room(control))
		*next_deadline_ns = now_ns;
	return control->order_count;
}
