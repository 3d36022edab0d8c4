/* What will become of a request that joins the queue now: when a place comes free for it, and when its first token comes.
 *
 * A pool's places are those of all its replicas that run or are starting: a free one is free now, a taken one when its request has produced
 * what is left of its expected output, one of a replica that is starting when it has started. The requests in front take places in turn
 * (predict_places_wait). A pool that has more credits than requests in front costs no walk over what is in flight. */
#include "policy/control_state.h"

#include "base/clock.h"
#include "base/macros.h"

#define COLD_START_REST_MIN_NS (100 * NS_PER_MS)
/* A bound is an eighth more than the arithmetic says: in virtual time (test/unit/policy/control_trace_test.c) that keeps everyone who is let in
 * within the wait allowed; a sixteenth does not, a quarter turns away a seventh more of a burst. */
#define BOUND_MARGIN 8
/* Progress below this says nothing about the rest. */
#define PERCENT_MIN 5

/* ---- replicas ---- */

uint64_t replica_work(const struct replica *replica, uint32_t own_tokens, uint64_t tokens_ahead)
{
	return own_tokens + tokens_ahead * replica->ahead_permille / 1000;
}

uint32_t replica_credits(const struct control *control, const struct replica *replica, uint64_t cells)
{
	if (replica->state != REPLICA_READY || replica->in_flight >= replica->sequences ||
	    control->in_flight >= control->in_flight_max || !health_admits(&replica->health, control->now_ns))
		return 0;
	uint64_t credits = min_ll(replica->sequences - replica->in_flight, control->in_flight_max - control->in_flight);
	if (replica->cells && cells) {
		uint64_t room = replica->cells > replica->reserved_cells ? replica->cells - replica->reserved_cells : 0;
		uint64_t fitting = room / cells;
		/* An idle replica takes one request of any size: whether it fits at all is not ours to say. */
		if (fitting == 0 && replica->in_flight == 0)
			fitting = 1;
		credits = min_ll((long long)credits, (long long)fitting);
	}
	return (uint32_t)credits;
}

/* From the progress that it tells, else from how long the last start took; one that is late is expected to take a quarter longer still. */
static int64_t cold_start_rest_ns(const struct control *control, const struct pool *pool, const struct replica *replica)
{
	int64_t elapsed_ns = control->now_ns - replica->starting_since_ns;
	int64_t rest_ns = pool->cold_start_ns - elapsed_ns;
	if (replica->percent >= PERCENT_MIN)
		rest_ns = elapsed_ns / replica->percent * (100 - min_ll(replica->percent, 100));
	else if (rest_ns <= 0)
		rest_ns = elapsed_ns / 4;
	return max_ll(rest_ns, COLD_START_REST_MIN_NS);
}

/* Places of a replica for requests of `cells`: what its cache holds, when that is fewer. */
static uint32_t places_of(const struct replica *replica, uint64_t cells)
{
	if (replica->state == REPLICA_STARTING && replica->sequences == 0)
		return 1; /* never seen ready */
	if (replica->cells == 0 || cells == 0 || replica->sequences == 0)
		return replica->sequences;
	return (uint32_t)min_ll(replica->sequences, max_ll((long long)(replica->cells / cells), 1));
}

/* ---- forecasts ---- */

/* Its own prompt, at the fastest replica that runs, with nobody beside it; NS_NEVER when none does. */
static int64_t own_prefill_ns(const struct control *control, const struct pool *pool, uint32_t prompt_tokens)
{
	int64_t least_ns = NS_NEVER;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		if (replica->state == REPLICA_READY)
			least_ns = min_ll(least_ns, predict_prefill_ns(&replica->rates, prompt_tokens, 0));
	}
	return least_ns;
}

/* Enough credits for all in front and for this one: the first token takes the prefills that come before it on the least loaded replica. */
static struct forecast forecast_at_once(const struct control *control, const struct pool *pool, uint32_t prompt_tokens,
                                        const struct ahead *ahead, uint64_t cells)
{
	uint32_t open = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		open += replica_credits(control, &control->replicas[pool->first_replica + i], cells) > 0;
	uint64_t before = (uint64_t)ahead->count * ahead->prompt_tokens / open;
	int64_t least_ns = NS_NEVER;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		if (replica_credits(control, replica, cells) == 0)
			continue;
		least_ns = min_ll(least_ns, replica_first_token_ns(control, replica, prompt_tokens, before));
	}
	return (struct forecast){ .first_token_ns = least_ns,
		                      .first_token_bound_ns = least_ns,
		                      .own_ns = own_prefill_ns(control, pool, prompt_tokens),
		                      .is_at_once = true };
}

/* Adds the places of one replica and returns how long a request of the queue keeps one. */
static int64_t add_places(const struct control *control, const struct pool *pool, const struct replica *replica,
                          const struct ahead *ahead, struct predict_places *places)
{
	uint64_t cells = (uint64_t)ahead->prompt_tokens + ahead->output_tokens;
	uint32_t count = places_of(replica, cells);
	int64_t service_ns = predict_service_ns(&replica->rates, ahead->prompt_tokens, ahead->output_tokens, count);
	if (replica->state == REPLICA_STARTING) {
		predict_places_add(places, cold_start_rest_ns(control, pool, replica), count);
		return service_ns;
	}
	int64_t shut_ns = health_ready_ns(&replica->health, control->now_ns) - control->now_ns;
	if (shut_ns > 0) {
		predict_places_add(places, shut_ns, count);
		return service_ns;
	}
	uint32_t credits = replica_credits(control, replica, cells);
	predict_places_add(places, 0, credits);
	/* Where few large ones are followed by many small ones, or the other way round, a request frees more than a place, or less. */
	uint32_t taken = count > credits ? count - credits : 0;
	uint32_t left = replica->in_flight;
	int64_t prefill_ns = predict_prefill_ns(&replica->rates, replica_backlog(control, replica), 0);
	for (uint32_t i = replica->first; i != CONTROL_TICKET_NONE && taken; i = control->tickets[i].next, left--) {
		uint32_t rest = output_rest(&control->tickets[i]);
		int64_t decode_ns = predict_decode_ns(&replica->rates, rest, replica->in_flight, replica->reserved_cells);
		uint32_t share = (taken + left - 1) / left;
		predict_places_add(places, prefill_ns + decode_ns, share);
		taken -= share;
	}
	/* Taken by nobody here: the bound on what all pools have in flight holds it back. */
	predict_places_add(places, service_ns, taken);
	return service_ns;
}

static struct forecast forecast_in_turn(const struct control *control, const struct pool *pool, uint32_t prompt_tokens,
                                        const struct ahead *ahead)
{
	struct predict_places places = { 0 };
	int64_t service_ns = 0;
	int64_t prefill_ns = NS_NEVER;
	uint32_t usable = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		if (replica->state == REPLICA_DOWN || places_of(replica, 0) == 0)
			continue;
		service_ns += add_places(control, pool, replica, ahead, &places);
		/* Another prompt is in front when its turn comes, one of the usual size. */
		uint64_t tokens = replica_work(replica, prompt_tokens, ahead->count ? ahead->prompt_tokens : 0);
		uint32_t decoding = places_of(replica, 0) - 1;
		prefill_ns = min_ll(prefill_ns, predict_prefill_ns(&replica->rates, tokens, decoding));
		usable++;
	}
	if (usable == 0)
		return (struct forecast){ NS_NEVER, NS_NEVER, NS_NEVER, NS_NEVER, NS_NEVER, false };
	struct predict_wait wait = predict_places_wait(&places, ahead->count, service_ns / usable);
	wait.bound_ns += wait.bound_ns / BOUND_MARGIN;
	return (struct forecast){ wait.expected_ns,
		                      wait.bound_ns,
		                      wait.expected_ns + prefill_ns,
		                      wait.bound_ns + prefill_ns,
		                      own_prefill_ns(control, pool, prompt_tokens),
		                      false };
}

struct forecast forecast_request(const struct control *control, const struct pool *pool, const struct event *event)
{
	const struct ahead ahead = queue_ahead(control, pool, event);
	uint64_t own_cells = (uint64_t)event->prompt_tokens + event->output_tokens;
	uint64_t cells = max_ll((long long)own_cells, (long long)ahead.prompt_tokens + ahead.output_tokens);
	uint64_t credits = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		credits += replica_credits(control, &control->replicas[pool->first_replica + i], cells);
	if (credits > ahead.count)
		return forecast_at_once(control, pool, event->prompt_tokens, &ahead, cells);
	return forecast_in_turn(control, pool, event->prompt_tokens, &ahead);
}

int64_t forecast_token_ns(const struct control *control, const struct pool *pool)
{
	int64_t least_ns = NS_NEVER;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		if (replica->state != REPLICA_READY)
			continue;
		uint32_t streams = (uint32_t)min_ll(replica->in_flight + 1, max_ll(replica->sequences, 1));
		least_ns = min_ll(least_ns, predict_decode_ns(&replica->rates, 1, streams, replica->reserved_cells));
	}
	return least_ns;
}

int64_t forecast_work_ns(const struct control *control, const struct pool *pool, uint32_t prompt_tokens,
                         uint32_t output_tokens)
{
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		uint32_t places = places_of(replica, (uint64_t)prompt_tokens + output_tokens);
		if (replica->state == REPLICA_READY && places)
			return predict_service_ns(&replica->rates, prompt_tokens, output_tokens, places) / places;
	}
	return 0;
}

uint32_t forecast_kind(const struct forecast *forecast, uint32_t class)
{
	return forecast->is_at_once ? CLASS_COUNT : class;
}

int64_t forecast_expected_ns(const struct pool *pool, uint32_t class, const struct forecast *forecast, int64_t of_it_ns)
{
	if (of_it_ns == NS_NEVER)
		return of_it_ns;
	double ratio = predict_middle_of(&pool->middles[forecast_kind(forecast, class)]);
	return min_ll((long long)((double)of_it_ns * ratio), PREDICT_MAX_NS);
}

/* What became of earlier forecasts tells of replicas that run, with others beside: not of one that runs nothing while nobody waits, and not of the
 * rest of a cold start. */
static bool ratio_tells(const struct control *control, const struct pool *pool)
{
	bool is_running = false;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++) {
		const struct replica *replica = &control->replicas[pool->first_replica + i];
		if (pool->queued_count == 0 && replica->in_flight == 0 && replica_credits(control, replica, 0) > 0)
			return false;
		is_running |= replica->state == REPLICA_READY;
	}
	return is_running;
}

int64_t forecast_promised_ns(const struct control *control, const struct pool *pool, uint32_t class,
                             int64_t forecast_ns)
{
	if (forecast_ns == NS_NEVER || !ratio_tells(control, pool))
		return forecast_ns;
	double promised_ns = (double)forecast_ns * predict_ratio_p95(&pool->ratios[class]);
	return promised_ns < (double)PREDICT_MAX_NS ? (int64_t)promised_ns : PREDICT_MAX_NS;
}
