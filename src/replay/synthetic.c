#include "replay/synthetic.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "replay/arrivals.h"
#include "replay/quantity.h"

#define SLICE_NS (10 * NS_PER_MS)
#define REQUESTS_MAX 20e6

enum load_shape { SHAPE_FLAT, SHAPE_STEP, SHAPE_SINE, SHAPE_FLASH };

struct range {
	double from;
	double to;
};

struct spec {
	double rate; /* requests per second */
	double variation;
	double factor;
	int64_t duration_ns;
	int64_t at_ns;
	int64_t for_ns;
	int64_t period_ns;
	struct range prompt;
	struct range output;
	int64_t arrivals;
	int64_t shape;
	int64_t tenants;
	int64_t turns;
	int64_t gap_ns; /* between the turns of a session */
};

enum key_kind { KEY_NUMBER, KEY_TIME, KEY_RANGE, KEY_CHOICE, KEY_COUNT };

static const struct key {
	const char *name;
	enum key_kind kind;
	size_t offset;
	const char *choices[5];
} keys[] = {
	{ "rate", KEY_NUMBER, offsetof(struct spec, rate), { 0 } },
	{ "cv", KEY_NUMBER, offsetof(struct spec, variation), { 0 } },
	{ "factor", KEY_NUMBER, offsetof(struct spec, factor), { 0 } },
	{ "duration", KEY_TIME, offsetof(struct spec, duration_ns), { 0 } },
	{ "at", KEY_TIME, offsetof(struct spec, at_ns), { 0 } },
	{ "for", KEY_TIME, offsetof(struct spec, for_ns), { 0 } },
	{ "period", KEY_TIME, offsetof(struct spec, period_ns), { 0 } },
	{ "prompt", KEY_RANGE, offsetof(struct spec, prompt), { 0 } },
	{ "output", KEY_RANGE, offsetof(struct spec, output), { 0 } },
	{ "arrivals", KEY_CHOICE, offsetof(struct spec, arrivals), { "constant", "poisson", "gamma" } },
	{ "shape", KEY_CHOICE, offsetof(struct spec, shape), { "flat", "step", "sine", "flash" } },
	{ "tenants", KEY_COUNT, offsetof(struct spec, tenants), { 0 } },
	{ "turns", KEY_COUNT, offsetof(struct spec, turns), { 0 } },
	{ "gap", KEY_TIME, offsetof(struct spec, gap_ns), { 0 } },
};

static enum error read_range(struct span text, struct range *range)
{
	const struct span from = quantity_split(&text, '-');
	enum error error = quantity_number(from, &range->from);
	range->to = range->from;
	if (!error && text.len)
		error = quantity_number(text, &range->to);
	if (!error && (range->from < 0 || range->to < range->from || range->to > 1e7))
		error = ERROR_RANGE;
	return error;
}

static enum error read_value(const struct key *key, struct span text, void *member)
{
	double number;
	enum error error = OK;
	switch (key->kind) {
	case KEY_NUMBER:
		error = quantity_number(text, member);
		return !error && *(double *)member <= 0 ? ERROR_RANGE : error;
	case KEY_TIME:
		return quantity_duration(text, member);
	case KEY_RANGE:
		return read_range(text, member);
	case KEY_COUNT:
		error = quantity_number(text, &number);
		if (!error && (number < 0 || number > 1000))
			error = ERROR_RANGE;
		if (!error)
			*(int64_t *)member = (int64_t)number;
		return error;
	case KEY_CHOICE:
		for (int64_t i = 0; key->choices[i]; i++) {
			if (!span_is(text, key->choices[i]))
				continue;
			*(int64_t *)member = i;
			return OK;
		}
	}
	return ERROR_SYNTAX;
}

static enum error read_part(struct span part, struct spec *spec, struct bytes *fault)
{
	struct span value = part;
	const struct span name = quantity_split(&value, '=');
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		if (!span_is(name, keys[i].name))
			continue;
		if (read_value(&keys[i], value, (char *)spec + keys[i].offset) == OK)
			return OK;
		bytes_printf(fault, "synthetic: %s can't be \"%.*s\"", keys[i].name, (int)min_ll((long long)value.len, 60),
		             value.len ? value.at : "");
		return ERROR_SYNTAX;
	}
	bytes_printf(fault, "synthetic: there is no \"%.*s\"; there are", (int)min_ll((long long)name.len, 60), name.at);
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		bytes_printf(fault, " %s", keys[i].name);
	return ERROR_SYNTAX;
}

static double rate_at(const struct spec *spec, int64_t now_ns)
{
	const int64_t until_ns = spec->for_ns ? spec->at_ns + spec->for_ns : NS_NEVER;
	switch (spec->shape) {
	case SHAPE_STEP: /* up at `at` and, where `for` is given, down again */
	case SHAPE_FLASH:
		return now_ns >= spec->at_ns && now_ns < until_ns ? spec->rate * spec->factor : spec->rate;
	case SHAPE_SINE: /* from the rate up to factor times it and back in a period */
		return spec->rate * (1 + (spec->factor - 1) *
		                             (0.5 - 0.5 * cos(6.283185307179586 * (double)now_ns / (double)spec->period_ns)));
	default:
		return spec->rate;
	}
}

static uint32_t draw_range(struct random *random, const struct range *range)
{
	return (uint32_t)(range->from + random_unit(random) * (range->to - range->from + 0.999));
}

/* A request, or a session's turns. */
static enum error add_request(const struct spec *spec, int64_t at_ns, uint64_t number, struct random *random,
                              struct workload *workload)
{
	struct workload_row row = { .at_ns = at_ns };
	enum error error = OK;
	if (spec->tenants) {
		struct bytes name = { 0 };
		bytes_printf(&name, "tenant-%llu", (unsigned long long)(random_below(random, (uint64_t)spec->tenants) + 1));
		error = workload_label(workload, bytes_span(&name), &row.tenant);
		bytes_fini(&name);
	}
	row.session = spec->turns > 1 ? number + 1 : 0;
	for (int64_t turn = 0; turn < (spec->turns > 1 ? spec->turns : 1) && !error; turn++) {
		row.prompt_tokens = draw_range(random, &spec->prompt);
		row.output_tokens = draw_range(random, &spec->output);
		row.at_ns = at_ns + turn * spec->gap_ns;
		workload->read_rows++;
		error = workload_add(workload, row);
	}
	return error;
}

/* Gaps are drawn in units of expected requests and mapped through the rate of each slice of time: the burst stays the same whatever the shape. */
static enum error draw(const struct spec *spec, uint64_t seed, struct workload *workload)
{
	struct random random;
	random_seed(&random, seed);
	const double gamma = arrivals_gamma_shape(spec->variation);
	double done = 0;
	double next =
		spec->arrivals == ARRIVALS_CONSTANT ? 0 : arrivals_gap(&random, (enum arrivals_kind)spec->arrivals, gamma);
	uint64_t number = 0;
	enum error error = OK;
	for (int64_t begin_ns = 0; begin_ns < spec->duration_ns && !error; begin_ns += SLICE_NS) {
		const double rate = rate_at(spec, begin_ns);
		const int64_t slice_ns = min_ll(SLICE_NS, spec->duration_ns - begin_ns);
		const double end = done + rate * (double)slice_ns / 1e9;
		for (; next < end && !error; next += arrivals_gap(&random, (enum arrivals_kind)spec->arrivals, gamma)) {
			const int64_t at_ns = begin_ns + llround((next - done) / rate * 1e9);
			/* Rounding can put the last one just before the end, where it isn't. */
			if (at_ns < spec->duration_ns)
				error = add_request(spec, at_ns, number++, &random, workload);
		}
		done = end;
	}
	return error;
}

enum error synthetic_make(struct span text, uint64_t seed, struct workload *workload, struct bytes *fault)
{
	struct spec spec = { .rate = 1,
		                 .variation = 1,
		                 .factor = 2,
		                 .duration_ns = 60 * NS_PER_S,
		                 .prompt = { 200, 200 },
		                 .output = { 50, 50 },
		                 .gap_ns = 5 * NS_PER_S,
		                 .arrivals = ARRIVALS_POISSON };
	enum error error = OK;
	while (text.len && !error)
		error = read_part(quantity_split(&text, ','), &spec, fault);
	if (error)
		return error;
	if (spec.shape != SHAPE_FLAT && !spec.at_ns)
		spec.at_ns = spec.duration_ns / 3;
	if (spec.shape == SHAPE_FLASH && !spec.for_ns)
		spec.for_ns = spec.duration_ns / 6 + 1;
	if (!spec.period_ns)
		spec.period_ns = spec.duration_ns + 1;
	if (spec.rate * max_ll(1, spec.turns) * fmax(1, spec.factor) * (double)spec.duration_ns / 1e9 > REQUESTS_MAX) {
		bytes_append_text(fault, "synthetic: more than 20 million requests; take a lower rate or a shorter duration");
		return ERROR_LIMIT;
	}
	error = draw(&spec, seed, workload);
	workload_sort(workload);
	workload->was_unsorted = false;
	return error;
}
