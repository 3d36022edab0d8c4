/* Which replica a request is sent to: filter, score, pick. The scores are rows of scorers.def. */
#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

/* ---- what each row of scorers.def adds, ns ---- */

/* Until its first token there, from now: its prefill, without what is cached there, and those in front of it. */
int64_t choice_first_token_ns(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	uint32_t cached = ticket_known_tokens(control, ticket, (uint32_t)(replica - control->replicas));
	return replica_first_token_ns(control, replica, ticket->prompt_tokens - cached, 0);
}

/* One of which nothing is known is tried: a guess must not keep it from ever being asked. */
static int64_t score_first_token(const struct control *control, const struct replica *replica,
                                 const struct ticket *ticket)
{
	if (control->pools[replica->pool].settings.is_opaque && !opaque_is_known(&replica->opaque))
		return 0;
	return choice_first_token_ns(control, replica, ticket);
}

/* A stream slows down with each one beside it: in_flight is ours and synchronous. */
static int64_t score_streams(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	(void)control;
	(void)ticket;
	return predict_decode_ns(&replica->rates, 1, 1, 0) * (replica->in_flight + replica->foreign) /
	       max_ll(replica->sequences, 1);
}

static int64_t score_failures(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	(void)ticket;
	struct health health = replica->health; /* a look must not change it */
	return health_recent_failures(&health, control->now_ns) * NS_PER_S;
}

static int64_t score_tried(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	return ticket_has_tried(ticket, (uint32_t)(replica - control->replicas)) ? PREDICT_MAX_NS : 0;
}

static int64_t score(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	int64_t sum_ns = 0;
#define SCORER(name, help) sum_ns += score_##name(control, replica, ticket);
#include "policy/scorers.def"
#undef SCORER
	return sum_ns;
}

/* Filter, score, pick: of the replicas that have a credit and may have this request, the one with the least; equal ones by the seeded generator. NULL when
 * there is none. */
/* Its circuit has been open long enough: some first attempt must be the probe, or one that is well again would never be sent anything beside a good one. */
static bool is_due_for_a_probe(const struct replica *replica, const struct ticket *ticket)
{
	return replica->health.state != HEALTH_CLOSED && ticket->attempts == 0;
}

/* Waiting is ordered here, by class and fair share, and not in an engine: it is sent no more than it can begin within a tenth of what is promised. A short prompt
 * that would pass what is there goes at once, unless others wait, too: it would pass what it is their turn for. */
#define PROMISE_PART 10
#define BEGIN_MAX_NS (2 * NS_PER_S)

/* Another tenant's prompt is computed there, or will be. */
static bool has_others(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	for (uint32_t i = replica->first; i != CONTROL_TICKET_NONE; i = control->tickets[i].next)
		if (control->tickets[i].state == TICKET_DISPATCHED && control->tickets[i].tenant != ticket->tenant)
			return true;
	return false;
}

static bool can_begin_soon(const struct control *control, const struct replica *replica, const struct ticket *ticket)
{
	int64_t ttft_ns = control->routes[ticket->route].settings.ttft_ns;
	int64_t most_ns = ttft_ns ? ttft_ns / PROMISE_PART : BEGIN_MAX_NS;
	if (!replica->has_backlog)
		return true;
	bool is_shared = control->pools[replica->pool].active_count > 1 || has_others(control, replica, ticket);
	uint64_t before =
		is_shared ? replica_backlog(control, replica) : replica_tokens_before(control, replica, ticket->prompt_tokens);
	return predict_prefill_ns(&replica->rates, before, 0) <= most_ns || before == 0;
}

struct replica *choice_of_replica(struct control *control, const struct pool *pool, const struct ticket *ticket)
{
	struct replica *chosen = NULL;
	int64_t chosen_ns = NS_NEVER;
	uint64_t ties = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		struct replica *replica = &control->replicas[pool->first_replica + i];
		if (replica_credits(control, replica, ticket_cells(ticket)) == 0 ||
		    !retry_allows(ticket, pool->first_replica + i) || !can_begin_soon(control, replica, ticket))
			continue;
		if (is_due_for_a_probe(replica, ticket))
			return replica;
		int64_t score_ns = score(control, replica, ticket);
		if (score_ns > chosen_ns)
			continue;
		ties = score_ns == chosen_ns ? ties + 1 : 1;
		if (ties == 1 || random_below(&control->random, ties) == 0) {
			chosen = replica;
			chosen_ns = score_ns;
		}
	}
	return chosen;
}
