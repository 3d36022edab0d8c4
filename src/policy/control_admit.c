/* Whether a request is taken: its rates, the queue's room, the forecast against the bounds of its pool and the promise of its route. And what one that is not is
 * told: when to come again. */
#include <math.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

#define RETRY_AFTER_MIN_NS (250 * NS_PER_MS)
#define RETRY_AFTER_MAX_NS (300 * NS_PER_S)
/* Clients that are told the same moment come back together: spread them over a tenth. */
#define RETRY_AFTER_SPREAD 10
/* On try_again: how far people's first attempts may go towards the promise, so that those who get in keep it with room to spare. */
#define TRY_AGAIN_PERCENT 80
/* So long after another tenant's request a tenant is not alone. */
#define OTHERS_NS (10 * NS_PER_S)
#define PRESSING_PERCENT 50

/* ---- refusing ---- */

static int64_t retry_after_ns(struct control *control, int64_t wait_ns)
{
	int64_t retry_ns = min_ll(max_ll(wait_ns, RETRY_AFTER_MIN_NS), RETRY_AFTER_MAX_NS);
	return retry_ns + (int64_t)random_below(&control->random, (uint64_t)retry_ns / RETRY_AFTER_SPREAD + 1);
}

/* How long it would have waited: until its first token, but for its own prompt. */
static int64_t wait_told_ns(const struct pool *pool, uint32_t class, const struct forecast *forecast)
{
	int64_t first_ns = forecast_expected_ns(pool, class, forecast, forecast->first_token_ns);
	return first_ns == NS_NEVER ? pool->cold_start_ns : max_ll(first_ns - forecast->own_ns, 0);
}

static void fill_prediction(const struct control *control, const struct route *route, const struct pool *pool,
                            uint32_t class, const struct forecast *forecast, struct order *order)
{
	int64_t first_ns = forecast->first_token_ns;
	if (first_ns == NS_NEVER)
		return;
	order->predicted_ns = forecast_expected_ns(pool, class, forecast, first_ns);
	order->promised_ns = route->settings.ttft_ns ? (int64_t)((double)order->predicted_ns * route->gate)
	                                             : forecast_promised_ns(control, pool, class, first_ns);
	order->wait_ns = forecast_expected_ns(pool, class, forecast, forecast->wait_ns);
}

/* Refuses one that waits, and gives its ticket back. */
void refuse_ticket(struct control *control, struct ticket *ticket, enum refusal refusal)
{
	const struct pool *pool = &control->pools[ticket->pool];
	const struct event event = {
		.pool = ticket->pool,
		.class = ticket->class,
		.tenant = ticket->tenant,
		.prompt_tokens = ticket->prompt_tokens,
		.output_tokens = ticket->output_tokens,
	};
	struct order order = {
		.kind = ORDER_REFUSE,
		.request = ticket->request,
		.ticket = ticket_index(control, ticket),
		.refusal = refusal,
	};
	const uint32_t ticket_route = ticket->route;
	settle_rates(control, ticket, 0);
	ticket_release(control, ticket);
	struct forecast forecast = forecast_request(control, pool, &event);
	order.retry_after_ns = retry_after_ns(control, wait_told_ns(pool, event.class, &forecast));
	fill_prediction(control, &control->routes[ticket_route], pool, event.class, &forecast, &order);
	give_order(control, &order);
}

/* ---- rates ---- */

struct rates {
	struct tenant *tenant;
	struct route *route;
	uint64_t tokens;
};

static struct rates rates_of(struct control *control, const struct event *event)
{
	return (struct rates){ &control->tenants[event->tenant], &control->routes[event->route],
		                   (uint64_t)event->prompt_tokens + event->output_tokens };
}

/* Until all rates have room for it; 0 = they have. */
static int64_t rates_wait_ns(const struct control *control, const struct event *event, const struct rates *rates)
{
	const struct control_limits *limits = &event->limits;
	const struct control_route *route = &rates->route->settings;
	int64_t now_ns = control->now_ns;
	int64_t wait_ns = quota_wait_ns(&rates->tenant->requests, now_ns, 1, limits->requests_per_minute);
	wait_ns = max_ll(wait_ns, quota_wait_ns(&rates->tenant->tokens, now_ns, rates->tokens, limits->tokens_per_minute));
	wait_ns = max_ll(wait_ns, quota_wait_ns(&rates->route->requests, now_ns, 1, route->requests_per_minute));
	wait_ns = max_ll(wait_ns, quota_wait_ns(&rates->route->tokens, now_ns, rates->tokens, route->tokens_per_minute));
	if (event->is_repeat)
		wait_ns = max_ll(wait_ns, quota_wait_ns(&rates->route->repeats, now_ns, 1, route->repeats_per_minute));
	return wait_ns;
}

static void rates_use(struct control *control, const struct event *event, const struct rates *rates)
{
	const struct control_limits *limits = &event->limits;
	const struct control_route *route = &rates->route->settings;
	int64_t now_ns = control->now_ns;
	quota_use(&rates->tenant->requests, now_ns, 1, limits->requests_per_minute);
	quota_use(&rates->tenant->tokens, now_ns, rates->tokens, limits->tokens_per_minute);
	quota_use(&rates->route->requests, now_ns, 1, route->requests_per_minute);
	quota_use(&rates->route->tokens, now_ns, rates->tokens, route->tokens_per_minute);
	if (event->is_repeat)
		quota_use(&rates->route->repeats, now_ns, 1, route->repeats_per_minute);
}

void settle_rates(struct control *control, const struct ticket *ticket, uint64_t tokens)
{
	struct tenant *tenant = &control->tenants[ticket->tenant];
	struct route *route = &control->routes[ticket->route];
	int64_t more = (int64_t)tokens - ticket->charged_tokens;
	quota_correct(&tenant->tokens, more, tenant->limits.tokens_per_minute);
	quota_correct(&route->tokens, more, route->settings.tokens_per_minute);
}

/* ---- weighing ---- */

/* A tenant among those that were here of late. */
enum standing {
	ALONE,
	PRESSING, /* more than half of what is open is its own */
	BESIDE
};

/* An arrival, and what is predicted for it. */
struct arrival {
	const struct event *event;
	struct pool *pool;
	struct route *route;
	struct forecast forecast;
	int64_t wait_ns;        /* not longer, with the class's ratio */
	int64_t first_token_ns; /* not later */
	int64_t expected_ns;    /* half of them sooner */
	bool must_be_tried;
	enum standing standing;
};

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

/* A forecast that rests on nothing yet; what becomes of it says nothing of later ones. */
static bool is_guess(const struct control *control, const struct pool *pool)
{
	for (uint32_t i = 0; i < pool->settings.replica_count && pool->settings.is_opaque; i++) {
		if (!opaque_is_known(&control->replicas[pool->first_replica + i].opaque))
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

static struct arrival look_at(struct control *control, const struct event *event)
{
	struct pool *pool = &control->pools[event->pool];
	struct arrival arrival = { .event = event, .pool = pool, .route = &control->routes[event->route] };
	uint32_t class = event->class;
	arrival.forecast = forecast_request(control, pool, event);
	const struct forecast *forecast = &arrival.forecast;
	int64_t promised_ns = forecast_promised_ns(control, pool, class, forecast->first_token_ns);
	arrival.expected_ns = forecast_expected_ns(pool, class, forecast, forecast->first_token_ns);
	arrival.wait_ns = max_ll(forecast_promised_ns(control, pool, class, forecast->wait_ns), forecast->wait_bound_ns);
	arrival.first_token_ns = max_ll(promised_ns, forecast->first_token_bound_ns);
	arrival.must_be_tried = must_be_tried(control, pool);
	bool has_others = control->switched_ns && control->now_ns - control->switched_ns < OTHERS_NS;
	bool has_most = 2 * (uint64_t)control->tenants[event->tenant].open > control->used;
	arrival.standing = !has_others ? ALONE : has_most ? PRESSING : BESIDE;
	return arrival;
}

/* What its route promises of what is predicted, counted from its first byte; 0 where nothing is promised. */
static double pressure_by(const struct control *control, const struct arrival *arrival)
{
	const struct event *event = arrival->event;
	if (arrival->expected_ns == NS_NEVER)
		return PRESSURE_STEPS; /* far over */
	int64_t before_ns = event->begun_ns ? max_ll(control->now_ns - event->begun_ns, 0) : 0;
	return pressure_of(arrival->route, arrival->expected_ns + before_ns, arrival->forecast.own_ns,
	                   forecast_token_ns(control, arrival->pool), event->output_tokens);
}

static bool has_try_again(const struct route *route)
{
	for (uint32_t i = 0; i < route->ladder.rung && i < route->settings.rung_count; i++)
		if (route->settings.rungs[i].kind == RUNG_TRY_AGAIN)
			return true;
	return false;
}

/* Whether the promise keeps it out. */
static enum refusal weigh_promise(const struct arrival *arrival, double pressure)
{
	const struct route *route = arrival->route;
	const struct event *event = arrival->event;
	bool is_about_time = route->settings.ttft_ns || route->settings.e2e_ns;
	bool is_last = has_try_again(route);
	if (is_last && (event->is_repeat || event->class == CLASS_BATCH))
		return REFUSAL_TRY_AGAIN;
	if (is_last && route->told_permille > 1000)
		return REFUSAL_TRY_AGAIN; /* not a matter of time: it is over until it is not */
	if (!is_about_time || arrival->must_be_tried)
		return REFUSAL_NONE;
	/* The gate follows what all tenants of the route see. Who presses leaves room for the others, who are held against what is expected for them. */
	double most = arrival->standing == PRESSING ? PRESSING_PERCENT / 100.0 : 1;
	if (arrival->standing == BESIDE)
		most = fmax(route->gate, 1);
	else if (is_last && pressure > most * TRY_AGAIN_PERCENT / 100)
		return REFUSAL_TRY_AGAIN;
	return pressure > most ? REFUSAL_PROMISE : REFUSAL_NONE;
}

/* Why not to take it, and after how long that may be otherwise. */
static enum refusal weigh(const struct control *control, const struct arrival *arrival, int64_t *again_ns)
{
	const struct event *event = arrival->event;
	const struct pool *pool = arrival->pool;
	*again_ns = wait_told_ns(pool, event->class, &arrival->forecast);
	if (arrival->wait_ns == NS_NEVER)
		return REFUSAL_NO_REPLICA;
	int64_t open_until_ns = all_open_until_ns(control, pool);
	if (open_until_ns) {
		*again_ns = open_until_ns - control->now_ns;
		return REFUSAL_NO_REPLICA;
	}
	if (arrival->must_be_tried)
		return REFUSAL_NONE;
	int64_t left_ns = max_ll(event->deadline_ns, 0) - control->now_ns;
	/* Once it is sent, it has so long. */
	int64_t after_ns = arrival->first_token_ns - arrival->wait_ns;
	bool is_too_slow = event->first_token_ns && after_ns > event->first_token_ns;
	bool is_hopeless =
		arrival->wait_ns > pool->settings.wait_max_ns || arrival->first_token_ns > left_ns || is_too_slow;
	return is_hopeless ? REFUSAL_HOPELESS : REFUSAL_NONE;
}

/* More wait than may; those for whom a place is free do not. */
static bool is_full(const struct control *control, const struct pool *pool)
{
	uint64_t free_places = 0;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		free_places += replica_credits(control, &control->replicas[pool->first_replica + i], 0);
	return pool->queued_count >= pool->settings.queue_max + free_places || control->free_ticket == CONTROL_TICKET_NONE;
}

/* ---- arrivals ---- */

static void learn_arrival(struct control *control, const struct arrival *arrival, double pressure)
{
	const struct event *event = arrival->event;
	struct route *route = arrival->route;
	double weight = route->prompt_tokens > 0 ? 0.05 : 1;
	route->pool = event->pool;
	route->prompt_tokens += weight * (event->prompt_tokens - route->prompt_tokens);
	route->output_tokens += weight * (event->output_tokens - route->output_tokens);
	pressure_note(route, control->seconds, pressure);
	if (arrival->pool->settings.scale_max)
		demand_add(&arrival->pool->demand, control->now_ns,
		           forecast_work_ns(control, arrival->pool, event->prompt_tokens, event->output_tokens));
}

static void refuse_arrival(struct control *control, const struct arrival *arrival, enum refusal refusal,
                           int64_t again_ns)
{
	const struct event *event = arrival->event;
	struct order order = { .kind = ORDER_REFUSE,
		                   .request = event->request,
		                   .ticket = CONTROL_TICKET_NONE,
		                   .refusal = refusal,
		                   .retry_after_ns = retry_after_ns(control, again_ns) };
	fill_prediction(control, arrival->route, arrival->pool, event->class, &arrival->forecast, &order);
	give_order(control, &order);
}

static void admit(struct control *control, const struct arrival *arrival, const struct rates *rates, uint32_t ahead)
{
	const struct event *event = arrival->event;
	struct ticket *ticket = ticket_take(control, event);
	rates_use(control, event, rates);
	ticket->charged_tokens = (uint32_t)min_ll((long long)rates->tokens, UINT32_MAX);
	ticket->forecast = arrival->forecast;
	ticket->is_guess = is_guess(control, arrival->pool);
	struct order order = {
		.kind = ORDER_PREPARE, .request = event->request, .ticket = ticket_index(control, ticket), .queue_ahead = ahead
	};
	fill_prediction(control, arrival->route, arrival->pool, event->class, &arrival->forecast, &order);
	give_order(control, &order);
}

/* Over its tenant's or route's rates: not a matter of the load. The wait is exact, so it is told without a spread. */
static enum refusal weigh_rates(struct control *control, const struct event *event, const struct rates *rates,
                                int64_t *again_ns)
{
	*again_ns = rates_wait_ns(control, event, rates);
	if (*again_ns)
		return REFUSAL_RATE;
	bool is_over = event->limits.concurrency && rates->tenant->open >= event->limits.concurrency;
	return is_over ? REFUSAL_CONCURRENCY : REFUSAL_NONE;
}

void take_arrival(struct control *control, const struct event *event)
{
	MUST(event->pool < control->pool_count && event->class < CLASS_COUNT);
	MUST(event->route < control->route_count && event->tenant < control->tenant_count);
	struct pool *pool = &control->pools[event->pool];
	const struct rates rates = rates_of(control, event);
	rates.tenant->limits = event->limits;
	if (event->tenant != control->last_tenant)
		control->switched_ns = control->now_ns;
	control->last_tenant = event->tenant;
	predict_ratio_age(&pool->ratios[event->class], control->now_ns);
	const struct arrival arrival = look_at(control, event);
	int64_t again_ns = 0;
	enum refusal refusal = weigh_rates(control, event, &rates, &again_ns);
	if (refusal == REFUSAL_RATE) {
		struct order order = { .kind = ORDER_REFUSE,
			                   .request = event->request,
			                   .ticket = CONTROL_TICKET_NONE,
			                   .refusal = refusal,
			                   .retry_after_ns = again_ns };
		give_order(control, &order);
		return;
	}
	double pressure = pressure_by(control, &arrival);
	if (!refusal) {
		learn_arrival(control, &arrival, pressure);
		refusal = weigh(control, &arrival, &again_ns);
	} else {
		again_ns = wait_told_ns(pool, event->class, &arrival.forecast);
	}
	if (!refusal)
		refusal = weigh_promise(&arrival, pressure);
	const uint32_t ahead = pool->queued_count;
	if (!refusal && is_full(control, pool)) {
		struct ticket *displaced = queue_to_displace(control, pool, event);
		if (displaced)
			refuse_ticket(control, displaced, REFUSAL_QUEUE_FULL);
		else
			refusal = REFUSAL_QUEUE_FULL;
	}
	if (refusal)
		refuse_arrival(control, &arrival, refusal, again_ns);
	else
		admit(control, &arrival, &rates, ahead);
}
