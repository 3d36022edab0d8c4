/* 100,000 random events in random order: whatever happens, the accounts agree with a plain model of what was said. And the same events give
 * the same orders. */
#include "rig.h"

#include <string.h>

#include "base/random.h"

#define REQUESTS 64 /* over the tickets that there are */
#define REPLICAS 5
#define POOLS 2
#define CONCURRENCY 6

static const struct control_pool pools[POOLS] = {
	{ .queue_max = 12, .wait_max_ns = 3 * NS_PER_S, .replica_count = 3, .scale_min = 1, .scale_max = 3 },
	{ .queue_max = 3, .wait_max_ns = NS_PER_S, .replica_count = 2, .is_opaque = 1, .concurrency = CONCURRENCY },
};
#define IN_FLIGHT_MAX 24
#define TENANTS 4

static const struct control_route routes[] = {
	{ .requests_per_minute = 4000 },
	{ .ttft_ns = NS_PER_S,
	  .tpot_ns = 200 * NS_PER_MS,
	  .e2e_ns = 8 * NS_PER_S,
	  .rung_count = 3,
	  .rungs = { { RUNG_OUTPUT, 40 }, { RUNG_TIER, 0 }, { RUNG_TRY_AGAIN, 0 } },
	  .tokens_per_minute = 2000000,
	  .repeats_per_minute = 600 },
};

/* What a client of control knows of a request. */
struct known {
	bool is_live; /* it has a ticket */
	bool is_dispatched;
	bool is_streaming;
	uint64_t request;
	uint32_t ticket;
	uint32_t pool;
	uint32_t replica;
};

struct model {
	struct rig rig;
	struct random random;
	struct known requests[REQUESTS]; /* by ticket or free slot */
	struct known stale[64];          /* some that have ended */
	uint32_t stale_count;
	uint32_t live;
	uint32_t in_flight[REPLICAS];
	struct event load[REPLICAS]; /* the last of each */
	uint64_t arrivals;
	uint64_t dispatches;
	uint64_t retries;
	uint32_t rungs;
	uint32_t scales;
	uint64_t refusals[REFUSALS];
	uint64_t hash; /* of all orders */
};

static void hash_order(struct model *model, const struct order *order)
{
	const uint64_t parts[] = { order->kind,
		                       order->request,
		                       order->ticket,
		                       order->replica,
		                       order->refusal,
		                       (uint64_t)order->retry_after_ns,
		                       (uint64_t)order->predicted_ns,
		                       order->queue_ahead };
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		model->hash = (model->hash ^ parts[i]) * UINT64_C(0x100000001b3);
}

static struct known *find(struct model *model, uint64_t request)
{
	for (uint32_t i = 0; i < REQUESTS; i++)
		if (model->requests[i].is_live && model->requests[i].request == request)
			return &model->requests[i];
	return NULL;
}

static void forget(struct model *model, struct known *known)
{
	if (known->is_dispatched)
		model->in_flight[known->replica]--;
	known->is_live = false;
	model->stale[model->stale_count++ % COUNT_OF(model->stale)] = *known;
	*known = (struct known){ 0 };
	model->live--;
}

static void on_prepare(struct model *model, const struct order *order, uint32_t pool)
{
	uint32_t slot = 0;
	ck_assert_ptr_null(find(model, order->request));
	while (model->requests[slot].is_live)
		slot++;
	ck_assert_uint_lt(slot, REQUESTS);
	model->requests[slot] =
		(struct known){ .is_live = true, .request = order->request, .ticket = order->ticket, .pool = pool };
	model->live++;
}

static void on_dispatch(struct model *model, const struct order *order)
{
	struct known *known = find(model, order->request);
	ck_assert_ptr_nonnull(known);
	ck_assert(!known->is_dispatched); /* at most one for each */
	ck_assert_uint_eq(known->ticket, order->ticket);
	ck_assert_uint_eq(order->replica >= pools[0].replica_count, known->pool);
	ck_assert_int_eq(model->load[order->replica].state, REPLICA_READY);
	ck_assert_uint_lt(model->in_flight[order->replica], model->load[order->replica].sequences);
	model->in_flight[order->replica]++;
	known->is_dispatched = true;
	known->replica = order->replica;
	model->dispatches++;
}

static void take_orders(struct model *model, uint32_t pool)
{
	const struct rig *rig = &model->rig;
	for (size_t i = 0; i < rig->count; i++) {
		const struct order *order = &rig->orders[i];
		hash_order(model, order);
		if (order->kind == ORDER_PREPARE) {
			on_prepare(model, order, pool);
		} else if (order->kind == ORDER_DISPATCH) {
			on_dispatch(model, order);
		} else if (order->kind == ORDER_RUNG) {
			ck_assert_uint_eq(order->route, 1);
			ck_assert_uint_le(order->rung, routes[1].rung_count);
			model->rungs++;
		} else if (order->kind == ORDER_SCALE) {
			ck_assert_uint_eq(order->pool, 0);
			ck_assert_uint_ge(order->wanted, 1);
			ck_assert_uint_le(order->wanted, 3);
			model->scales++;
		} else if (order->kind == ORDER_REFUSE) {
			model->refusals[order->refusal]++;
			ck_assert_int_gt(order->retry_after_ns, 0);
			ck_assert_int_le(order->retry_after_ns, 375 * NS_PER_S);
			if (order->ticket != CONTROL_TICKET_NONE)
				forget(model, find(model, order->request));
		} else {
			model->refusals[order->refusal]++;
			ck_assert(find(model, order->request)->is_dispatched);
		}
	}
}

static void accounts_agree(const struct model *model)
{
	uint32_t in_flight = 0;
	uint32_t queued = 0;
	ck_assert_uint_eq(control_tickets(model->rig.control), model->live);
	for (uint32_t i = 0, replica = 0; i < POOLS; i++) {
		struct control_pool_view view;
		uint32_t of_pool = 0;
		control_view_pool(model->rig.control, i, &view);
		for (uint32_t r = 0; r < pools[i].replica_count; r++)
			of_pool += model->in_flight[replica++];
		ck_assert_uint_eq(view.in_flight, of_pool);
		/* Those that failed come back beside those that may wait. */
		ck_assert_uint_le(view.queued, pools[i].queue_max + IN_FLIGHT_MAX);
		ck_assert_int_ge(view.predicted_wait_ns, 0);
		ck_assert_double_ge(view.ratio_p95, 1);
		in_flight += view.in_flight;
		queued += view.queued;
	}
	ck_assert_uint_le(in_flight, IN_FLIGHT_MAX);
	ck_assert_uint_eq(in_flight + queued, model->live);
	ck_assert(model->rig.next_ns >= model->rig.now_ns);
}

static struct event random_load(struct model *model)
{
	struct random *random = &model->random;
	uint32_t replica = (uint32_t)random_below(random, REPLICAS);
	struct event event = { .kind = EVENT_LOAD, .replica = replica, .state = REPLICA_READY };
	if (random_below(random, 4) == 0)
		event.state = (uint32_t)random_below(random, REPLICA_STATES);
	event.percent = (uint32_t)random_below(random, 101);
	event.sequences = (uint32_t)random_below(random, 12);
	event.cells = random_below(random, 2) ? 0 : (uint32_t)random_below(random, 4000);
	event.rates =
		(struct predict_rates){ (int64_t)random_below(random, 20 * NS_PER_MS), (int64_t)random_below(random, NS_PER_MS),
		                        (int64_t)random_below(random, 5 * NS_PER_MS),
		                        (int64_t)random_below(random, NS_PER_MS) };
	model->load[replica] = event;
	if (replica >= pools[0].replica_count)
		model->load[replica].sequences = CONCURRENCY; /* whatever it says */
	return event;
}

static struct event random_arrival(struct model *model)
{
	struct random *random = &model->random;
	return (struct event){
		.kind = EVENT_ARRIVE,
		.request = ++model->arrivals,
		.pool = (uint32_t)random_below(random, POOLS),
		.class = (uint32_t)random_below(random, CLASS_COUNT),
		.route = (uint32_t)random_below(random, COUNT_OF(routes)),
		.tenant = (uint32_t)random_below(random, TENANTS),
		.limits = { .weight_permille = (uint32_t)random_below(random, 3) * 700,
		            .concurrency = random_below(random, 8) ? 0 : 4,
		            .requests_per_minute = random_below(random, 3) ? 0 : 20 },
		.is_repeat = random_below(random, 10) == 0,
		.prompt_tokens = (uint32_t)random_below(random, 500),
		.output_tokens = (uint32_t)random_below(random, 100),
		.deadline_ns =
			random_below(random, 8) ? model->rig.now_ns + (int64_t)random_below(random, 10 * NS_PER_S) : NS_NEVER,
	};
}

/* Any event of any request, in turn or not; now and then of one that has ended. */
static struct event random_request_event(struct model *model)
{
	struct random *random = &model->random;
	struct known *known = &model->stale[random_below(random, COUNT_OF(model->stale))];
	for (uint32_t i = 0, at = (uint32_t)random_below(random, REQUESTS); i < REQUESTS && random_below(random, 200); i++)
		if (model->requests[(at + i) % REQUESTS].is_live) {
			known = &model->requests[(at + i) % REQUESTS];
			break;
		}
	/* Mostly what makes a request go on. */
	static const enum event_kind kinds[] = { EVENT_PREPARED,    EVENT_PREPARED, EVENT_PREPARED, EVENT_FIRST_TOKEN,
		                                     EVENT_FIRST_TOKEN, EVENT_PROGRESS, EVENT_DONE,     EVENT_FAILED,
		                                     EVENT_GONE,        EVENT_RETRY };
	struct event event = { .kind = kinds[random_below(random, COUNT_OF(kinds))],
		                   .request = known->request,
		                   .ticket = known->ticket };
	event.prompt_tokens = event.kind == EVENT_PREPARED ? (uint32_t)random_below(random, 600) : 0;
	event.output_tokens = event.kind == EVENT_PROGRESS ? (uint32_t)random_below(random, 200) : 0;
	if (event.kind == EVENT_RETRY || event.kind == EVENT_FAILED)
		event.failure = (uint32_t)random_below(random, FAILURES);
	if (known->is_live && event.kind >= EVENT_DONE && event.kind <= EVENT_GONE)
		forget(model, known);
	if (known->is_live && event.kind == EVENT_FIRST_TOKEN && known->is_dispatched)
		known->is_streaming = true;
	if (known->is_live && event.kind == EVENT_RETRY && known->is_dispatched && !known->is_streaming) {
		model->in_flight[known->replica]--;
		model->retries++;
		known->is_dispatched = false;
	}
	return event;
}

static uint64_t run(uint64_t seed, uint32_t events, struct model *model)
{
	memset(model, 0, sizeof(*model));
	const struct control_settings settings = { .pools = pools,
		                                       .pool_count = POOLS,
		                                       .routes = routes,
		                                       .route_count = COUNT_OF(routes),
		                                       .tenant_count = TENANTS,
		                                       .in_flight_max = IN_FLIGHT_MAX,
		                                       .seed = 77 };
	ck_error_is(control_new(&settings, &model->rig.control), OK);
	random_seed(&model->random, seed);
	for (uint32_t i = 0; i < events; i++) {
		uint64_t what = random_below(&model->random, 100);
		struct event event = what < 3    ? random_load(model)
		                     : what < 35 ? random_arrival(model)
		                                 : random_request_event(model);
		if (random_below(&model->random, 3) == 0)
			model->rig.now_ns += (int64_t)random_below(&model->random, 200 * NS_PER_MS);
		rig_send(&model->rig, event);
		take_orders(model, event.pool);
		accounts_agree(model);
	}
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct known *known = &model->requests[i];
		if (!known->is_live)
			continue;
		rig_send(&model->rig, (struct event){ .kind = EVENT_GONE, .request = known->request, .ticket = known->ticket });
		forget(model, known);
		take_orders(model, 0);
	}
	accounts_agree(model);
	ck_assert_uint_eq(control_tickets(model->rig.control), 0);
	/* Only the next look at the ladder. */
	ck_assert_int_le(model->rig.next_ns, model->rig.now_ns + NS_PER_S);
	rig_close(&model->rig);
	return model->hash;
}

START_TEST(the_accounts_agree_after_every_one_of_100000_events)
{
	static struct model model;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		run(seed, 25000, &model);
		/* The run has seen everything. */
		ck_assert_uint_gt(model.dispatches, 500);
		ck_assert_uint_gt(model.retries, 100);
		ck_assert_uint_gt(model.rungs, 0);
		ck_assert_uint_gt(model.scales, 0);
		for (int refusal = REFUSAL_QUEUE_FULL; refusal < REFUSALS; refusal++)
			ck_assert_msg(model.refusals[refusal] > 0, "no refusal of kind %d with seed %d", refusal, (int)seed);
	}
}
END_TEST

START_TEST(the_same_events_give_the_same_orders)
{
	static struct model model;
	uint64_t first = run(9, 5000, &model);
	ck_assert_uint_eq(run(9, 5000, &model), first);
	ck_assert_uint_ne(run(10, 5000, &model), first);
}
END_TEST

UNIT_MAIN("policy/control_random", the_accounts_agree_after_every_one_of_100000_events,
          the_same_events_give_the_same_orders)
