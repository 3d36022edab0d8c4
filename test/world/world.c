/* Time, clients, and what becomes of the orders of control. The engines are in world_engine.c. */
#include "world_state.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_text.h"

#define ROUNDS_MAX 100000 /* control calls at one instant: more is a loop */

/* ---- making ---- */

enum error world_new(const struct control_settings *settings, struct world **out)
{
	*out = NULL;
	struct world *world = calloc(1, sizeof(*world));
	if (!world)
		return ERROR_MEMORY;
	for (uint32_t i = 0; i < settings->pool_count; i++)
		world->replica_count += settings->pools[i].replica_count;
	world->replicas = calloc(world->replica_count, sizeof(*world->replicas));
	world->routes = calloc(settings->route_count + 1u, sizeof(*world->routes));
	world->rungs = calloc(settings->route_count + 1u, sizeof(*world->rungs));
	world->wanted = calloc(settings->pool_count, sizeof(*world->wanted));
	random_seed(&world->random, settings->seed + 1);
	bool has_all = world->replicas && world->routes && world->rungs && world->wanted;
	for (uint32_t i = 0; has_all && i < settings->route_count; i++)
		world->routes[i] = settings->routes[i];
	enum error error = has_all ? control_new(settings, &world->control) : ERROR_MEMORY;
	if (error)
		world_free(&world);
	*out = world;
	return error;
}

void world_free(struct world **world_slot)
{
	struct world *world = *world_slot;
	if (!world)
		return;
	*world_slot = NULL;
	heap_fini(&world->timers);
	control_free(&world->control);
	for (uint32_t i = 0; i < world->request_count; i++)
		free(world->requests[i]);
	free(world->requests);
	free(world->replicas);
	free(world->routes);
	free(world->rungs);
	free(world->wanted);
	free(world->events);
	free(world->orders);
	free(world);
}

void world_one_by_one(struct world *world, world_hook *hook, void *context)
{
	world->is_one_by_one = true;
	world->hook = hook;
	world->hook_context = context;
}

void world_record(struct world *world, struct bytes *out)
{
	world->record = out;
}

/* ---- timers and events ---- */

void world_set_timer(struct world *world, struct heap_node *timer, int64_t at_ns)
{
	heap_remove(&world->timers, timer);
	timer->key = max_ll(at_ns, world->now_ns);
	if (at_ns != NS_NEVER)
		MUST(heap_push(&world->timers, timer) == OK);
}

void world_push_event(struct world *world, const struct event *event)
{
	if (world->event_count == world->event_capacity) {
		world->event_capacity = world->event_capacity ? 2 * world->event_capacity : 64;
		world->events = reallocarray(world->events, world->event_capacity, sizeof(*world->events));
		MUST(world->events);
	}
	world->events[world->event_count++] = *event;
}

void world_push_request_event(struct world *world, enum event_kind kind, uint32_t index)
{
	const struct world_request *request = world->requests[index];
	world_push_event(world, &(struct event){
								.kind = kind,
								.request = index,
								.ticket = request->ticket,
								.output_tokens = kind == EVENT_PROGRESS || kind == EVENT_DONE ? request->produced : 0,
							});
}

void world_end(struct world *world, uint32_t index, enum world_state state)
{
	struct world_request *request = world->requests[index];
	MUST(request->ended_ns == WORLD_NOT_YET);
	heap_remove(&world->timers, &request->prepared);
	request->state = state;
	request->ended_ns = world->now_ns;
	world->open--;
}

/* ---- orders ---- */

static void carry_out_dispatch(struct world *world, const struct order *order, struct world_request *request)
{
	struct world_replica *replica = &world->replicas[order->replica];
	MUST(request->state == WORLD_QUEUED && replica->told == REPLICA_READY);
	request->state = WORLD_DISPATCHED;
	request->replica = order->replica;
	request->dispatched_ns = world->now_ns;
	request->dispatch_order = ++world->dispatched;
	world_engine_take(world, replica, request);
}

/* Its client comes again when it was told to, give or take a twentieth: no two are the same. */
static void plan_next_try(struct world *world, struct world_request *request)
{
	if (request->tries == 0)
		return;
	int64_t spread_ns = request->retry_after_ns / 20;
	int64_t again_ns = request->retry_after_ns + (int64_t)random_below(&world->random, (uint64_t)spread_ns + 1);
	world->open++; /* somebody still waits for it */
	world_set_timer(world, &request->prepared, world->now_ns + again_ns);
}

static void carry_out_refusal(struct world *world, const struct order *order, struct world_request *request)
{
	MUST(request->state < WORLD_DISPATCHED);
	request->refusal = order->refusal;
	request->retry_after_ns = order->retry_after_ns;
	request->predicted_ns = order->predicted_ns;
	request->wait_ns = order->wait_ns;
	world_end(world, request->index, WORLD_REFUSED);
	plan_next_try(world, request);
}

static void carry_out_for_all(struct world *world, const struct order *order)
{
	if (order->kind == ORDER_RUNG)
		world->rungs[order->route] = order->rung;
	else
		world->wanted[order->pool] = order->wanted;
}

static void carry_out(struct world *world, const struct order *order)
{
	if (order->kind == ORDER_RUNG || order->kind == ORDER_SCALE) {
		carry_out_for_all(world, order);
		return;
	}
	struct world_request *request = world->requests[order->request];
	uint32_t index = (uint32_t)order->request;
	if (request->ended_ns != WORLD_NOT_YET) {
		/* Its end is on the way to control, or it left before it had a ticket to give back. */
		if (order->kind == ORDER_PREPARE) {
			request->ticket = order->ticket;
			world_push_request_event(world, EVENT_GONE, index);
		}
		return;
	}
	switch (order->kind) {
	case ORDER_PREPARE:
		MUST(request->state == WORLD_ARRIVING);
		request->state = WORLD_PREPARING;
		request->ticket = order->ticket;
		request->predicted_ns = order->predicted_ns;
		request->promised_ns = order->promised_ns;
		request->wait_ns = order->wait_ns;
		world_set_timer(world, &request->prepared,
		                request->prepare_ns == NS_NEVER ? NS_NEVER : world->now_ns + request->prepare_ns);
		return;
	case ORDER_DISPATCH:
		carry_out_dispatch(world, order, request);
		return;
	case ORDER_REFUSE:
		carry_out_refusal(world, order, request);
		return;
	case ORDER_CANCEL:
		request->refusal = order->refusal;
		world_engine_drop(world, index);
		world_push_request_event(world, EVENT_FAILED, index);
		world_end(world, index, WORLD_CANCELLED);
		return;
	case ORDER_RUNG:
	case ORDER_SCALE:
	case ORDER_KINDS:
		MUST(false);
	}
}

static void step_control(struct world *world, const struct event *events, size_t count)
{
	size_t cap = 2 * count + CONTROL_ORDERS_EXTRA;
	int64_t next_ns = NS_NEVER;
	if (cap > world->order_capacity) {
		world->orders = reallocarray(world->orders, cap, sizeof(*world->orders));
		MUST(world->orders);
		world->order_capacity = cap;
	}
	size_t orders = control_step(world->control, world->now_ns, events, count, world->orders, cap, &next_ns);
	if (world->record)
		control_text_write_step(world->record, world->now_ns, events, count, world->orders, orders);
	world->steps++;
	world->events_seen += count;
	for (size_t i = 0; i < count; i++)
		if (events[i].kind == EVENT_LOAD)
			world->replicas[events[i].replica].told = (enum replica_state)events[i].state;
	for (size_t i = 0; i < orders; i++)
		carry_out(world, &world->orders[i]);
	world_set_timer(world, &world->deadline, next_ns);
}

/* Takes the events that go to control in one call: all, or the first. Returned array: the caller frees it. */
static struct event *take_events(struct world *world, size_t *count)
{
	*count = world->is_one_by_one && world->event_count ? 1 : world->event_count;
	struct event *events = calloc(*count + 1, sizeof(*events));
	MUST(events);
	for (size_t i = 0; i < *count; i++)
		events[i] = world->events[i];
	world->event_count -= *count;
	for (size_t i = 0; i < world->event_count; i++)
		world->events[i] = world->events[i + *count];
	return events;
}

void world_deliver(struct world *world)
{
	if (world->is_delivering)
		return; /* called from the hook: the loop below goes on with it */
	world->is_delivering = true;
	while (world->event_count || world->is_due) {
		size_t count;
		struct event *events = take_events(world, &count);
		world->is_due = false;
		step_control(world, events, count);
		if (world->hook)
			world->hook(world->hook_context, world, count ? &events[0] : NULL);
		free(events);
	}
	world->is_delivering = false;
}

/* ---- time ---- */

static void fail_what_stands_still(struct world *world)
{
	for (uint32_t i = 0; i < world->request_count; i++)
		if (world->requests[i]->state == WORLD_DISPATCHED || world->requests[i]->state == WORLD_STREAMING)
			world_fail(world, i);
	world_set_timer(world, &world->idle, world->now_ns + WORLD_IDLE_NS);
}

static void fire(struct world *world, struct heap_node *timer)
{
	if (timer == &world->deadline) {
		world->is_due = true;
		return;
	}
	if (timer == &world->idle) {
		fail_what_stands_still(world);
		return;
	}
	for (uint32_t i = 0; i < world->replica_count; i++)
		for (int lane = 0; lane < STEP_LANES; lane++)
			if (timer == &world->replicas[i].lanes[lane].step) {
				world_engine_end_step(world, &world->replicas[i], (enum step_lane)lane);
				return;
			}
	struct world_request *request = container_of(timer, struct world_request, prepared);
	if (request->state == WORLD_REFUSED) {
		world->open--;
		world_try_again(world, request);
		return;
	}
	request->state = WORLD_QUEUED;
	world_push_request_event(world, EVENT_PREPARED, request->index);
}

void world_run_until(struct world *world, int64_t time_ns)
{
	struct heap_node *timer;
	uint32_t rounds = 0;
	world_deliver(world);
	while ((timer = heap_peek(&world->timers)) && timer->key <= time_ns) {
		rounds = timer->key == world->now_ns ? rounds + 1 : 0;
		MUST(rounds < ROUNDS_MAX);
		world->now_ns = timer->key;
		heap_remove(&world->timers, timer);
		fire(world, timer);
		/* What happens at the same time is delivered together, as a loop iteration would. */
		timer = heap_peek(&world->timers);
		if (!timer || timer->key > world->now_ns || world->is_one_by_one)
			world_deliver(world);
	}
	world->now_ns = max_ll(world->now_ns, time_ns);
}

bool world_run_out(struct world *world, int64_t time_ns)
{
	world_deliver(world);
	while (world->open) {
		struct heap_node *timer = heap_peek(&world->timers);
		if (!timer || timer->key > time_ns)
			return false;
		world_run_until(world, timer->key);
	}
	return true;
}

/* ---- what the caller does ---- */

/* What the rungs that are in effect make of it. */
static void shape(const struct world *world, struct world_request *request)
{
	const struct control_route *route = &world->routes[request->route];
	request->rung = world->rungs[request->route];
	for (uint32_t i = 0; i < request->rung; i++) {
		const struct ladder_rung *rung = &route->rungs[i];
		if (rung->kind == RUNG_TIER)
			request->pool = rung->value;
		if (rung->kind != RUNG_OUTPUT)
			continue;
		request->output_tokens = (uint32_t)min_ll(request->output_tokens, rung->value);
		if (request->expected_tokens)
			request->expected_tokens = (uint32_t)min_ll(request->expected_tokens, rung->value);
	}
}

uint32_t world_arrive(struct world *world, const struct world_request *given)
{
	if (world->request_count == world->request_capacity) {
		world->request_capacity = world->request_capacity ? 2 * world->request_capacity : 256;
		world->requests = reallocarray(world->requests, world->request_capacity, sizeof(struct world_request *));
		MUST(world->requests);
	}
	struct world_request *request = calloc(1, sizeof(*request));
	MUST(request);
	*request = *given;
	shape(world, request);
	request->state = WORLD_ARRIVING;
	request->refusal = REFUSAL_NONE;
	request->ticket = CONTROL_TICKET_NONE;
	request->prefill_left = given->prompt_tokens;
	request->arrived_ns = world->now_ns;
	request->dispatched_ns = request->first_token_ns = request->ended_ns = WORLD_NOT_YET;
	uint32_t index = world->request_count++;
	request->index = index;
	request->prepared = (struct heap_node){ 0 };
	if (!request->is_repeat) {
		request->parent = index;
		request->asked_ns = world->now_ns;
	}
	world->requests[index] = request;
	world->open++;
	world_push_event(world,
	                 &(struct event){
						 .kind = EVENT_ARRIVE,
						 .request = index,
						 .pool = request->pool,
						 .class = request->class,
						 .route = request->route,
						 .tenant = request->tenant,
						 .limits = request->limits,
						 .prompt_tokens = request->prompt_tokens,
						 .output_tokens = request->expected_tokens ? request->expected_tokens : request->output_tokens,
						 .deadline_ns = request->deadline_ns,
						 .is_repeat = request->is_repeat,
					 });
	return index;
}

void world_try_again(struct world *world, const struct world_request *refused)
{
	struct world_request again = *refused;
	again.tries--;
	again.is_repeat = true;
	again.parent = refused->index;
	again.retry_after_ns = 0;
	again.dispatch_order = 0;
	again.produced = again.planned = 0;
	if (again.deadline_ns != NS_NEVER)
		again.deadline_ns = world->now_ns + (refused->deadline_ns - refused->arrived_ns);
	world_arrive(world, &again);
}

uint32_t world_rung(const struct world *world, uint32_t route)
{
	return world->rungs[route];
}

uint32_t world_wanted(const struct world *world, uint32_t pool)
{
	return world->wanted[pool];
}

static void break_off(struct world *world, uint32_t index, enum event_kind kind, enum world_state state)
{
	struct world_request *request = world->requests[index];
	if (request->ended_ns != WORLD_NOT_YET)
		return;
	if (request->state == WORLD_DISPATCHED || request->state == WORLD_STREAMING)
		world_engine_drop(world, index);
	world_push_request_event(world, kind, index);
	world_end(world, index, state);
	world_deliver(world);
}

void world_gone(struct world *world, uint32_t request)
{
	world_deliver(world);
	break_off(world, request, EVENT_GONE, WORLD_GONE);
}

void world_fail(struct world *world, uint32_t request)
{
	world_deliver(world);
	break_off(world, request, EVENT_FAILED, WORLD_FAILED);
}

void world_stall(struct world *world, uint32_t request)
{
	world->requests[request]->is_stalled = true;
	world->requests[request]->planned = 0;
}

int64_t world_now_ns(const struct world *world)
{
	return world->now_ns;
}

uint32_t world_count(const struct world *world)
{
	return world->request_count;
}

uint32_t world_open(const struct world *world)
{
	return world->open;
}

uint64_t world_steps(const struct world *world)
{
	return world->steps;
}

uint64_t world_events(const struct world *world)
{
	return world->events_seen;
}

const struct world_request *world_request(const struct world *world, uint32_t request)
{
	return world->requests[request];
}

const struct control *world_control(const struct world *world)
{
	return world->control;
}

const char *world_state_word(enum world_state state)
{
	static const char *const words[WORLD_STATES] = {
		[WORLD_ARRIVING] = "arriving",     [WORLD_PREPARING] = "preparing", [WORLD_QUEUED] = "queued",
		[WORLD_DISPATCHED] = "dispatched", [WORLD_STREAMING] = "streaming", [WORLD_DONE] = "done",
		[WORLD_FAILED] = "failed",         [WORLD_GONE] = "gone",           [WORLD_REFUSED] = "refused",
		[WORLD_CANCELLED] = "cancelled",
	};
	return words[state];
}
