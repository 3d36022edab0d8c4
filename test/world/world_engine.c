/* Engines of two lanes: prompt steps as policy/batch plans them and rounds of the streams, each at the cost of its rates; what a lane takes longer
 * while the other works is `prefill_beside_ns`. */
#include "world_state.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/batch.h"

#define TOKENS_MAX 128
#define LOAD_EVERY_NS (500 * NS_PER_MS)
#define PROGRESS_EVERY 16

static struct batch_prompt describe(const struct world_request *request)
{
	return (struct batch_prompt){
		.left = request->prefill_left,
		.context_tokens = request->prompt_tokens - request->prefill_left,
		.arrived_ns = request->dispatched_ns,
		.deadline_ns = request->deadline_ns,
		.arrival = request->index,
	};
}

static struct step_size plan_prompts(struct world *world, struct world_replica *replica)
{
	struct batch_prompt plan[WORLD_SEQUENCES_MAX];
	uint32_t planned[WORLD_SEQUENCES_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < replica->running_count; i++) {
		const struct world_request *request = world->requests[replica->running[i]];
		if (request->is_stalled || request->prefill_left == 0)
			continue;
		planned[count] = replica->running[i];
		plan[count++] = describe(request);
	}
	uint32_t tokens_max = replica->engine.tokens_max ? replica->engine.tokens_max : TOKENS_MAX;
	struct step_size size = batch_plan(plan, count, tokens_max, &replica->lanes[STEP_PROMPTS].model);
	for (uint32_t i = 0; i < count; i++)
		world->requests[planned[i]]->planned = plan[i].tokens;
	return size;
}

static struct step_size plan_streams(struct world *world, struct world_replica *replica)
{
	struct step_size size = { 0 };
	for (uint32_t i = 0; i < replica->running_count; i++) {
		struct world_request *request = world->requests[replica->running[i]];
		if (request->is_stalled || request->prefill_left)
			continue;
		request->planned = 1;
		size.tokens++;
		size.context_cells += request->prompt_tokens + request->produced;
	}
	return size;
}

static double cost_ns(const struct predict_rates *rates, enum step_lane lane, const struct step_size *size)
{
	if (lane == STEP_PROMPTS)
		return (double)rates->prefill_fixed_ns + (double)rates->prefill_ns * size->tokens +
		       (double)rates->prefill_beside_ns * size->beside;
	return (double)rates->fixed_ns + (double)rates->decode_ns * size->tokens +
	       (double)rates->context_ns * (double)size->context_cells / 1000;
}

static void begin_step(struct world *world, struct world_replica *replica, enum step_lane which)
{
	struct world_lane *lane = &replica->lanes[which];
	if (lane->step.place || world->is_stalled)
		return;
	lane->size = which == STEP_PROMPTS ? plan_prompts(world, replica) : plan_streams(world, replica);
	if (lane->size.tokens == 0)
		return;
	const struct world_engine *engine = &replica->engine;
	bool is_beside = which == STEP_PROMPTS && replica->lanes[STEP_STREAMS].step.place;
	lane->size.beside = is_beside ? lane->size.tokens : 0;
	double took_ns = cost_ns(&engine->rates, which, &lane->size);
	if (engine->noise > 0)
		took_ns *= 1 + engine->noise * (2 * random_unit(&world->random) - 1);
	lane->began_ns = world->now_ns;
	world_set_timer(world, &lane->step, world->now_ns + (int64_t)max_ll((long long)took_ns, 1));
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

static struct predict_rates learned_rates(const struct world_replica *replica)
{
	double prompt[STEP_TERMS];
	double stream[STEP_TERMS];
	step_model_terms(&replica->lanes[STEP_PROMPTS].model, prompt);
	step_model_terms(&replica->lanes[STEP_STREAMS].model, stream);
	return (struct predict_rates){
		.fixed_ns = (int64_t)stream[STEP_FIXED],
		.prefill_ns = (int64_t)prompt[STEP_TOKEN],
		.decode_ns = (int64_t)stream[STEP_TOKEN],
		.context_ns = (int64_t)(stream[STEP_CONTEXT] * 1000),
		.prefill_fixed_ns = (int64_t)prompt[STEP_FIXED],
		.prefill_beside_ns = (int64_t)prompt[STEP_BESIDE],
	};
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
		for (uint32_t i = 0; i < replica->running_count; i++)
			event.backlog_tokens += world->requests[replica->running[i]]->prefill_left;
		if (replica->engine.is_learning)
			event.rates = learned_rates(replica);
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

void world_engine_end_step(struct world *world, struct world_replica *replica, enum step_lane which)
{
	struct world_lane *lane = &replica->lanes[which];
	uint32_t running[WORLD_SEQUENCES_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < replica->running_count; i++) {
		const struct world_request *request = world->requests[replica->running[i]];
		if (request->planned && (request->prefill_left > 0) == (which == STEP_PROMPTS))
			running[count++] = replica->running[i];
	}
	if (replica->engine.is_learning)
		step_model_observe(&lane->model, &lane->size, world->now_ns - lane->began_ns);
	for (uint32_t i = 0; i < count; i++) {
		advance(world, running[i]);
		world->requests[running[i]]->planned = 0;
	}
	if (world->now_ns - replica->reported_ns >= LOAD_EVERY_NS)
		push_load(world, replica, 0);
	begin_step(world, replica, STEP_STREAMS);
	begin_step(world, replica, STEP_PROMPTS);
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
	begin_step(world, replica, STEP_PROMPTS);
}

/* ---- what becomes of replicas ---- */

void world_replica_ready(struct world *world, uint32_t index, const struct world_engine *engine)
{
	struct world_replica *replica = &world->replicas[index];
	MUST(engine->sequences <= WORLD_SEQUENCES_MAX);
	replica->state = REPLICA_READY;
	replica->engine = *engine;
	const struct predict_rates *rates = &engine->rates;
	struct step_model *prompt = &replica->lanes[STEP_PROMPTS].model;
	struct step_model *stream = &replica->lanes[STEP_STREAMS].model;
	step_model_init(prompt, STEP_PROMPTS);
	step_model_init(stream, STEP_STREAMS);
	if (!engine->is_learning) {
		const double prompt_terms[STEP_TERMS] = { (double)rates->prefill_fixed_ns, (double)rates->prefill_ns,
			                                      (double)rates->prefill_beside_ns, 0 };
		const double stream_terms[STEP_TERMS] = { (double)rates->fixed_ns, (double)rates->decode_ns, 0,
			                                      (double)rates->context_ns / 1000 };
		memcpy(prompt->terms, prompt_terms, sizeof(prompt_terms));
		memcpy(stream->terms, stream_terms, sizeof(stream_terms));
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
	for (int lane = 0; lane < STEP_LANES; lane++)
		heap_remove(&world->timers, &replica->lanes[lane].step);
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
		for (int lane = 0; lane < STEP_LANES; lane++)
			heap_remove(&world->timers, &world->replicas[i].lanes[lane].step);
	world_set_timer(world, &world->idle, world->now_ns + WORLD_IDLE_NS);
}
