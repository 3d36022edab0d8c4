#include "why/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define TAIL_SHARE 0.05
#define TAIL_MIN 5
/* The end of a request frees its place a little before its record is closed. */
#define RELEASE_MS 2.0
#define CHANGE_RATIO 1.5
#define CHANGE_MIN_MS 5.0
#define BUCKETS_MAX 1500
#define BUCKET_MIN_COUNT 5
#define POOLS_MAX 256

static const struct {
	const char *name;
	const char *text;
	bool before_first;
} parts[] = {
#define PART(name, text, before_first) { #name, text, before_first },
#include "why/parts.def"
#undef PART
};

/* The stages that parts are made of; others go into PART_other. */
enum known { HEAD, BODY, AUTHENTICATE, PARSE, SHAPE, LOOKUP, ROUTE, ADMIT, RETRIEVE, DISPATCH, FORWARD, RELAY, KNOWN };
static const char *const known_texts[KNOWN] = { "head",  "body",  "authenticate", "parse",    "shape",   "lookup",
	                                            "route", "admit", "retrieve",     "dispatch", "forward", "relay" };

const char *part_text(enum part part)
{
	return parts[part].text;
}

const char *part_name(enum part part)
{
	return parts[part].name;
}

bool part_is_before_first(enum part part)
{
	return parts[part].before_first;
}

static double stage_ms(const struct view *view, const struct record *record, enum known stage)
{
	size_t number = view->stage_numbers[stage];
	return number < RECORD_STAGES_MAX ? (double)record->stages_ms[number] : 0;
}

static double told_ms(const struct record *record)
{
	return record->has_engine ? (double)(record->tokenize_ms + record->engine_queue_ms + record->prefill_ms) : 0;
}

/* What the engine tells of forward can't be longer than forward: rounding, and clocks of two processes. */
static double engine_part_ms(const struct view *view, const struct record *record, double part_ms)
{
	double forward = stage_ms(view, record, FORWARD);
	double told = told_ms(record);
	return !record->has_engine ? 0 : told > forward && told > 0 ? part_ms * forward / told : part_ms;
}

static double paused_ms(const struct view *view, const struct record *record)
{
	return fmin((double)record->paused_ms, stage_ms(view, record, RELAY));
}

double view_part_ms(const struct view *view, const struct record *record, enum part part)
{
	double sum = 0;
	switch (part) {
	case PART_arrive:
		return stage_ms(view, record, HEAD) + stage_ms(view, record, BODY);
	case PART_loop:
		for (enum known stage = AUTHENTICATE; stage <= ADMIT; stage++)
			sum += stage_ms(view, record, stage);
		return sum;
	case PART_retrieve:
		return stage_ms(view, record, RETRIEVE);
	case PART_queue:
		return stage_ms(view, record, DISPATCH);
	case PART_tokenize:
		return engine_part_ms(view, record, (double)record->tokenize_ms);
	case PART_engine_queue:
		return engine_part_ms(view, record, (double)record->engine_queue_ms);
	case PART_prefill:
		return engine_part_ms(view, record, (double)record->prefill_ms);
	case PART_upstream:
		return fmax(stage_ms(view, record, FORWARD) - told_ms(record), 0);
	case PART_client:
		return paused_ms(view, record);
	case PART_decode:
		return stage_ms(view, record, RELAY) - paused_ms(view, record);
	case PART_other:
	case PARTS:
		break;
	}
	for (enum known stage = HEAD; stage < KNOWN; stage++)
		sum += stage_ms(view, record, stage);
	return fmax((double)record->total_ms - sum, 0);
}

double view_measure_ms(const struct record *record, enum measure measure)
{
	return measure == MEASURE_E2E ? (double)record->total_ms : (double)record->first_token_ms;
}

static int by_value(const void *a, const void *b)
{
	double first = *(const double *)a;
	double second = *(const double *)b;
	return (first > second) - (first < second);
}

double quantile_ms(double *values, size_t count, double share)
{
	if (!count)
		return 0;
	qsort(values, count, sizeof(*values), by_value);
	size_t rank = (size_t)ceil(share * (double)count);
	return values[rank ? rank - 1 : 0];
}

/* ---- since when ---- */

double view_change_ms(const struct view *view, const double *values)
{
	double window_ms = view->end_ms - view->begin_ms;
	double width_ms = window_ms >= 4 * 60000 ? 60000 : 10000;
	size_t bucket_count = (size_t)(window_ms / width_ms) + 1;
	if (bucket_count < 3 || bucket_count > BUCKETS_MAX)
		return -1;
	double *levels = calloc(bucket_count, sizeof(*levels));
	double *buffer = calloc(2 * view->count + bucket_count, sizeof(*buffer));
	double change_ms = -1;
	size_t next = 0;
	for (size_t i = 0; levels && buffer && i < bucket_count; i++) {
		double end_ms = view->begin_ms + (double)(i + 1) * width_ms;
		size_t count = 0;
		for (; next < view->count && view->served[next].record->begin_ms < end_ms; next++) {
			if (values[next] >= 0)
				buffer[count++] = values[next];
		}
		levels[i] = count >= BUCKET_MIN_COUNT ? quantile_ms(buffer, count, 0.95) : -1;
	}
	for (size_t i = 1; levels && buffer && i < bucket_count && change_ms < 0; i++) {
		size_t before = 0;
		bool stays = levels[i] >= 0;
		for (size_t j = 0; j < i; j++) {
			if (levels[j] >= 0)
				buffer[before++] = levels[j];
		}
		double level = quantile_ms(buffer, before, 0.5);
		for (size_t j = i; stays && j < bucket_count; j++)
			stays = levels[j] < 0 || (levels[j] > CHANGE_RATIO * level && levels[j] - level > CHANGE_MIN_MS);
		if (before && stays)
			change_ms = view->begin_ms + (double)i * width_ms;
	}
	free(levels);
	free(buffer);
	return change_ms;
}

/* ---- the tail ---- */

struct ranked {
	double value;
	size_t index;
};

static int slowest_first(const void *a, const void *b)
{
	const struct ranked *first = a;
	const struct ranked *second = b;
	return (first->value < second->value) - (first->value > second->value);
}

static void share_out(struct view *view, enum measure measure, const struct ranked *ranked, size_t tail)
{
	double all = 0;
	for (size_t i = 0; i < tail; i++) {
		const struct record *record = view->served[ranked[i].index].record;
		all += view_measure_ms(record, measure);
		for (enum part part = 0; part < PARTS; part++) {
			if (measure == MEASURE_E2E || part_is_before_first(part))
				view->tail_share[measure][part] += view_part_ms(view, record, part);
		}
	}
	for (enum part part = 0; part < PARTS; part++) {
		view->tail_share[measure][part] = all > 0 ? fmin(view->tail_share[measure][part] / all, 1) : 0;
		if (view->tail_share[measure][part] > view->tail_share[measure][view->holder[measure]])
			view->holder[measure] = part;
	}
}

static enum error measure_view(struct view *view, enum measure measure)
{
	struct ranked *ranked = calloc(view->count + 1, sizeof(*ranked));
	double *values = calloc(view->count + 1, sizeof(*values));
	size_t count = 0;
	for (size_t i = 0; ranked && values && i < view->count; i++) {
		double value = view_measure_ms(view->served[i].record, measure);
		if (value < 0)
			continue;
		ranked[count] = (struct ranked){ value, i };
		values[count++] = value;
	}
	if (ranked && values && count) {
		view->measured[measure] = count;
		view->p50_ms[measure] = quantile_ms(values, count, 0.5);
		view->p95_ms[measure] = quantile_ms(values, count, 0.95);
		qsort(ranked, count, sizeof(*ranked), slowest_first);
		size_t tail = (size_t)max_ll((long long)ceil(TAIL_SHARE * (double)count), TAIL_MIN);
		view->worst[measure] = view->served[ranked[0].index].record;
		share_out(view, measure, ranked, tail < count ? tail : count);
		for (size_t i = 0; i < view->count; i++)
			values[i] = view_part_ms(view, view->served[i].record, view->holder[measure]);
		view->holder_since_ms[measure] = view_change_ms(view, values);
	}
	enum error error = ranked && values ? OK : ERROR_MEMORY;
	free(ranked);
	free(values);
	return error;
}

/* ---- who ran beside whom ---- */

/* How many of the sorted values are at or below. */
static size_t count_until(const double *sorted, size_t count, double value)
{
	size_t low = 0;
	size_t high = count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (sorted[middle] <= value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool record_was_served(const struct record *record)
{
	return *record->replica && record->status == 200;
}

void view_place(const struct view *view, const struct record *record, struct seen *out)
{
	double queue = stage_ms(view, record, DISPATCH);
	double before = view_part_ms(view, record, PART_arrive) + view_part_ms(view, record, PART_loop);
	*out = (struct seen){ .record = record, .arrival_ms = record->begin_ms + before };
	out->start_ms = out->arrival_ms + queue;
	out->end_ms = fmax(record->begin_ms + (double)record->total_ms - RELEASE_MS, out->start_ms);
}

/* Over all requests of the pool, whatever their route. */
static enum error count_beside(struct view *view, const char *pool)
{
	double *starts = calloc(view->records->count + 1, sizeof(*starts));
	double *ends = calloc(view->records->count + 1, sizeof(*ends));
	size_t count = 0;
	for (size_t i = 0; starts && ends && i < view->records->count; i++) {
		struct seen seen;
		if (view->records->items[i].pool != pool || !record_was_served(&view->records->items[i]))
			continue;
		view_place(view, &view->records->items[i], &seen);
		starts[count] = seen.start_ms;
		ends[count++] = seen.end_ms;
	}
	enum error error = starts && ends ? OK : ERROR_MEMORY;
	if (!error && count) {
		qsort(starts, count, sizeof(*starts), by_value);
		qsort(ends, count, sizeof(*ends), by_value);
	}
	for (size_t i = 0; !error && i < view->count; i++) {
		struct seen *seen = &view->served[i];
		double middle = (seen->arrival_ms + seen->start_ms) / 2;
		if (seen->record->pool != pool)
			continue;
		seen->beside =
			(unsigned)(count_until(starts, count, seen->start_ms) - count_until(ends, count, seen->start_ms));
		seen->at_wait = (unsigned)(count_until(starts, count, middle) - count_until(ends, count, middle));
	}
	free(starts);
	free(ends);
	return error;
}

static enum error look_beside(struct view *view)
{
	const char *pools[POOLS_MAX];
	size_t count = 0;
	enum error error = OK;
	for (size_t i = 0; i < view->count && !error && count < POOLS_MAX; i++) {
		const char *pool = view->served[i].record->pool;
		size_t j = 0;
		while (j < count && pools[j] != pool)
			j++;
		if (j < count)
			continue;
		pools[count++] = pool;
		error = count_beside(view, pool);
	}
	return error;
}

enum error view_init(const struct records *records, const char *route, const struct live *live, struct view *out)
{
	*out = (struct view){ .records = records, .route = route, .live = live, .holder_since_ms = { -1, -1 } };
	_Static_assert(COUNT_OF(out->stage_numbers) >= KNOWN, "room for every stage");
	for (enum known stage = HEAD; stage < KNOWN; stage++)
		out->stage_numbers[stage] = records_stage(records, known_texts[stage]);
	out->served = calloc(records->count + 1, sizeof(*out->served));
	out->refused = calloc(records->count + 1, sizeof(*out->refused));
	enum error error = out->served && out->refused ? OK : ERROR_MEMORY;
	for (size_t i = 0; i < records->count && !error; i++) {
		const struct record *record = &records->items[i];
		if (record->route != route)
			continue;
		out->begin_ms = out->all_count++ ? out->begin_ms : record->begin_ms;
		out->end_ms = fmax(out->end_ms, record->begin_ms + (double)record->total_ms);
		if (record_was_served(record))
			view_place(out, record, &out->served[out->count++]);
		else if (record->status == 429 || record->status == 503)
			out->refused[out->refused_count++] = record;
	}
	if (!error)
		error = look_beside(out);
	for (enum measure measure = 0; measure < MEASURES && !error; measure++)
		error = measure_view(out, measure);
	if (error)
		view_fini(out);
	return error;
}

void view_fini(struct view *view)
{
	free(view->served);
	free(view->refused);
	view->served = NULL;
	view->refused = NULL;
}
