/* What a scenario expects of requests, groups of them, orders and counts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_text.h"
#include "script_state.h"

const char *run_text_of_end(const struct world_request *request, char *out, size_t size)
{
	bool has_refusal = request->refusal != REFUSAL_NONE;
	snprintf(out, size, "%s%s%s", world_state_word(request->state), has_refusal ? " " : "",
	         has_refusal ? control_refusal_word(request->refusal) : "");
	return out;
}

/* A figure of one request; false when there is none of that name. */
static bool figure_of(const struct run *run, uint32_t index, struct span name, int64_t *out)
{
	const struct world_request *request = world_request(run->world, index);
	if (span_is(name, "retry_after"))
		*out = request->retry_after_ns;
	else if (span_is(name, "predicted"))
		*out = request->predicted_ns;
	else if (span_is(name, "first_token"))
		*out = request->first_token_ns < 0 ? NS_NEVER : request->first_token_ns - request->arrived_ns;
	else if (span_is(name, "waited"))
		*out = request->dispatched_ns < 0 ? NS_NEVER : request->dispatched_ns - request->arrived_ns;
	else if (span_is(name, "ended"))
		*out = request->ended_ns < 0 ? NS_NEVER : request->ended_ns;
	else
		return false;
	return true;
}

/* NAME STATE [REFUSAL] [figure>=value]... [replica=POOL/N] */
static bool expect_request(struct run *run, uint32_t index, struct words words)
{
	const struct world_request *request = world_request(run->world, index);
	char end[64];
	struct span word = words_next(&words);
	run_text_of_end(request, end, sizeof(end));
	bool is_so = span_is(word, world_state_word(request->state));
	if (is_so && request->ended_ns >= 0)
		run->names[index].is_examined = true;
	if (is_so && request->refusal != REFUSAL_NONE)
		is_so = span_is(words_next(&words), control_refusal_word(request->refusal));
	if (!is_so)
		script_complain(run->script, words.line, "it is %s", end);
	while (is_so && (word = words_next(&words)).len) {
		struct term term;
		int64_t actual;
		if (!term_read(word, &term))
			return false;
		if (span_is(term.name, "replica")) {
			if (request->replica != script_replica(run->script, term.text))
				script_complain(run->script, words.line, "it runs on replica %u", request->replica);
			continue;
		}
		if (!term.is_number || !figure_of(run, index, term.name, &actual))
			return false;
		if (!term_holds(&term, actual))
			script_complain(run->script, words.line, "%.*s is %.9f s", (int)term.name.len, term.name.at,
			                (double)actual / 1e9);
	}
	return true;
}

/* Figures of a group: BASE* name>=value. */
struct group {
	uint32_t members; /* requests; one that comes again is another one */
	uint32_t clients; /* who asked, however often */
	uint32_t sent;
	uint32_t kept;     /* of those sent: the first token came as promised */
	uint32_t attained; /* as kept, from when the client asked first */
	uint32_t states[WORLD_STATES];
	uint32_t refusals[REFUSALS];
	int64_t retry_least_ns;
	int64_t retry_most_ns;
	int64_t first_most_ns;
	int64_t *firsts_ns; /* owned, shape (first_count,) */
	size_t first_count;
};

static void add_member(const struct run *run, const struct world_request *request, struct group *group)
{
	int64_t target_ns = run->script->routes[request->route].ttft_ns;
	group->members++;
	group->clients += !request->is_repeat;
	group->states[request->state]++;
	group->refusals[request->refusal]++;
	if (request->state == WORLD_REFUSED) {
		group->retry_least_ns = min_ll(group->retry_least_ns, request->retry_after_ns);
		group->retry_most_ns = max_ll(group->retry_most_ns, request->retry_after_ns);
	}
	group->sent += request->dispatched_ns >= 0;
	if (request->first_token_ns < 0)
		return;
	int64_t took_ns = request->first_token_ns - request->arrived_ns;
	group->first_most_ns = max_ll(group->first_most_ns, took_ns);
	group->kept += took_ns <= target_ns;
	group->attained += request->first_token_ns - request->asked_ns <= target_ns;
	group->firsts_ns = reallocarray(group->firsts_ns, group->first_count + 1, sizeof(int64_t));
	MUST(group->firsts_ns);
	group->firsts_ns[group->first_count++] = took_ns;
}

static int compare_times(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return left < right ? -1 : left > right;
}

static int64_t percent_of(uint32_t count, uint32_t all)
{
	return all ? count * 100 / all : 0;
}

static bool group_figure(struct group *group, struct span name, int64_t *out)
{
	for (int state = 0; state < WORLD_STATES; state++)
		if (span_is(name, world_state_word((enum world_state)state))) {
			*out = percent_of(group->states[state], group->members);
			return true;
		}
	for (int refusal = 1; refusal < REFUSALS; refusal++)
		if (span_is(name, control_refusal_word((enum refusal)refusal))) {
			*out = percent_of(group->refusals[refusal], group->members);
			return true;
		}
	size_t rank = (group->first_count * 95 + 99) / 100;
	const struct {
		const char *name;
		int64_t value;
	} figures[] = { { "retry_after_min", group->retry_least_ns },
		            { "retry_after_max", group->retry_most_ns },
		            { "first_token_max", group->first_most_ns },
		            { "first_token_p95", rank ? group->firsts_ns[rank - 1] : NS_NEVER },
		            { "kept", percent_of(group->kept, group->sent) },
		            { "attained", percent_of(group->attained, group->clients) } };
	for (size_t i = 0; i < COUNT_OF(figures); i++)
		if (span_is(name, figures[i].name)) {
			*out = figures[i].value;
			return true;
		}
	return false;
}

static bool expect_group(struct run *run, struct span base, struct words words)
{
	struct span word;
	struct term term;
	struct group group = { .retry_least_ns = NS_NEVER };
	bool is_understood = true;
	for (uint32_t i = 0; i < run->count; i++)
		if (span_equal(run->names[i].base, base))
			add_member(run, world_request(run->world, i), &group);
	if (group.first_count)
		qsort(group.firsts_ns, group.first_count, sizeof(int64_t), compare_times);
	while (is_understood && (word = words_next(&words)).len) {
		int64_t actual = 0;
		is_understood = term_read(word, &term) && term.is_number && group_figure(&group, term.name, &actual);
		if (is_understood && !term_holds(&term, actual))
			script_complain(run->script, words.line, "%.*s is %lld", (int)term.name.len, term.name.at,
			                (long long)actual);
	}
	free(group.firsts_ns);
	for (uint32_t i = 0; i < run->count; i++)
		if (span_equal(run->names[i].base, base) && world_request(run->world, i)->ended_ns >= 0)
			run->names[i].is_examined = true;
	return is_understood;
}

/* order a b c: they were dispatched one after the other. */
static bool expect_order(struct run *run, struct words words)
{
	uint64_t last = 0;
	struct span word;
	while ((word = words_next(&words)).len) {
		uint32_t index = run_find_request(run, word);
		if (index == UINT32_MAX)
			return false;
		uint64_t order = world_request(run->world, index)->dispatch_order;
		if (order <= last)
			script_complain(run->script, words.line, "%.*s was not dispatched after those before it", (int)word.len,
			                word.at);
		last = order;
	}
	return true;
}

/* queued=N, in_flight=N, ready=N of a pool (pool=NAME; the first), tickets=N of all. */
static bool expect_counts(struct run *run, struct words words)
{
	struct control_pool_view view;
	struct words terms = words;
	struct span word;
	struct term term;
	uint32_t pool = 0;
	uint32_t route = 0;
	struct control_route_view ladder = { 0 };
	while ((word = words_next(&words)).len) {
		if (term_read(word, &term) && span_is(term.name, "pool"))
			pool = script_pool(run->script, term.text);
		if (term_read(word, &term) && span_is(term.name, "route"))
			route = script_route(run->script, term.text);
	}
	if (pool >= run->script->settings.pool_count || route == UINT32_MAX)
		return false;
	control_view_pool(world_control(run->world), pool, &view);
	if (run->script->settings.route_count)
		control_view_route(world_control(run->world), route, &ladder);
	const struct {
		const char *name;
		int64_t actual;
	} counts[] = { { "queued", view.queued },
		           { "in_flight", view.in_flight },
		           { "ready", view.replicas_ready },
		           { "wait", view.predicted_wait_ns },
		           { "wanted", view.wanted },
		           { "rung", ladder.rung },
		           { "moves", (int64_t)ladder.moves },
		           { "latched", ladder.is_latched },
		           { "tickets", control_tickets(world_control(run->world)) } };
	while ((word = words_next(&terms)).len) {
		bool is_known = term_read(word, &term) && (span_is(term.name, "pool") || span_is(term.name, "route"));
		for (size_t i = 0; i < COUNT_OF(counts) && !is_known; i++) {
			if (!span_is(term.name, counts[i].name) || !term.is_number)
				continue;
			is_known = true;
			if (!term_holds(&term, counts[i].actual))
				script_complain(run->script, words.line, "%s is %lld", counts[i].name, (long long)counts[i].actual);
		}
		if (!is_known)
			return false;
	}
	return true;
}

bool run_expect(struct run *run, struct words words)
{
	struct words peek = words;
	struct span name = words_next(&peek);
	struct term term;
	if (run->given->is_injected)
		return true;
	if (term_read(name, &term))
		return expect_counts(run, words);
	if (span_is(name, "order"))
		return expect_order(run, peek);
	if (name.len > 1 && name.at[name.len - 1] == '*')
		return expect_group(run, (struct span){ name.at, name.len - 1 }, peek);
	uint32_t index = run_find_request(run, name);
	return index != UINT32_MAX && expect_request(run, index, peek);
}
