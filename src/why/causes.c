/* The table, and what every test needs: what the p95 would be without something. */
#include "why/causes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define CUT_MIN_MS 20.0

static const struct {
	const char *name;
	const char *title;
	const char *remedy;
	const char *effect;
	bool (*test)(const struct view *view, struct finding *finding);
} rows[CAUSES] = {
#define CAUSE(name, title, remedy, effect) [CAUSE_##name] = { #name, title, remedy, effect, cause_##name },
#include "why/causes.def"
#undef CAUSE
};

static int weightiest_first(const void *a, const void *b)
{
	const struct finding *first = a;
	const struct finding *second = b;
	return (first->weight < second->weight) - (first->weight > second->weight);
}

/* Two names for one thing: the more exact one stays. */
static bool is_covered(const struct finding *finding, const bool found[CAUSES])
{
	static const struct {
		enum cause covered;
		enum cause by;
	} covers[] = {
		{ CAUSE_idle_places, CAUSE_cold_start },      { CAUSE_slow_upstream, CAUSE_slow_replica },
		{ CAUSE_slow_upstream, CAUSE_retries },       { CAUSE_slow_upstream, CAUSE_crowded_prefill },
		{ CAUSE_crowded_decode, CAUSE_slow_replica }, { CAUSE_crowded_prefill, CAUSE_slow_replica },
		{ CAUSE_engine_queue, CAUSE_slow_replica },
	};
	for (size_t i = 0; i < COUNT_OF(covers); i++) {
		if (covers[i].covered == finding->cause && found[covers[i].by])
			return true;
	}
	return false;
}

size_t causes_find(const struct view *view, struct finding out[CAUSES])
{
	bool found[CAUSES] = { false };
	size_t count = 0;
	for (enum cause cause = 0; cause < CAUSES; cause++) {
		struct finding *finding = &out[count];
		*finding = (struct finding){ .cause = cause,
			                         .name = rows[cause].name,
			                         .title = rows[cause].title,
			                         .remedy = rows[cause].remedy,
			                         .since_ms = -1 };
		found[cause] = rows[cause].test(view, finding);
		if (found[cause])
			count++;
		else
			finding_fini(finding);
	}
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		struct finding finding = out[i];
		if (is_covered(&finding, found))
			finding_fini(&finding);
		else
			out[kept++] = finding;
	}
	qsort(out, kept, sizeof(*out), weightiest_first);
	return kept;
}

void finding_fini(struct finding *finding)
{
	bytes_fini(&finding->sentence);
	bytes_fini(&finding->evidence);
	bytes_fini(&finding->effect);
}

void causes_write_reference(struct bytes *out)
{
	bytes_append_text(out,
	                  "| cause | what it is | what to change | how the effect is predicted |\n|---|---|---|---|\n");
	for (enum cause cause = 0; cause < CAUSES; cause++)
		bytes_printf(out, "| `%s` | %s | %s | %s |\n", rows[cause].name, rows[cause].title, rows[cause].remedy,
		             rows[cause].effect);
}

/* ---- what would be ---- */

double *excess_new(const struct view *view)
{
	return calloc(view->count + 1, sizeof(double));
}

static double p95_without(const struct view *view, const double *excess_ms, enum measure measure, double *values)
{
	size_t count = 0;
	for (size_t i = 0; i < view->count; i++) {
		double value = view_measure_ms(view->served[i].record, measure);
		if (value >= 0)
			values[count++] = fmax(value - excess_ms[i], 0);
	}
	return quantile_ms(values, count, 0.95);
}

static void choose_worst(const struct view *view, const double *excess_ms, struct finding *finding)
{
	double largest[FINDING_WORST] = { 0 };
	for (size_t i = 0; i < view->count; i++) {
		double excess = excess_ms[i];
		const struct record *record = view->served[i].record;
		finding->count += excess > 0.05 * (double)record->total_ms;
		for (size_t j = 0; j < FINDING_WORST && excess > 0; j++) {
			if (excess <= largest[j])
				continue;
			double pushed = largest[j];
			const struct record *pushed_record = finding->worst[j];
			largest[j] = excess;
			finding->worst[j] = record;
			excess = pushed;
			record = pushed_record;
		}
	}
}

bool finding_weigh(const struct view *view, const double *excess_ms, bool before_first, double share,
                   struct finding *finding)
{
	double *values = excess_new(view);
	if (!values)
		return false;
	for (enum measure measure = 0; measure < MEASURES; measure++) {
		double before = view->p95_ms[measure];
		if (before <= 0 || (measure == MEASURE_TTFT && !before_first))
			continue;
		double after = p95_without(view, excess_ms, measure, values);
		if (before - after < CUT_MIN_MS || (before - after) / before <= finding->weight)
			continue;
		finding->measure = measure;
		finding->before_ms = before;
		finding->after_ms = after;
		finding->weight = (before - after) / before;
	}
	free(values);
	if (finding->weight < share)
		return false;
	choose_worst(view, excess_ms, finding);
	finding->since_ms = view_change_ms(view, excess_ms);
	return true;
}

double part_quantile_ms(const struct view *view, enum part part, double share, bool only_positive)
{
	double *values = excess_new(view);
	size_t count = 0;
	for (size_t i = 0; values && i < view->count; i++) {
		double value = view_part_ms(view, view->served[i].record, part);
		if (value > 0 || !only_positive)
			values[count++] = value;
	}
	double found = values ? quantile_ms(values, count, share) : 0;
	free(values);
	return found;
}

bool view_has_pool(const struct view *view, const char *pool)
{
	for (size_t i = 0; i < view->count; i++) {
		if (strcmp(view->served[i].record->pool, pool) == 0)
			return true;
	}
	for (size_t i = 0; i < view->refused_count; i++) {
		if (strcmp(view->refused[i]->pool, pool) == 0)
			return true;
	}
	return !view->count && !view->refused_count;
}

const char *measure_text(enum measure measure)
{
	return measure == MEASURE_E2E ? "end to end" : "to the first token";
}

void append_ms(struct bytes *out, double ms)
{
	if (ms < 10)
		bytes_printf(out, "%.1f ms", ms);
	else if (ms < 1000)
		bytes_printf(out, "%.0f ms", ms);
	else
		bytes_printf(out, "%.1f s", ms / 1000);
}

void append_effect(struct finding *finding, const char *what)
{
	bytes_printf(&finding->effect, "%s, the p95 %s would go from ", what, measure_text(finding->measure));
	append_ms(&finding->effect, finding->before_ms);
	bytes_append_text(&finding->effect, " to about ");
	append_ms(&finding->effect, finding->after_ms);
}
