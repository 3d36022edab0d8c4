/* Engines: steps as policy/batch plans them, at the cost of their rates. */
#include "world_state.h"

#include "base/clock.h"
#include "base/macros.h"

#define BUDGET_NS (100 * NS_PER_MS)
#define TOKENS_MAX 2048
#define CHUNK_TOKENS 64
#define LOAD_EVERY_NS (500 * NS_PER_MS)
#define PROGRESS_EVERY 16

static void begin_step(struct world *world, struct world_replica *replica)
{
	struct batch_sequence plan[WORLD_SEQUENCES_MAX];
	uint32_t planned[WORLD_SEQUENCES_MAX];
	uint32_t count = 0;
	if (replica->step.place || world->is_stalled)
		return;
	for (uint32_t i = 0; i < replica->running_count; i++) {
		const struct world_request *request = world->requests[replica->running[i]];
		if (request->is_stalled)
			continue;
		planned[count] = replica->running[i];
		plan[count++] = (struct batch_sequence){
			.prefill_left = request->prefill_left,
			.context_tokens = request->prompt_tokens - request->prefill_left + request->produced,
			.deadline_ns = request->deadline_ns,
			.arrival = planned[count],
		};
	}
	if (count == 0)
		return;
	const struct world_engine *engine = &replica->engine;
	struct batch_limits limits = { engine->tokens_max ? engine->tokens_max : TOKENS_MAX, CHUNK_TOKENS,
		                           engine->budget_ns ? engine->budget_ns : BUDGET_NS };
	replica->size = batch_plan(plan, count, &limits, &replica->model);
	for (uint32_t i = 0; i < count; i++)
		world->requests[planned[i]]->planned = plan[i].tokens;
	const struct predict_rates *rates = &engine->rates;
	double took_ns = (double)rates->fixed_ns + (double)rates->prefill_ns * replica->size.prefill_tokens +
	                 (double)rates->decode_ns * replica->size.decode_sequences +
	                 (double)rates->context_ns * replica->size.context_cells / 1000;
	if (engine->noise > 0)
		took_ns *= 1 + engine->noise * (2 * random_unit(&world->random) - 1);
	replica->began_ns = world->now_ns;
	world_set_timer(world, &replica->step, world->now_ns + (int64_t)max_ll((long long)took_ns, 1));
}

void world_engine_drop(struct world *world, uint32_t index)
{
	struct world_replica *replica = &world->replicas[world->requests[index]->replica];
	world->requests[index]->planned = 0;
	for (uint32_t i = 0; i < replica->running_count; i++)
		if (replica->running[i] == index) {
			replica->running_count--;
			for (; i < replica->running_count; i++)
				replica->running[i] = replica->running[i + 1];
			return;
		}
}

static void push_load(struct world *world, struct world_replica *replica, uint32_t percent)
{
	struct event event = {
		.kind = EVENT_LOAD,
		.replica = (uint32_t)(replica - world->replicas),
		.state = replica->state,
		.percent = percent,
	};
	if (replica->state == REPLICA_READY) {
		event.sequences = replica->engine.sequences;
		event.cells = replica->engine.cells;
		event.rates = replica->engine.rates;
		if (replica->engine.is_learning)
			event.rates =
				(struct predict_rates){ (int64_t)replica->model.terms[0], (int64_t)replica->model.terms[1],
				                        (int64_t)replica->model.terms[2], (int64_t)(replica->model.terms[3] * 1000) };
	}
	replica->reported_ns = world->now_ns;
	world_push_event(world, &event);
}

/* What a step has done for one request. */
static void advance(struct world *world, uint32_t index)
{
	struct world_request *request = world->requests[index];
	if (request->prefill_left) {
		request->prefill_left -= request->planned;
		if (request->prefill_left)
			return;
		/* The last chunk's logits give the first token. */
		request->state = WORLD_STREAMING;
		request->first_token_ns = world->now_ns;
		world_push_request_event(world, EVENT_FIRST_TOKEN, index);
	}
	request->produced++;
	if (request->produced >= request->output_tokens) {
		world_push_request_event(world, EVENT_DONE, index);
		world_engine_drop(world, index);
		world_end(world, index, WORLD_DONE);
	} else if (request->produced % PROGRESS_EVERY == 0) {
		world_push_request_event(world, EVENT_PROGRESS, index);
	}
}

void world_engine_end_step(struct world *world, struct world_replica *replica)
{
	uint32_t running[WORLD_SEQUENCES_MAX];
	uint32_t count = replica->running_count;
	for (uint32_t i = 0; i < count; i++)
		running[i] = replica->running[i];
	if (replica->engine.is_learning)
		step_model_observe(&replica->model, &replica->size, world->now_ns - replica->began_ns);
	for (uint32_t i = 0; i < count; i++) {
		struct world_request *request = world->requests[running[i]];
		if (request->planned)
			advance(world, running[i]);
		request->planned = 0;
	}
	if (world->now_ns - replica->reported_ns >= LOAD_EVERY_NS)
		push_load(world, replica, 0);
	begin_step(world, replica);
}

void world_engine_take(struct world *world, struct world_replica *replica, struct world_request *request)
{
	if (replica->state != REPLICA_READY) {
		/* It died a moment ago, and control is about to hear of it. */
		world_push_request_event(world, EVENT_FAILED, request->index);
		world_end(world, request->index, WORLD_FAILED);
		return;
	}
	MUST(replica->running_count < replica->engine.sequences);
	replica->running[replica->running_count++] = request->index;
	begin_step(world, replica);
}

/* ---- what becomes of replicas ---- */

void world_replica_ready(struct world *world, uint32_t index, const struct world_engine *engine)
{
	struct world_replica *replica = &world->replicas[index];
	MUST(engine->sequences <= WORLD_SEQUENCES_MAX);
	replica->state = REPLICA_READY;
	replica->engine = *engine;
	step_model_init(&replica->model);
	if (!engine->is_learning) {
		const struct predict_rates *rates = &engine->rates;
		replica->model.terms[0] = (double)rates->fixed_ns;
		replica->model.terms[1] = (double)rates->prefill_ns;
		replica->model.terms[2] = (double)rates->decode_ns;
		replica->model.terms[3] = (double)rates->context_ns / 1000;
	}
	push_load(world, replica, 0);
	world_deliver(world);
}

void world_replica_starting(struct world *world, uint32_t index, uint32_t percent)
{
	world->replicas[index].state = REPLICA_STARTING;
	push_load(world, &world->replicas[index], percent);
	world_deliver(world);
}

void world_replica_down(struct world *world, uint32_t index)
{
	struct world_replica *replica = &world->replicas[index];
	replica->state = REPLICA_DOWN;
	heap_remove(&world->timers, &replica->step);
	push_load(world, replica, 0);
	while (replica->running_count) {
		uint32_t request = replica->running[0];
		world_engine_drop(world, request);
		world_push_request_event(world, EVENT_FAILED, request);
		world_end(world, request, WORLD_FAILED);
	}
	world_deliver(world);
}

void world_stall_all(struct world *world)
{
	world->is_stalled = true;
	for (uint32_t i = 0; i < world->replica_count; i++)
		heap_remove(&world->timers, &world->replicas[i].step);
	world_set_timer(world, &world->idle, world->now_ns + WORLD_IDLE_NS);
}
