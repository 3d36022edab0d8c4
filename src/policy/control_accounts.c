/* Who holds what: tickets and their replica (their place in the queue: control_queue.c). Every count that goes up here goes down here. */
#include "policy/control_state.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"

/* Cold start of a pool that has not had one yet. */
#define COLD_START_NS (3 * NS_PER_S)
#define DEADLINE_MAX_NS ((INT64_C(1) << 59) - 1)

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
	control->routes = calloc(max_ll(control->route_count, 1), sizeof(*control->routes));
	control->tenants = calloc(control->tenant_count, sizeof(*control->tenants));
	if (!control->pools || !control->replicas || !control->tickets || !control->routes || !control->tenants)
		return ERROR_MEMORY;
	for (uint32_t i = 0; i < settings->route_count; i++)
		control->routes[i].settings = settings->routes[i];
	for (uint32_t i = 0; i < control->route_count; i++)
		control->routes[i].gate = GATE_FIRST;
	enum error error = heap_reserve(&control->resting, control->ticket_count);
	return error ? error : heap_reserve(&control->expiries, control->ticket_count);
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
		for (uint32_t r = 0; r < pool->settings.replica_count; r++, replica++) {
			control->replicas[replica] = (struct replica){
				.pool = i, .first = CONTROL_TICKET_NONE, .rates = predict_rates_unknown, .ahead_permille = 1000
			};
			opaque_init(&control->replicas[replica].opaque, pool->settings.concurrency);
		}
		error = queue_init(control, pool);
	}
	for (uint32_t i = 0; i < control->ticket_count; i++)
		control->tickets[i].next = i + 1 < control->ticket_count ? i + 1 : CONTROL_TICKET_NONE;
	if (control->ticket_count == 0)
		control->free_ticket = CONTROL_TICKET_NONE;
	return error;
}

enum error control_new(const struct control_settings *settings, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	*out = NULL;
	if (!control)
		return ERROR_MEMORY;
	control->pool_count = settings->pool_count;
	control->in_flight_max = settings->in_flight_max;
	/* One that is asked for none still has one: of no promise. */
	control->route_count = (uint32_t)max_ll(settings->route_count, 1);
	control->tenant_count = (uint32_t)max_ll(settings->tenant_count, 1);
	random_seed(&control->random, settings->seed);
	enum error error = make_tables(control, settings);
	if (!error)
		error = fill_tables(control, settings);
	if (!error)
		control->tick_ns = tick_first_ns(control);
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
		queue_fini(&control->pools[i]);
	heap_fini(&control->expiries);
	heap_fini(&control->resting);
	free(control->pools);
	free(control->replicas);
	free(control->tickets);
	free(control->routes);
	free(control->tenants);
	free(control);
}

/* ---- counts ---- */

uint32_t ticket_index(const struct control *control, const struct ticket *ticket)
{
	return (uint32_t)(ticket - control->tickets);
}

uint64_t ticket_cells(const struct ticket *ticket)
{
	return (uint64_t)ticket->prompt_tokens + ticket->output_tokens;
}

uint32_t ticket_known_tokens(const struct control *control, const struct ticket *ticket, uint32_t replica)
{
	uint32_t number = replica - control->pools[ticket->pool].first_replica;
	bool is_known = number < 64 && (ticket->known_replicas >> number & 1);
	return is_known ? (uint32_t)min_ll(ticket->known_tokens, ticket->prompt_tokens) : 0;
}

static void list_push(struct control *control, uint32_t *first, struct ticket *ticket)
{
	ticket->previous = CONTROL_TICKET_NONE;
	ticket->next = *first;
	if (*first != CONTROL_TICKET_NONE)
		control->tickets[*first].previous = ticket_index(control, ticket);
	*first = ticket_index(control, ticket);
}

static void list_remove(struct control *control, uint32_t *first, struct ticket *ticket)
{
	if (ticket->previous == CONTROL_TICKET_NONE)
		*first = ticket->next;
	else
		control->tickets[ticket->previous].next = ticket->next;
	if (ticket->next != CONTROL_TICKET_NONE)
		control->tickets[ticket->next].previous = ticket->previous;
}

static void link_to_replica(struct control *control, struct ticket *ticket, struct replica *replica)
{
	ticket->replica = (uint32_t)(replica - control->replicas);
	list_push(control, &replica->first, ticket);
	if (replica->in_flight == 0)
		replica->busy_since_ns = control->now_ns;
	replica->in_flight++;
	replica->reserved_cells += ticket_cells(ticket);
	replica->backlog_tokens = replica_backlog(control, replica) + ticket->prompt_tokens;
	replica->backlog_at_ns = control->now_ns;
	replica->prefill_tokens += ticket->prompt_tokens;
	control->pools[ticket->pool].in_flight++;
	control->in_flight++;
}

static void unlink_from_replica(struct control *control, struct ticket *ticket)
{
	struct replica *replica = &control->replicas[ticket->replica];
	MUST(replica->in_flight > 0);
	list_remove(control, &replica->first, ticket);
	replica->in_flight--;
	if (replica->in_flight == 0)
		control->pools[ticket->pool].busy_ns += control->now_ns - replica->busy_since_ns;
	replica->reserved_cells -= ticket_cells(ticket);
	if (ticket->state == TICKET_DISPATCHED)
		replica->prefill_tokens -= ticket->prompt_tokens;
	control->pools[ticket->pool].in_flight--;
	control->in_flight--;
}

int64_t pool_busy_ns(const struct control *control, const struct pool *pool)
{
	int64_t busy_ns = pool->busy_ns;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		busy_ns += replica->in_flight ? control->now_ns - replica->busy_since_ns : 0;
	}
	return busy_ns;
}

/* ---- a ticket's way ---- */

struct ticket *ticket_take(struct control *control, const struct event *event)
{
	struct pool *pool = &control->pools[event->pool];
	/* There are as many as may wait and be in flight. */
	MUST(control->free_ticket != CONTROL_TICKET_NONE);
	struct ticket *ticket = &control->tickets[control->free_ticket];
	control->free_ticket = ticket->next;
	control->used++;
	int64_t wait_max_ns = max_ll(pool->settings.wait_max_ns, 0);
	*ticket = (struct ticket){
		.request = event->request,
		.state = TICKET_PREPARING,
		.pool = event->pool,
		.class = event->class,
		.route = event->route,
		.tenant = event->tenant,
		.prompt_tokens = event->prompt_tokens,
		.output_tokens = event->output_tokens,
		.arrived_ns = control->now_ns,
		.deadline_ns = min_ll(max_ll(event->deadline_ns, 0), DEADLINE_MAX_NS),
		.first_token_max_ns = event->first_token_ns,
		.is_repeat = event->is_repeat,
		.is_whole = event->is_whole,
		.known_replicas = event->known_replicas,
		.known_tokens = event->known_tokens,
	};
	int64_t ttft_ns = control->routes[ticket->route].settings.ttft_ns;
	ticket->promise_ns = ttft_ns ? (event->begun_ns ? event->begun_ns : control->now_ns) + ttft_ns : NS_NEVER;
	ticket->order_ns = min_ll(ticket->promise_ns, ticket->deadline_ns);
	control->tenants[ticket->tenant].open++;
	queue_link(control, ticket);
	ticket->expiry.key =
		wait_max_ns > ticket->deadline_ns - control->now_ns ? ticket->deadline_ns : control->now_ns + wait_max_ns;
	MUST(heap_push(&control->expiries, &ticket->expiry) == OK);
	return ticket;
}

struct ticket *ticket_of(struct control *control, const struct event *event)
{
	if (event->ticket >= control->ticket_count)
		return NULL;
	struct ticket *ticket = &control->tickets[event->ticket];
	return ticket->state != TICKET_FREE && ticket->request == event->request ? ticket : NULL;
}

void ticket_enqueue(struct control *control, struct ticket *ticket, uint32_t prompt_tokens)
{
	if (prompt_tokens) {
		struct flow *flow = flow_of(control, ticket);
		flow->prompt_tokens = flow->prompt_tokens - ticket->prompt_tokens + prompt_tokens;
		ticket->prompt_tokens = prompt_tokens;
	}
	ticket->state = TICKET_QUEUED;
	ticket->prepared_ns = control->now_ns;
	queue_ready(control, ticket);
}

/* It runs out of time at its deadline, wherever it is. */
static void expire_at_deadline(struct control *control, struct ticket *ticket)
{
	heap_remove(&control->expiries, &ticket->expiry);
	ticket->expiry.key = ticket->deadline_ns;
	MUST(heap_push(&control->expiries, &ticket->expiry) == OK);
}

static void end_retrying(struct control *control, struct ticket *ticket)
{
	control->retrying -= ticket->is_retrying;
	ticket->is_retrying = false;
}

void ticket_dispatch(struct control *control, struct ticket *ticket, struct replica *replica)
{
	queue_charge(control, ticket);
	queue_unready(control, ticket);
	queue_unlink(control, ticket);
	ticket->state = TICKET_DISPATCHED;
	ticket->dispatched_ns = control->now_ns;
	ticket->ahead_tokens = replica_backlog(control, replica);
	link_to_replica(control, ticket, replica);
	if (replica->has_backlog)
		replica_note_prompt(control, replica, ticket->prompt_tokens);
	ticket->in_flight = replica->in_flight;
	health_dispatched(&replica->health, control->now_ns);
	ticket->is_retrying = ticket->attempts > 0;
	control->retrying += ticket->is_retrying;
	if (ticket->first_token_max_ns)
		ticket->deadline_ns = min_ll(control->now_ns + ticket->first_token_max_ns, ticket->deadline_ns);
	expire_at_deadline(control, ticket);
}

void ticket_rest(struct control *control, struct ticket *ticket, int64_t due_ns)
{
	unlink_from_replica(control, ticket);
	end_retrying(control, ticket);
	ticket->attempts++;
	ticket->state = TICKET_RESTING;
	queue_link(control, ticket);
	ticket->rest.key = due_ns;
	MUST(heap_push(&control->resting, &ticket->rest) == OK);
	expire_at_deadline(control, ticket);
}

void ticket_stream(struct control *control, struct ticket *ticket)
{
	control->replicas[ticket->replica].prefill_tokens -= ticket->prompt_tokens;
	end_retrying(control, ticket);
	ticket->first_token_ns = control->now_ns;
	ticket->state = TICKET_STREAMING;
	heap_remove(&control->expiries, &ticket->expiry);
}

void ticket_release(struct control *control, struct ticket *ticket)
{
	bool is_waiting = ticket->state != TICKET_DISPATCHED && ticket->state != TICKET_STREAMING;
	heap_remove(&control->expiries, &ticket->expiry);
	heap_remove(&control->resting, &ticket->rest);
	queue_unready(control, ticket);
	end_retrying(control, ticket);
	control->tenants[ticket->tenant].open--;
	if (is_waiting)
		queue_unlink(control, ticket);
	else
		unlink_from_replica(control, ticket);
	ticket->state = TICKET_FREE;
	ticket->next = control->free_ticket;
	control->free_ticket = ticket_index(control, ticket);
	control->used--;
}

uint32_t control_tickets(const struct control *control)
{
	return control->used;
}
