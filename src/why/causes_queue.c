/* The wait for a place: too few of them, a burst, places that stand idle. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "why/causes.h"

#define SHARE_MIN 0.15
/* A burst: half of those who waited came within this share of the window. */
#define BURST_SHARE 0.2
/* Of the waits that were, how much the same places, each taken as soon as it is free, must account for. */
#define EXPLAINED_SHARE 0.5
#define PLACES_MAX 4096
/* Everybody who wanted a place of the pool, by arrival, whatever the route. */
struct line {
	struct want {
		double arrival_ms;
		double service_ms;
		double wait_ms;
		size_t index; /* in view->served; SIZE_MAX = another route's */
	} * wants;
	size_t count;
	size_t own;      /* of the route */
	size_t waited;   /* of those */
	unsigned places; /* seen in use at once while somebody waited */
};

static int by_arrival(const void *a, const void *b)
{
	const struct want *first = a;
	const struct want *second = b;
	return (first->arrival_ms > second->arrival_ms) - (first->arrival_ms < second->arrival_ms);
}

/* The pool that most of those who waited waited for. */
static const char *pool_of(const struct view *view)
{
	const char *pool = NULL;
	double longest = 0;
	for (size_t i = 0; i < view->count; i++) {
		if (seen_wait_ms(&view->served[i]) > longest) {
			longest = seen_wait_ms(&view->served[i]);
			pool = view->served[i].record->pool;
		}
	}
	return pool;
}

static unsigned places_of(const struct view *view, const char *pool)
{
	const struct live_pool *live = live_pool_of(view->live, pool);
	double *values = excess_new(view);
	size_t count = 0;
	for (size_t i = 0; values && i < view->count; i++) {
		if (view->served[i].record->pool == pool && seen_wait_ms(&view->served[i]) >= CAUSE_WAIT_MIN_MS)
			values[count++] = view->served[i].beside;
	}
	double seen = values ? quantile_ms(values, count, 0.9) : 0;
	free(values);
	double told = live ? fmax(live->concurrency[0], live->concurrency[1]) : 0;
	return (unsigned)fmin(fmax(fmax(seen, told), 1), PLACES_MAX);
}

/* Another route's requests stand in the same line: they have their places, too. */
static bool line_init(const struct view *view, struct line *line)
{
	const char *pool = pool_of(view);
	size_t own = 0;
	*line = (struct line){ 0 };
	line->wants = calloc(view->records->count + 1, sizeof(*line->wants));
	if (!line->wants || !pool)
		return false;
	for (size_t i = 0; i < view->records->count; i++) {
		const struct record *record = &view->records->items[i];
		bool is_own = own < view->count && view->served[own].record == record;
		size_t index = is_own ? own : SIZE_MAX;
		struct seen seen;
		own += is_own;
		if (record->pool != pool || !record_was_served(record))
			continue;
		view_place(view, record, &seen);
		line->wants[line->count++] =
			(struct want){ seen.arrival_ms, seen.end_ms - seen.start_ms, seen_wait_ms(&seen), index };
		line->own += is_own;
		line->waited += is_own && seen_wait_ms(&seen) >= CAUSE_WAIT_MIN_MS;
	}
	line->places = places_of(view, pool);
	qsort(line->wants, line->count, sizeof(*line->wants), by_arrival);
	return line->waited >= 5;
}

/* First come, first served, over that many places; writes each one's new wait into waits. O(n x places). */
static bool replay(const struct line *line, unsigned places, double *waits)
{
	double *free_at = calloc(places, sizeof(*free_at));
	for (size_t i = 0; free_at && i < line->count; i++) {
		const struct want *want = &line->wants[i];
		unsigned soonest = 0;
		for (unsigned j = 1; j < places && free_at[soonest] > want->arrival_ms; j++) {
			if (free_at[j] < free_at[soonest])
				soonest = j;
		}
		double start = fmax(free_at[soonest], want->arrival_ms);
		waits[i] = start - want->arrival_ms;
		free_at[soonest] = start + want->service_ms;
	}
	free(free_at);
	return free_at != NULL;
}

/* The waits that go away with that many places, by index in view->served. */
static bool saved(const struct line *line, unsigned places, double *excess)
{
	double *waits = calloc(line->count + 1, sizeof(*waits));
	bool is_done = waits && replay(line, places, waits);
	for (size_t i = 0; is_done && i < line->count; i++)
		if (line->wants[i].index != SIZE_MAX)
			excess[line->wants[i].index] = fmax(line->wants[i].wait_ms - waits[i], 0);
	free(waits);
	return is_done;
}

/* The share of the time waited that the same places account for. */
static double explained(const struct line *line)
{
	double *waits = calloc(line->count + 1, sizeof(*waits));
	double seen = 0;
	double told = 0;
	if (waits && replay(line, line->places, waits)) {
		for (size_t i = 0; i < line->count; i++) {
			seen += line->wants[i].wait_ms;
			told += fmin(waits[i], line->wants[i].wait_ms);
		}
	}
	free(waits);
	return seen > 0 ? told / seen : 0;
}

/* The shortest time in which half of those who waited came, ms; *from_ms is when it begins. */
static double half_within_ms(const struct line *line, double *from_ms)
{
	double *arrivals = calloc(line->count + 1, sizeof(*arrivals));
	double shortest = INFINITY;
	size_t count = 0;
	for (size_t i = 0; arrivals && i < line->count; i++) {
		if (line->wants[i].wait_ms >= CAUSE_WAIT_MIN_MS)
			arrivals[count++] = line->wants[i].arrival_ms;
	}
	size_t half = count / 2;
	for (size_t i = 0; i + half < count; i++) {
		if (arrivals[i + half] - arrivals[i] < shortest) {
			shortest = arrivals[i + half] - arrivals[i];
			*from_ms = arrivals[i];
		}
	}
	free(arrivals);
	return shortest;
}

static bool is_burst(const struct view *view, const struct line *line, double *within_ms, double *from_ms)
{
	*within_ms = half_within_ms(line, from_ms);
	return *within_ms <= BURST_SHARE * (view->end_ms - view->begin_ms);
}

/* The fewest more places that take away most of what all places would. */
static unsigned places_more(const struct view *view, const struct line *line, struct finding *finding, double *excess)
{
	unsigned most = line->places < 8 ? 8 : line->places;
	struct finding best = *finding;
	if (!saved(line, line->places + most, excess) || !finding_weigh(view, excess, true, 0, &best))
		return 0;
	for (unsigned more = 1; more <= most; more += more < 4 ? 1 : more / 2) {
		struct finding trial = *finding;
		if (!saved(line, line->places + more, excess))
			return 0;
		finding_weigh(view, excess, true, 0, &trial);
		if (trial.weight >= 0.6 * best.weight) {
			*finding = trial;
			return more;
		}
	}
	return 0;
}

static double wait_share(const struct view *view)
{
	return fmax(view->tail_share[MEASURE_E2E][PART_queue], view->tail_share[MEASURE_TTFT][PART_queue]);
}

static void tell_queue(const struct view *view, const struct line *line, unsigned more, struct finding *finding)
{
	enum measure measure = finding->measure;
	char what[64];
	bytes_printf(&finding->sentence, "the wait for a place holds %.0f %% of the p95 %s",
	             100 * view->tail_share[measure][PART_queue], measure_text(measure));
	bytes_printf(&finding->evidence, "%zu of %zu requests waited, p95 of the wait ", line->waited, line->own);
	append_ms(&finding->evidence, part_quantile_ms(view, PART_queue, 0.95, false));
	bytes_printf(&finding->evidence, "; %u places in use while they did", line->places);
	snprintf(what, sizeof(what), "with %u more place%s", more, more == 1 ? "" : "s");
	append_effect(finding, what);
}

static bool test_queue(const struct view *view, bool wants_burst, struct finding *finding)
{
	struct line line = { 0 };
	double within_ms;
	double from_ms = 0;
	double *excess = excess_new(view);
	unsigned more = 0;
	if (excess && line_init(view, &line) && wait_share(view) >= SHARE_MIN && explained(&line) >= EXPLAINED_SHARE &&
	    is_burst(view, &line, &within_ms, &from_ms) == wants_burst)
		more = places_more(view, &line, finding, excess);
	bool is_found = more && finding->weight >= SHARE_MIN;
	if (is_found) {
		tell_queue(view, &line, more, finding);
		if (wants_burst) {
			bytes_printf(&finding->sentence, ", and it was a burst: half of those who waited came within ");
			append_ms(&finding->sentence, within_ms);
			finding->since_ms = from_ms;
		}
	}
	free(excess);
	free(line.wants);
	return is_found;
}

bool cause_too_few_places(const struct view *view, struct finding *finding)
{
	return view->count >= CAUSE_COUNT_MIN && test_queue(view, false, finding);
}

bool cause_burst(const struct view *view, struct finding *finding)
{
	return view->count >= CAUSE_COUNT_MIN && test_queue(view, true, finding);
}

/* ---- idle places ---- */

static bool is_idle_live(const struct view *view, const struct live_pool **out)
{
	for (size_t i = 0; view->live && i < view->live->pool_count; i++) {
		const struct live_pool *pool = &view->live->pools[i];
		bool idle = view_has_pool(view, pool->name);
		for (int look = 0; look < 2; look++)
			idle = idle && pool->queued[look] >= 1 && pool->in_flight[look] + 0.5 < pool->concurrency[look];
		*out = pool;
		if (idle)
			return true;
	}
	return false;
}

bool cause_idle_places(const struct view *view, struct finding *finding)
{
	const struct live_pool *pool;
	struct line line = { 0 };
	double *excess = excess_new(view);
	bool is_found = false;
	if (is_idle_live(view, &pool)) {
		is_found = true;
		finding->weight = 1;
		bytes_printf(&finding->sentence, "%.0f requests wait for pool %s while %.0f of its %.0f places are in use",
		             pool->queued[1], pool->name, pool->in_flight[1], pool->concurrency[1]);
		bytes_printf(&finding->evidence,
		             "%.0f s before: %.0f wait, %.0f of %.0f in use; %u of %u replicas are ready, %u circuits are open",
		             view->live->seconds, pool->queued[0], pool->in_flight[0], pool->concurrency[0], pool->ready,
		             pool->replicas, pool->circuits_open);
		bytes_append_text(&finding->effect, "with every place in use, those who wait would be at work now");
	} else if (excess && view->count >= CAUSE_COUNT_MIN && line_init(view, &line) && wait_share(view) >= SHARE_MIN &&
	           explained(&line) < EXPLAINED_SHARE && saved(&line, line.places, excess)) {
		double at_work = 0;
		for (size_t i = 0; i < view->count; i++)
			at_work += seen_wait_ms(&view->served[i]) >= CAUSE_WAIT_MIN_MS ? view->served[i].at_wait : 0;
		is_found = finding_weigh(view, excess, true, SHARE_MIN, finding);
		bytes_printf(&finding->sentence, "users waited while only %.1f of %u places were in use",
		             at_work / (double)line.waited, line.places);
		bytes_printf(&finding->evidence,
		             "%zu requests waited; first come, first served over %u places explains %.0f %% of it", line.waited,
		             line.places, 100 * explained(&line));
		append_effect(finding, "with every place in use");
	}
	free(line.wants);
	free(excess);
	return is_found;
}
