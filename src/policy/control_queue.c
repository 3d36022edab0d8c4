/* Who waits, and whose turn it is: by class; inside a class by weighted fair shares of predicted tokens over tenants (start-time fair queueing), first attempts
 * before repeats; inside a tenant by deadline. Lower classes age: one that has waited half as long as it may has every fourth turn. */
#include <stdlib.h>

#include "base/macros.h"
#include "policy/control_state.h"

/* The key of pool.turns: class, and in it repeats after first attempts, above this bit; virtual time below it. */
#define CLASS_SHIFT 59
#define VIRTUAL_MAX ((INT64_C(1) << CLASS_SHIFT) - 1)
#define ORDER_MAX_NS ((INT64_C(1) << 61) - 1)
#define WEIGHT_ONE 1000
#define AGED_TURNS 4

/* ---- making ---- */

static uint32_t flow_count(const struct control *control)
{
	return control->tenant_count * CLASS_COUNT;
}

enum error queue_init(struct control *control, struct pool *pool)
{
	pool->flows = calloc(flow_count(control), sizeof(*pool->flows));
	pool->active = calloc(flow_count(control), sizeof(*pool->active));
	if (!pool->flows || !pool->active)
		return ERROR_MEMORY;
	for (uint32_t i = 0; i < flow_count(control); i++)
		pool->flows[i] = (struct flow){ .class = i % CLASS_COUNT,
			                            .weight_permille = WEIGHT_ONE,
			                            .newest = CONTROL_TICKET_NONE,
			                            .oldest = CONTROL_TICKET_NONE };
	return heap_reserve(&pool->turns, flow_count(control));
}

void queue_fini(struct pool *pool)
{
	heap_fini(&pool->turns);
	free(pool->flows);
	free(pool->active);
}

/* ---- flows ---- */

static struct flow *flow_at(struct pool *pool, uint32_t tenant, uint32_t class)
{
	return &pool->flows[tenant * CLASS_COUNT + class];
}

struct flow *flow_of(struct control *control, const struct ticket *ticket)
{
	return flow_at(&control->pools[ticket->pool], ticket->tenant, ticket->class);
}

static struct ticket *ticket_of_ready(struct pairing_node *node)
{
	return node ? container_of(node, struct ticket, ready) : NULL;
}

/* What a request of so many tokens adds to a flow's virtual time. */
static int64_t virtual_cost(const struct flow *flow, uint64_t tokens)
{
	return (int64_t)(tokens * WEIGHT_ONE / flow->weight_permille) + 1;
}

/* When the flow's next request begins, in virtual time. */
static int64_t virtual_start(const struct pool *pool, const struct flow *flow)
{
	return flow->turn.place ? flow->start : max_ll(pool->virtual_now[flow->class], flow->finish);
}

/* Puts the flow where its first request belongs. */
static void take_place(struct pool *pool, struct flow *flow)
{
	struct ticket *first = ticket_of_ready(pairing_peek(&flow->ready));
	heap_remove(&pool->turns, &flow->turn);
	if (!first)
		return;
	flow->turn.key = ((int64_t)(2 * flow->class + first->is_repeat) << CLASS_SHIFT) + min_ll(flow->start, VIRTUAL_MAX);
	MUST(heap_push(&pool->turns, &flow->turn) == OK);
}

/* ---- who waits ---- */

void queue_link(struct control *control, struct ticket *ticket)
{
	struct pool *pool = &control->pools[ticket->pool];
	struct flow *flow = flow_of(control, ticket);
	uint32_t index = ticket_index(control, ticket);
	uint32_t weight = control->tenants[ticket->tenant].limits.weight_permille;
	if (flow->count == 0) {
		flow->active = pool->active_count;
		pool->active[pool->active_count++] = (uint32_t)(flow - pool->flows);
		flow->weight_permille = weight ? weight : WEIGHT_ONE;
	}
	ticket->previous = CONTROL_TICKET_NONE;
	ticket->next = flow->newest;
	if (flow->newest == CONTROL_TICKET_NONE)
		flow->oldest = index;
	else
		control->tickets[flow->newest].previous = index;
	flow->newest = index;
	pool->queued_count++;
	flow->count++;
	flow->prompt_tokens += ticket->prompt_tokens;
	flow->output_tokens += ticket->output_tokens;
}

void queue_unlink(struct control *control, struct ticket *ticket)
{
	struct pool *pool = &control->pools[ticket->pool];
	struct flow *flow = flow_of(control, ticket);
	MUST(pool->queued_count > 0 && flow->count > 0);
	if (ticket->previous == CONTROL_TICKET_NONE)
		flow->newest = ticket->next;
	else
		control->tickets[ticket->previous].next = ticket->next;
	if (ticket->next == CONTROL_TICKET_NONE)
		flow->oldest = ticket->previous;
	else
		control->tickets[ticket->next].previous = ticket->previous;
	pool->queued_count--;
	flow->count--;
	flow->prompt_tokens -= ticket->prompt_tokens;
	flow->output_tokens -= ticket->output_tokens;
	if (flow->count == 0) {
		uint32_t last = pool->active[--pool->active_count];
		pool->active[flow->active] = last;
		pool->flows[last].active = flow->active;
	}
}

void queue_ready(struct control *control, struct ticket *ticket)
{
	struct pool *pool = &control->pools[ticket->pool];
	struct flow *flow = flow_of(control, ticket);
	flow->start = virtual_start(pool, flow);
	ticket->ready.key = ((int64_t)ticket->is_repeat << 61) + min_ll(ticket->order_ns, ORDER_MAX_NS);
	pairing_push(&flow->ready, &ticket->ready);
	take_place(pool, flow);
}

void queue_unready(struct control *control, struct ticket *ticket)
{
	struct flow *flow = flow_of(control, ticket);
	if (!ticket->ready.is_in)
		return;
	bool was_first = pairing_peek(&flow->ready) == &ticket->ready;
	pairing_remove(&flow->ready, &ticket->ready);
	if (was_first)
		take_place(&control->pools[ticket->pool], flow);
}

void queue_charge(struct control *control, const struct ticket *ticket)
{
	struct pool *pool = &control->pools[ticket->pool];
	struct flow *flow = flow_of(control, ticket);
	pool->dispatched++;
	if (ticket->attempts)
		return; /* has been paid for */
	pool->virtual_now[flow->class] = max_ll(pool->virtual_now[flow->class], flow->start);
	flow->finish = flow->start + virtual_cost(flow, ticket_cells(ticket));
	flow->start = flow->finish;
}

/* ---- whose turn ---- */

/* One of a lower class than the first in turn that has waited half as long as it may; NULL when there is none. */
static struct ticket *aged(struct control *control, struct pool *pool, const struct flow *first)
{
	struct ticket *oldest = NULL;
	for (uint32_t i = 0; i < pool->active_count; i++) {
		struct flow *flow = &pool->flows[pool->active[i]];
		struct ticket *next = ticket_of_ready(pairing_peek(&flow->ready));
		if (flow->class <= first->class || !next || (oldest && next->arrived_ns >= oldest->arrived_ns))
			continue;
		if (control->now_ns - control->tickets[flow->oldest].arrived_ns > pool->settings.wait_max_ns / 2)
			oldest = next;
	}
	return oldest;
}

struct ticket *queue_next(struct control *control, struct pool *pool)
{
	struct heap_node *node = heap_peek(&pool->turns);
	if (!node)
		return NULL;
	struct flow *flow = container_of(node, struct flow, turn);
	struct ticket *old = pool->dispatched % AGED_TURNS == AGED_TURNS - 1 ? aged(control, pool, flow) : NULL;
	return old ? old : ticket_of_ready(pairing_peek(&flow->ready));
}

/* Virtual time that what waits in the flow, and so many tokens more, takes. */
static int64_t backlog(const struct flow *flow, uint64_t more)
{
	return virtual_cost(flow, flow->prompt_tokens + flow->output_tokens + more);
}

struct ticket *queue_to_displace(struct control *control, struct pool *pool, const struct event *event)
{
	const struct flow *own = flow_at(pool, event->tenant, event->class);
	const struct flow *chosen = NULL;
	for (uint32_t i = 0; i < pool->active_count; i++) {
		const struct flow *flow = &pool->flows[pool->active[i]];
		bool is_lower = !chosen || flow->class > chosen->class;
		bool is_longer = chosen && flow->class == chosen->class && backlog(flow, 0) > backlog(chosen, 0);
		if (flow->class >= event->class && flow != own && (is_lower || is_longer))
			chosen = flow;
	}
	if (!chosen)
		return NULL;
	struct ticket *newest = &control->tickets[chosen->newest];
	uint64_t without = chosen->prompt_tokens + chosen->output_tokens - ticket_cells(newest);
	bool is_over_its_share =
		virtual_cost(chosen, without) >= backlog(own, (uint64_t)event->prompt_tokens + event->output_tokens);
	return chosen->class > event->class || is_over_its_share ? newest : NULL;
}

/* ---- what is ahead ---- */

/* How many of another tenant's requests have their turn before a request of `own` that joins it now. */
static uint32_t turns_before(const struct pool *pool, const struct flow *own, const struct flow *other)
{
	int64_t own_start = virtual_start(pool, own) + (own->count ? backlog(own, 0) : 0);
	int64_t lead = own_start - virtual_start(pool, other);
	int64_t each = max_ll(backlog(other, 0) / other->count, 1);
	return lead < 0 ? 0 : (uint32_t)min_ll(other->count, lead / each + 1);
}

struct ahead queue_ahead(const struct control *control, const struct pool *pool, const struct event *event)
{
	(void)control;
	const struct flow *own = &pool->flows[event->tenant * CLASS_COUNT + event->class];
	uint64_t prompt_tokens = 0;
	uint64_t output_tokens = 0;
	uint32_t count = 0;
	for (uint32_t i = 0; i < pool->active_count; i++) {
		const struct flow *flow = &pool->flows[pool->active[i]];
		if (flow->class > event->class)
			continue;
		bool goes_first = flow == own || flow->class < event->class || event->is_repeat;
		uint32_t before = goes_first ? flow->count : turns_before(pool, own, flow);
		count += before;
		prompt_tokens += flow->prompt_tokens * before / flow->count;
		output_tokens += flow->output_tokens * before / flow->count;
	}
	if (count == 0)
		return (struct ahead){ 0, event->prompt_tokens, event->output_tokens };
	return (struct ahead){ count, (uint32_t)(prompt_tokens / count), (uint32_t)(output_tokens / count) };
}
