#include "script.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"

#define FILE_MAX 1000000
#define QUEUE_MAX 64
#define WAIT_MAX_NS (10 * NS_PER_S)
#define IN_FLIGHT_MAX 256

/* ---- words ---- */

struct span words_next(struct words *words)
{
	words->rest = span_trim(words->rest);
	size_t len = 0;
	while (len < words->rest.len && words->rest.at[len] != ' ' && words->rest.at[len] != '\t')
		len++;
	struct span word = { words->rest.at, len };
	words->rest = (struct span){ words->rest.at + len, words->rest.len - len };
	return word;
}

bool value_read(struct span text, int64_t *out)
{
	static const struct {
		const char *name;
		int64_t factor;
	} units[] = { { "", 1 },
		          { "%", 1 },
		          { "us", NS_PER_US },
		          { "ms", NS_PER_MS },
		          { "s", NS_PER_S },
		          { "m", 60 * NS_PER_S },
		          { "h", 3600 * NS_PER_S } };
	size_t digits = 0;
	uint64_t number;
	if (span_is(text, "never")) {
		*out = NS_NEVER;
		return true;
	}
	while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	struct span unit = { text.at + digits, text.len - digits };
	if (span_to_u64((struct span){ text.at, digits }, UINT32_MAX, &number) != OK)
		return false;
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (span_is(unit, units[i].name)) {
			*out = (int64_t)number * units[i].factor;
			return true;
		}
	return false;
}

bool term_read(struct span word, struct term *out)
{
	size_t len = 0;
	while (len < word.len && !strchr("=<>", word.at[len]))
		len++;
	if (len == 0 || len + 1 >= word.len)
		return false;
	*out = (struct term){ .name = { word.at, len }, .operator= word.at[len] };
	size_t skip = out->operator== '=' ? 1 : 2;
	if (skip == 2 && word.at[len + 1] != '=')
		return false;
	out->text = (struct span){ word.at + len + skip, word.len - len - skip };
	out->is_number = value_read(out->text, &out->value);
	return out->text.len > 0;
}

bool term_holds(const struct term *term, int64_t actual)
{
	if (term->operator== '>')
		return actual >= term->value;
	return term->operator== '<' ? actual <= term->value : actual == term->value;
}

/* ---- the script ---- */

void script_complain(struct script *script, int line, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	bytes_printf(&script->complaints, "%s:%d: ", script->path, line);
	bytes_vprintf(&script->complaints, format, arguments);
	bytes_append_byte(&script->complaints, '\n');
	va_end(arguments);
}

uint32_t script_pool(const struct script *script, struct span name)
{
	for (uint32_t i = 0; i < script->settings.pool_count; i++)
		if (span_equal(script->pool_names[i], name))
			return i;
	return UINT32_MAX;
}

uint32_t script_route(const struct script *script, struct span name)
{
	for (uint32_t i = 0; i < script->settings.route_count; i++)
		if (span_equal(script->route_names[i], name))
			return i;
	return UINT32_MAX;
}

uint32_t script_replica(const struct script *script, struct span name)
{
	size_t slash = span_find(name, '/');
	uint32_t pool = script_pool(script, (struct span){ name.at, slash });
	uint64_t number;
	uint32_t before = 0;
	if (slash == name.len || pool == UINT32_MAX ||
	    span_to_u64((struct span){ name.at + slash + 1, name.len - slash - 1 }, UINT32_MAX, &number) != OK ||
	    number >= script->pools[pool].replica_count)
		return UINT32_MAX;
	for (uint32_t i = 0; i < pool; i++)
		before += script->pools[i].replica_count;
	return before + (uint32_t)number;
}

static void add_statement(struct script *script, int64_t at_ns, struct words words, uint32_t repetition)
{
	if (script->statement_count == script->statement_capacity) {
		script->statement_capacity = script->statement_capacity ? 2 * script->statement_capacity : 64;
		script->statements = reallocarray(script->statements, script->statement_capacity, sizeof(*script->statements));
		MUST(script->statements);
	}
	script->statements[script->statement_count] =
		(struct statement){ at_ns, script->statement_count, words, repetition };
	script->statement_count++;
}

/* A request line: one statement for each of its times, every so often, or with random gaps of that mean. */
static bool add_request(struct script *script, int64_t at_ns, struct words words, struct random *random)
{
	int64_t times = 0;
	int64_t every_ns = 0;
	int64_t wave_ns = 0;
	int64_t swing = 0;
	int64_t begun_ns = at_ns;
	bool is_random = false;
	struct words left = words;
	struct span word;
	struct term term;
	words_next(&left);
	words_next(&left);
	while ((word = words_next(&left)).len) {
		if (!term_read(word, &term))
			return false;
		if (span_is(term.name, "times"))
			times = term.value;
		else if (span_is(term.name, "every"))
			every_ns = term.value;
		else if (span_is(term.name, "about")) {
			every_ns = term.value;
			is_random = true;
		} else if (span_is(term.name, "wave"))
			wave_ns = term.value;
		else if (span_is(term.name, "swing"))
			swing = term.value;
	}
	if (times == 0)
		add_statement(script, at_ns, words, 0);
	for (int64_t i = 1; i <= times; i++) {
		add_statement(script, at_ns, words, (uint32_t)i);
		double phase = wave_ns ? 2 * M_PI * (double)(at_ns - begun_ns) / (double)wave_ns : 0;
		double gap_ns = (double)every_ns / fmax(1 + (double)swing / 100 * sin(phase), 0.01);
		at_ns += (int64_t)(is_random ? -log(1 - random_unit(random)) * gap_ns : gap_ns);
	}
	return true;
}

static bool read_pool(struct script *script, struct words words)
{
	struct control_settings *settings = &script->settings;
	struct control_pool *pool = &script->pools[settings->pool_count];
	struct span word;
	struct term term;
	if (settings->pool_count == SCRIPT_POOLS_MAX)
		return false;
	script->pool_names[settings->pool_count++] = words_next(&words);
	*pool = (struct control_pool){ QUEUE_MAX, WAIT_MAX_NS, 1 };
	while ((word = words_next(&words)).len) {
		if (!term_read(word, &term) || !term.is_number)
			return false;
		if (span_is(term.name, "queue_max"))
			pool->queue_max = (uint32_t)term.value;
		else if (span_is(term.name, "wait_max"))
			pool->wait_max_ns = term.value;
		else if (span_is(term.name, "replicas"))
			pool->replica_count = (uint32_t)term.value;
		else if (span_is(term.name, "scale_min"))
			pool->scale_min = (uint32_t)term.value;
		else if (span_is(term.name, "scale_max"))
			pool->scale_max = (uint32_t)term.value;
		else if (span_is(term.name, "scale_spare"))
			pool->scale_spare = (uint32_t)term.value;
		else
			return false;
	}
	return true;
}

/* output:64, tier:POOL, try_again */
static bool read_rung(const struct script *script, struct span text, struct ladder_rung *rung)
{
	size_t len = span_find(text, ':');
	struct span kind = { text.at, len };
	struct span value = { text.at + len + (len < text.len), text.len - len - (len < text.len) };
	uint64_t tokens = 0;
	*rung = (struct ladder_rung){ .kind = RUNG_TRY_AGAIN };
	if (span_is(kind, "try_again"))
		return value.len == 0;
	if (span_is(kind, "tier")) {
		*rung = (struct ladder_rung){ RUNG_TIER, script_pool(script, value) };
		return rung->value != UINT32_MAX;
	}
	if (!span_is(kind, "output") || span_to_u64(value, UINT32_MAX, &tokens) != OK)
		return false;
	*rung = (struct ladder_rung){ RUNG_OUTPUT, (uint32_t)tokens };
	return true;
}

static bool read_route(struct script *script, struct words words)
{
	struct control_settings *settings = &script->settings;
	struct control_route *route = &script->routes[settings->route_count];
	struct span word;
	struct term term;
	if (settings->route_count == SCRIPT_POOLS_MAX)
		return false;
	script->route_names[settings->route_count++] = words_next(&words);
	while ((word = words_next(&words)).len) {
		if (!term_read(word, &term))
			return false;
		if (span_is(term.name, "rung")) {
			if (route->rung_count == LADDER_RUNGS_MAX ||
			    !read_rung(script, term.text, &route->rungs[route->rung_count++]))
				return false;
		} else if (!term.is_number)
			return false;
		else if (span_is(term.name, "ttft"))
			route->ttft_ns = term.value;
		else if (span_is(term.name, "tpot"))
			route->tpot_ns = term.value;
		else if (span_is(term.name, "e2e"))
			route->e2e_ns = term.value;
		else if (span_is(term.name, "requests"))
			route->requests_per_minute = (uint32_t)term.value;
		else if (span_is(term.name, "tokens"))
			route->tokens_per_minute = (uint32_t)term.value;
		else if (span_is(term.name, "repeats"))
			route->repeats_per_minute = (uint32_t)term.value;
		else
			return false;
	}
	return true;
}

static bool read_settings(struct script *script, struct words words)
{
	struct span word;
	struct term term;
	while ((word = words_next(&words)).len) {
		if (!term_read(word, &term) || !term.is_number)
			return false;
		if (span_is(term.name, "in_flight_max"))
			script->settings.in_flight_max = (uint32_t)term.value;
		else if (span_is(term.name, "seed"))
			script->settings.seed = (uint64_t)term.value;
		else if (span_is(term.name, "tenants"))
			script->settings.tenant_count = (uint32_t)term.value;
		else
			return false;
	}
	return true;
}

static bool read_line(struct script *script, struct words words, struct random *random)
{
	int64_t at_ns = NS_NEVER;
	struct words peek = words;
	struct span verb = words_next(&peek);
	if (span_is(verb, "pool"))
		return read_pool(script, peek);
	if (span_is(verb, "route"))
		return read_route(script, peek);
	if (span_is(verb, "settings"))
		return read_settings(script, peek);
	if (!span_is(verb, "end") && !(span_is(verb, "at") && value_read(words_next(&peek), &at_ns)))
		return false;
	words = peek;
	if (span_is(words_next(&peek), "request"))
		return add_request(script, at_ns, words, random);
	add_statement(script, at_ns, words, 0);
	return true;
}

static int compare_statements(const void *a, const void *b)
{
	const struct statement *left = a;
	const struct statement *right = b;
	if (left->at_ns != right->at_ns)
		return left->at_ns < right->at_ns ? -1 : 1;
	return left->order < right->order ? -1 : left->order > right->order;
}

bool script_read(const char *path, struct script *script)
{
	struct random random;
	random_seed(&random, 1);
	*script = (struct script){ .path = path };
	script->settings = (struct control_settings){
		.pools = script->pools, .routes = script->routes, .in_flight_max = IN_FLIGHT_MAX, .seed = 1
	};
	enum error error = file_read(path, FILE_MAX, &script->text);
	if (error) {
		script_complain(script, 0, "%s", error_text(error));
		return false;
	}
	struct span rest = bytes_span(&script->text);
	for (int line = 1; rest.len; line++) {
		size_t len = span_find(rest, '\n');
		struct span text = { rest.at, len };
		rest = (struct span){ rest.at + len + (len < rest.len), rest.len - len - (len < rest.len) };
		text.len = span_find(text, '#');
		text = span_trim(text);
		if (text.len && !read_line(script, (struct words){ text, line }, &random))
			script_complain(script, line, "not understood: %.*s", (int)text.len, text.at);
	}
	qsort(script->statements, script->statement_count, sizeof(*script->statements), compare_statements);
	return script->complaints.len == 0;
}

void script_free(struct script *script)
{
	bytes_fini(&script->text);
	bytes_fini(&script->complaints);
	free(script->statements);
	*script = (struct script){ 0 };
}
