/* Attempts that fail before anything of their answer reached the client: what that says of the replica, and whether there is another one.
 *
 * A retry budget bounds all of them together (Envoy's idea, at half its default): second attempts that wait for their first token are at most a tenth of the
 * requests in the house, or three. What is over it waits its turn for a second, so that a burst that met one dead replica is not lost. A request has at most four attempts, two of them at the same replica; one that stayed silent, or refused by a quota, is not
 * asked again while there are others. */
#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

#define BUDGET_SHARE 10
#define BUDGET_MIN 3
#define BUDGET_WAIT_NS NS_PER_S
/* Before the same replica is asked again: half of it, and up to as much more. */
#define SAME_REPLICA_NS (100 * NS_PER_MS)

/* ---- what an attempt's end says of its replica ---- */

static struct replica *replica_of(struct control *control, const struct ticket *ticket)
{
	return &control->replicas[ticket->replica];
}

static bool is_there(const struct ticket *ticket)
{
	return ticket->state == TICKET_DISPATCHED || ticket->state == TICKET_STREAMING;
}

void replica_note_failure(struct control *control, const struct ticket *ticket, const struct event *event)
{
	struct replica *replica = replica_of(control, ticket);
	enum failure failure = (enum failure)event->failure;
	if (!is_there(ticket) || !control->pools[ticket->pool].settings.is_opaque)
		return; /* our own engines' states say it */
	if (failure == FAILURE_NONE || failure == FAILURE_LOCAL || failure >= FAILURES) {
		health_untold(&replica->health);
		return;
	}
	if (failure == FAILURE_RATE || failure == FAILURE_BUSY)
		opaque_refused(&replica->opaque, ticket->in_flight);
	health_failed(&replica->health, control->now_ns, failure, max_ll(event->retry_after_ns, 0),
	              random_unit(&control->random));
	replica->sequences = opaque_limit(&replica->opaque);
}

static void learn_rates(struct replica *replica)
{
	replica->rates = opaque_rates(&replica->opaque);
	replica->ahead_permille = opaque_ahead_permille(&replica->opaque);
	replica->sequences = opaque_limit(&replica->opaque);
}

void replica_note_first_token(struct control *control, struct ticket *ticket)
{
	struct replica *replica = replica_of(control, ticket);
	if (!control->pools[ticket->pool].settings.is_opaque)
		return;
	health_succeeded(&replica->health, control->now_ns);
	if (ticket->is_whole)
		return;
	uint32_t known = ticket_known_tokens(control, ticket, ticket->replica);
	uint32_t prompt_tokens = ticket->prompt_tokens > known ? ticket->prompt_tokens - known : 1;
	opaque_first_token(&replica->opaque, prompt_tokens, ticket->ahead_tokens, ticket->in_flight + replica->foreign,
	                   control->now_ns - ticket->dispatched_ns);
	learn_rates(replica);
}

void replica_note_end(struct control *control, const struct ticket *ticket, const struct event *event)
{
	struct replica *replica = replica_of(control, ticket);
	if (!control->pools[ticket->pool].settings.is_opaque || !is_there(ticket))
		return;
	if (ticket->state == TICKET_DISPATCHED)
		health_untold(&replica->health);
	if (event->kind == EVENT_DONE && ticket->state == TICKET_STREAMING && !ticket->is_whole && event->output_tokens > 1)
		opaque_tokens(&replica->opaque, event->output_tokens - 1, control->now_ns - ticket->first_token_ns);
	learn_rates(replica);
}

/* ---- another attempt ---- */

bool ticket_has_tried(const struct ticket *ticket, uint32_t replica)
{
	for (uint32_t i = 0; i < ticket->attempts; i++) {
		if (ticket->tried[i] == replica)
			return true;
	}
	return false;
}

bool retry_allows(const struct ticket *ticket, uint32_t replica)
{
	uint32_t there = 0;
	for (uint32_t i = 0; i < ticket->attempts; i++) {
		if (ticket->tried[i] != replica)
			continue;
		if (ticket->is_barred & 1U << i)
			return false;
		there++;
	}
	return there < ATTEMPTS_THERE_MAX;
}

bool retry_has_budget(const struct control *control)
{
	return control->retrying < BUDGET_MIN || control->retrying < control->used / BUDGET_SHARE;
}

int64_t retry_due_ns(struct control *control, const struct ticket *ticket)
{
	const struct pool *pool = &control->pools[ticket->pool];
	int64_t soonest_ns = NS_NEVER;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		uint32_t index = pool->first_replica + i;
		const struct replica *replica = &control->replicas[index];
		if (replica->state == REPLICA_DOWN || !retry_allows(ticket, index))
			continue;
		int64_t ready_ns = health_ready_ns(&replica->health, control->now_ns);
		if (ticket_has_tried(ticket, index)) {
			int64_t pause_ns = SAME_REPLICA_NS / 2 + (int64_t)random_below(&control->random, SAME_REPLICA_NS / 2);
			ready_ns = max_ll(ready_ns, control->now_ns + pause_ns);
		}
		soonest_ns = min_ll(soonest_ns, ready_ns);
	}
	return soonest_ns;
}

void retry_or_refuse(struct control *control, struct ticket *ticket, const struct event *event)
{
	const struct pool *pool = &control->pools[ticket->pool];
	replica_note_failure(control, ticket, event);
	bool may_retry = ticket->attempts + 1 < ATTEMPTS_MAX;
	/* A silent one has had its time; the others may have lost theirs by accident. A quota is not asked again before it says so. */
	if (event->failure == FAILURE_SILENT)
		ticket->is_barred |= 1U << ticket->attempts;
	ticket->tried[ticket->attempts] = ticket->replica;
	ticket->attempts++;
	int64_t due_ns = may_retry ? retry_due_ns(control, ticket) : NS_NEVER;
	ticket->attempts--;
	ticket->deadline_ns = event->deadline_ns > 0 ? event->deadline_ns : ticket->deadline_ns;
	if (due_ns >= ticket->deadline_ns || due_ns - control->now_ns > pool->settings.wait_max_ns) {
		refuse_ticket(control, ticket, event->failure == FAILURE_SILENT ? REFUSAL_DEADLINE : REFUSAL_ATTEMPTS);
		return;
	}
	ticket->budget_until_ns = due_ns + BUDGET_WAIT_NS;
	ticket_rest(control, ticket, due_ns);
}

void retry_rested(struct control *control)
{
	struct heap_node *node;
	while ((node = heap_peek(&control->resting)) && node->key <= control->now_ns) {
		struct ticket *ticket = container_of(node, struct ticket, rest);
		heap_remove(&control->resting, node);
		ticket_enqueue(control, ticket, 0);
	}
}
