/* Statements against a world. A request's name is a word, with a number behind it when its line has times=. */
#include "script_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_text.h"

#define RUN_OUT_NS (3600 * NS_PER_S)
#define PROMPT_TOKENS 20
#define OUTPUT_TOKENS 20

/* ---- names ---- */

static bool is_named(const struct named *named, struct span name)
{
	char number[16] = "";
	if (named->number)
		snprintf(number, sizeof(number), "%u", named->number);
	struct span tail = span_of(number);
	return name.len == named->base.len + tail.len && span_starts_with(name, named->base) &&
	       span_equal((struct span){ name.at + named->base.len, tail.len }, tail);
}

uint32_t run_find_request(const struct run *run, struct span name)
{
	for (uint32_t i = 0; i < run->count; i++)
		if (is_named(&run->names[i], name))
			return i;
	return UINT32_MAX;
}

/* A client that comes again makes a request of its own, of the same name. */
static void add_name(struct run *run, const struct named *named)
{
	if (run->count == run->capacity) {
		run->capacity = run->capacity ? 2 * run->capacity : 64;
		run->names = reallocarray(run->names, run->capacity, sizeof(*run->names));
		MUST(run->names);
	}
	run->names[run->count++] = *named;
}

static void name_repeats(struct run *run)
{
	while (run->count < world_count(run->world)) {
		struct named named = run->names[world_request(run->world, run->count)->parent];
		add_name(run, &named);
	}
}

/* ---- what is done ---- */

static uint32_t spread_by(struct run *run, uint32_t tokens, int64_t percent)
{
	double factor = 1 + (double)percent / 100 * (2 * random_unit(&run->random) - 1);
	return (uint32_t)max_ll((long long)(tokens * factor), 1);
}

/* What a request's line says of its tenant; false when it is something else. */
static bool read_tenant(const struct term *term, struct world_request *request)
{
	if (span_is(term->name, "tenant"))
		request->tenant = (uint32_t)term->value;
	else if (span_is(term->name, "weight"))
		request->limits.weight_permille = (uint32_t)term->value * 10;
	else if (span_is(term->name, "requests"))
		request->limits.requests_per_minute = (uint32_t)term->value;
	else if (span_is(term->name, "tokens"))
		request->limits.tokens_per_minute = (uint32_t)term->value;
	else if (span_is(term->name, "open"))
		request->limits.concurrency = (uint32_t)term->value;
	else
		return false;
	return true;
}

static bool is_timing(struct span name)
{
	static const char *const names[] = { "times", "every", "about", "wave", "swing" };
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_is(name, names[i]))
			return true;
	return false;
}

static bool do_request(struct run *run, const struct statement *statement, struct words words)
{
	struct world_request request = { .class = CLASS_STANDARD,
		                             .prompt_tokens = PROMPT_TOKENS,
		                             .output_tokens = OUTPUT_TOKENS };
	struct span name = words_next(&words);
	struct span word;
	struct term term;
	int64_t deadline_ns = NS_NEVER;
	int64_t spread = 0;
	while ((word = words_next(&words)).len) {
		if (!term_read(word, &term))
			return false;
		if (span_is(term.name, "pool"))
			request.pool = script_pool(run->script, term.text);
		else if (span_is(term.name, "route"))
			request.route = script_route(run->script, term.text);
		else if (span_is(term.name, "class")) {
			for (request.class = 0; request.class < CLASS_COUNT; request.class ++)
				if (span_is(term.text, control_class_word(request.class)))
					break;
		} else if (!term.is_number)
			return false;
		else if (span_is(term.name, "prompt"))
			request.prompt_tokens = (uint32_t)term.value;
		else if (span_is(term.name, "output"))
			request.output_tokens = (uint32_t)term.value;
		else if (span_is(term.name, "expected"))
			request.expected_tokens = (uint32_t)term.value;
		else if (span_is(term.name, "deadline"))
			deadline_ns = term.value;
		else if (span_is(term.name, "prepare"))
			request.prepare_ns = term.value;
		else if (span_is(term.name, "tries"))
			request.tries = (uint32_t)term.value;
		else if (span_is(term.name, "spread"))
			spread = term.value;
		else if (!read_tenant(&term, &request) && !is_timing(term.name))
			return false;
	}
	if (name.len == 0 || request.pool >= run->script->settings.pool_count || request.class >= CLASS_COUNT ||
	    request.route == UINT32_MAX || request.tenant >= max_ll(run->script->settings.tenant_count, 1))
		return false;
	if (spread) {
		/* Control is told the middle, as of a route whose answers it knows. */
		request.expected_tokens = request.output_tokens;
		request.prompt_tokens = spread_by(run, request.prompt_tokens, spread);
		request.output_tokens = spread_by(run, request.output_tokens, spread);
	}
	request.deadline_ns = deadline_ns == NS_NEVER ? NS_NEVER : world_now_ns(run->world) + deadline_ns;
	uint32_t index = world_arrive(run->world, &request);
	MUST(index == run->count);
	add_name(run, &(struct named){ name, statement->repetition, statement->words.line, false });
	return true;
}

static bool read_engine(struct words words, struct world_engine *engine, uint32_t *percent)
{
	struct span word;
	struct term term;
	while ((word = words_next(&words)).len) {
		if (!term_read(word, &term) || !term.is_number)
			return false;
		if (span_is(term.name, "sequences"))
			engine->sequences = (uint32_t)term.value;
		else if (span_is(term.name, "cells"))
			engine->cells = (uint32_t)term.value;
		else if (span_is(term.name, "fixed"))
			engine->rates.fixed_ns = engine->rates.prefill_fixed_ns = term.value;
		else if (span_is(term.name, "prefill"))
			engine->rates.prefill_ns = term.value;
		else if (span_is(term.name, "beside"))
			engine->rates.prefill_beside_ns = term.value;
		else if (span_is(term.name, "decode"))
			engine->rates.decode_ns = term.value;
		else if (span_is(term.name, "context"))
			engine->rates.context_ns = term.value;
		else if (span_is(term.name, "noise"))
			engine->noise = (double)term.value / 100;
		else if (span_is(term.name, "percent"))
			*percent = (uint32_t)term.value;
		else
			return false;
	}
	return true;
}

static bool do_replica(struct run *run, struct words words)
{
	uint32_t replica = script_replica(run->script, words_next(&words));
	struct span state = words_next(&words);
	struct world_engine engine = { .sequences = 1, .rates = { 5 * NS_PER_MS, NS_PER_MS, 2 * NS_PER_MS, 0 } };
	uint32_t percent = 0;
	if (replica == UINT32_MAX || !read_engine(words, &engine, &percent) || engine.sequences > WORLD_SEQUENCES_MAX)
		return false;
	if (span_is(state, "ready"))
		world_replica_ready(run->world, replica, &engine);
	else if (span_is(state, "starting"))
		world_replica_starting(run->world, replica, percent);
	else if (span_is(state, "down"))
		world_replica_down(run->world, replica);
	else
		return false;
	return true;
}

static bool do_to_request(struct run *run, struct words words, void (*act)(struct world *, uint32_t))
{
	uint32_t request = run_find_request(run, words_next(&words));
	if (request == UINT32_MAX)
		return false;
	act(run->world, request);
	return true;
}

/* ---- the run ---- */

static bool do_statement(struct run *run, const struct statement *statement)
{
	struct words words = statement->words;
	struct span verb = words_next(&words);
	name_repeats(run);
	/* Requests of one moment arrive together. */
	bool is_request = span_is(verb, "request");
	if (statement->at_ns == NS_NEVER)
		world_run_out(run->world, world_now_ns(run->world) + RUN_OUT_NS);
	else if (!is_request || statement->at_ns != world_now_ns(run->world))
		world_run_until(run->world, statement->at_ns);
	name_repeats(run);
	if (is_request)
		return do_request(run, statement, words);
	if (span_is(verb, "replica"))
		return do_replica(run, words);
	if (span_is(verb, "expect"))
		return run_expect(run, words);
	if (span_is(verb, "gone"))
		return do_to_request(run, words, world_gone);
	if (span_is(verb, "fails"))
		return do_to_request(run, words, world_fail);
	if (span_is(verb, "stall"))
		return do_to_request(run, words, world_stall);
	return false;
}

static void check_end(struct run *run)
{
	bool is_out = world_run_out(run->world, world_now_ns(run->world) + RUN_OUT_NS);
	struct script *script = run->script;
	name_repeats(run);
	for (uint32_t i = 0; i < run->count; i++) {
		const struct named *named = &run->names[i];
		const struct world_request *request = world_request(run->world, i);
		char end[64];
		if (is_out && (named->is_examined || run->given->is_injected))
			continue;
		if (request->ended_ns >= 0 && named->is_examined)
			continue;
		script_complain(script, named->line, "%.*s%.0u is left %s, and nothing expected that", (int)named->base.len,
		                named->base.at, named->number, run_text_of_end(request, end, sizeof(end)));
	}
	if (control_tickets(world_control(run->world)))
		script_complain(script, 0, "%u tickets were not given back", control_tickets(world_control(run->world)));
	for (uint32_t i = 0; i < script->settings.pool_count; i++) {
		struct control_pool_view view;
		control_view_pool(world_control(run->world), i, &view);
		if (view.queued || view.in_flight)
			script_complain(script, 0, "at the end %u are queued and %u in flight", view.queued, view.in_flight);
	}
}

bool script_execute(struct script *script, const struct script_run *given)
{
	struct run run = { .script = script, .given = given };
	random_seed(&run.random, script->settings.seed + 7);
	bytes_clear(&script->complaints);
	MUST(world_new(&script->settings, &run.world) == OK);
	if (given->hook)
		world_one_by_one(run.world, given->hook, given->context);
	if (given->record) {
		control_text_write_settings(given->record, &script->settings);
		world_record(run.world, given->record);
	}
	for (size_t i = 0; i < script->statement_count; i++) {
		const struct words *words = &script->statements[i].words;
		if (!do_statement(&run, &script->statements[i]))
			script_complain(script, words->line, "not understood: %.*s", (int)words->rest.len, words->rest.at);
	}
	check_end(&run);
	free(run.names);
	world_free(&run.world);
	return script->complaints.len == 0;
}
