/* What happened and what follows: each event changes the accounts (control_accounts.c); then whatever has a credit is dispatched and
 * whatever ran out of time is refused or cancelled. */
#include "policy/control.h"

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

#define RETRY_AFTER_MIN_NS NS_PER_S
#define RETRY_AFTER_MAX_NS (300 * NS_PER_S)
/* One that was tried before and finds no replica looks again after this. */
#define RESTED_AGAIN_NS (10 * NS_PER_MS)

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

/* Clients that are told the same moment come back together: spread them over a quarter. */
static int64_t retry_after_ns(struct control *control, int64_t wait_ns)
{
	int64_t retry_ns = min_ll(max_ll(wait_ns, RETRY_AFTER_MIN_NS), RETRY_AFTER_MAX_NS);
	return retry_ns + (int64_t)random_below(&control->random, (uint64_t)retry_ns / 4 + 1);
}

static void refuse_arrival(struct control *control, const struct event *event, enum refusal refusal,
                           int64_t promised_ns, int64_t over_ns)
{
	give_order(control, &(struct order){
							.kind = ORDER_REFUSE,
							.request = event->request,
							.ticket = CONTROL_TICKET_NONE,
							.refusal = refusal,
							.retry_after_ns = retry_after_ns(control, over_ns),
							.predicted_ns = promised_ns == NS_NEVER ? 0 : promised_ns,
						});
}

/* Refuses one that waits, and gives its ticket back. */
void refuse_ticket(struct control *control, struct ticket *ticket, enum refusal refusal)
{
	const struct pool *pool = &control->pools[ticket->pool];
	struct order order = {
		.kind = ORDER_REFUSE,
		.request = ticket->request,
		.ticket = ticket_index(control, ticket),
		.refusal = refusal,
	};
	const uint32_t prompt_tokens = ticket->prompt_tokens;
	const uint32_t output_tokens = ticket->output_tokens;
	const uint32_t class = ticket->class;
	ticket_release(control, ticket);
	struct forecast forecast = forecast_request(control, pool, prompt_tokens, output_tokens, class);
	int64_t wait_ns = forecast_promised_ns(control, pool, class, forecast.wait_ns);
	order.retry_after_ns = retry_after_ns(control, wait_ns == NS_NEVER ? pool->cold_start_ns : wait_ns);
	if (forecast.first_token_ns != NS_NEVER)
		order.predicted_ns = forecast_promised_ns(control, pool, class, forecast.first_token_ns);
	give_order(control, &order);
}

/* ---- events ---- */

/* What admission holds against a pool's bounds: how long a request may have to wait, and until its first token. */
struct promise {
	int64_t wait_ns;
	int64_t first_token_ns;
};

static struct promise promise_of(const struct control *control, const struct pool *pool, uint32_t class,
                                 const struct forecast *forecast)
{
	int64_t wait_ns = forecast_promised_ns(control, pool, class, forecast->wait_ns);
	int64_t first_ns = forecast_promised_ns(control, pool, class, forecast->first_token_ns);
	return (struct promise){ max_ll(wait_ns, forecast->wait_bound_ns),
		                     max_ll(first_ns, forecast->first_token_bound_ns) };
}

/* An opaque pool that has a place at a replica which is idle, or of which nothing is known yet: it is asked, whatever the forecast says, or it would never be
 * known anew. */
static bool must_be_tried(const struct control *control, const struct pool *pool)
{
	for (uint32_t i = 0; i < pool->settings.replica_count && pool->settings.is_opaque; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		bool is_unknown = replica->in_flight == 0 || !opaque_is_known(&replica->opaque);
		if (is_unknown && pool->queued_count == 0 && replica_credits(control, replica, 0) > 0)
			return true;
	}
	return false;
}

/* When the first of a pool's replicas may be probed, where each one's circuit is open: nobody need wait to see one fail. 0 when one of them works. */
static int64_t all_open_until_ns(const struct control *control, const struct pool *pool)
{
	int64_t until_ns = NS_NEVER;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct health *health = &control->replicas[pool->first_replica + i].health;
		if (health->state != HEALTH_OPEN || control->now_ns >= health->open_until_ns)
			return 0;
		until_ns = min_ll(until_ns, health->open_until_ns);
	}
	return until_ns;
}

/* Why not to take it, and then by how much it is over; REFUSAL_NONE when nothing speaks against it. */
static enum refusal weigh(const struct control *control, const struct pool *pool, const struct event *event,
                          const struct promise *promise, int64_t *over_ns)
{
	if (promise->wait_ns == NS_NEVER) {
		*over_ns = pool->cold_start_ns;
		return REFUSAL_NO_REPLICA;
	}
	int64_t deadline_ns = max_ll(event->deadline_ns, 0) - control->now_ns;
	int64_t open_until_ns = all_open_until_ns(control, pool);
	if (open_until_ns) {
		*over_ns = open_until_ns - control->now_ns;
		return REFUSAL_NO_REPLICA;
	}
	if (must_be_tried(control, pool))
		return REFUSAL_NONE;
	*over_ns = max_ll(promise->wait_ns - pool->settings.wait_max_ns, promise->first_token_ns - deadline_ns);
	return *over_ns > 0 ? REFUSAL_HOPELESS : REFUSAL_NONE;
}

/* A forecast that rests on nothing yet; what becomes of it says nothing of later ones. */
static bool is_guess(const struct control *control, const struct pool *pool)
{
	for (uint32_t i = 0; i < pool->settings.replica_count && pool->settings.is_opaque; i++) {
		if (!opaque_is_known(&control->replicas[pool->first_replica + i].opaque))
			return true;
	}
	return false;
}

static void on_arrive(struct control *control, const struct event *event)
{
	MUST(event->pool < control->pool_count && event->class < CLASS_COUNT);
	struct pool *pool = &control->pools[event->pool];
	predict_ratio_age(&pool->ratios[event->class], control->now_ns);
	const struct forecast forecast =
		forecast_request(control, pool, event->prompt_tokens, event->output_tokens, event->class);
	const struct promise promise = promise_of(control, pool, event->class, &forecast);
	const uint32_t ahead = pool->queued_count;
	int64_t over_ns = 0;
	enum refusal refusal = weigh(control, pool, event, &promise, &over_ns);
	if (!refusal && pool->queued_count >= pool->settings.queue_max) {
		struct ticket *displaced = ticket_to_displace(control, pool, event->class);
		if (displaced)
			refuse_ticket(control, displaced, REFUSAL_QUEUE_FULL);
		else
			refusal = REFUSAL_QUEUE_FULL;
		over_ns = promise.wait_ns / 2;
	}
	if (refusal) {
		refuse_arrival(control, event, refusal, promise.first_token_ns, over_ns);
		return;
	}
	struct ticket *ticket = ticket_take(control, event);
	ticket->forecast = forecast;
	ticket->is_guess = is_guess(control, pool);
	give_order(control, &(struct order){
							.kind = ORDER_PREPARE,
							.request = event->request,
							.ticket = ticket_index(control, ticket),
							.predicted_ns = promise.first_token_ns,
							.queue_ahead = ahead,
						});
}

/* What became of the forecast. Being prepared later than its turn came is not the engine's doing, so it is left out. */
static void learn_ratio(struct control *control, const struct ticket *ticket)
{
	/* Nor do failed attempts, or an answer that comes whole: its first token is its last. */
	if (ticket->is_guess || ticket->attempts || ticket->is_whole)
		return;
	int64_t turn_ns = ticket->arrived_ns + ticket->forecast.wait_ns;
	int64_t late_ns = max_ll(ticket->prepared_ns - turn_ns, 0);
	int64_t actual_ns = control->now_ns - ticket->arrived_ns - late_ns;
	predict_ratio_add(&control->pools[ticket->pool].ratios[ticket->class], control->now_ns, actual_ns,
	                  ticket->forecast.first_token_ns);
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
	if (replica->state != REPLICA_READY)
		return;
	if (before == REPLICA_STARTING)
		pool->cold_start_ns = control->now_ns - replica->starting_since_ns;
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
		ticket_release(control, ticket);
	}
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
	struct heap_node *node;
	while (has_room(control) && (node = heap_peek(&pool->queue))) {
		struct ticket *ticket = container_of(node, struct ticket, queue);
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
			heap_remove(&pool->queue, node);
			ticket->state = TICKET_RESTING;
			ticket->queue.key = max_ll(retry_due_ns(control, ticket), control->now_ns + RESTED_AGAIN_NS);
			MUST(heap_push(&control->resting, &ticket->queue) == OK);
			continue;
		}
		/* Work whose first token cannot be in time would only make the next one late, too. */
		if (is_prediction_good(pool, replica) &&
		    choice_first_token_ns(control, replica, ticket) > ticket->deadline_ns - control->now_ns) {
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
		if (ticket->state != TICKET_PREPARING && was_late)
			learn_ratio(control, ticket);
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
	for (uint32_t i = 0; i < pool->settings.replica_count && pool->queue.count; i++) {
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
	int64_t next_ns = expiry ? expiry->key : NS_NEVER;
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
	*next_deadline_ns = next_deadline(control);
	if (!has_room(control))
		*next_deadline_ns = now_ns;
	return control->order_count;
}

/* ---- views ---- */

void control_view_pool(const struct control *control, uint32_t pool_index, struct control_pool_view *out)
{
	MUST(pool_index < control->pool_count);
	const struct pool *pool = &control->pools[pool_index];
	const struct forecast forecast = forecast_request(control, pool, 0, 0, CLASS_STANDARD);
	*out = (struct control_pool_view){
		.queued = pool->queued_count,
		.in_flight = pool->in_flight,
		.predicted_wait_ns = forecast_promised_ns(control, pool, CLASS_STANDARD, forecast.wait_ns),
		.ratio_p95 = 1,
	};
	for (uint32_t i = 0; i < CLASS_COUNT; i++) {
		double ratio = predict_ratio_p95(&pool->ratios[i]);
		out->ratio_p95 = ratio > out->ratio_p95 ? ratio : out->ratio_p95;
	}
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		out->replicas_ready += control->replicas[pool->first_replica + i].state == REPLICA_READY;
}

void control_view_replica(const struct control *control, uint32_t replica_index, struct control_replica_view *out)
{
	MUST(replica_index < control->replica_count);
	const struct replica *replica = &control->replicas[replica_index];
	*out = (struct control_replica_view){
		.in_flight = replica->in_flight,
		.limit = replica->sequences,
		.health = replica->health.state,
		.first_token_ns = predict_prefill_ns(&replica->rates, replica_work(replica, 1000, replica->prefill_tokens),
		                                     replica->in_flight),
	};
}
