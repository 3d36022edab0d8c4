/* Causes of slowness, from causes.def: each is held against the requests of a route, and those that explain a part of the p95 are findings. */
#ifndef PENSTOCK_WHY_CAUSES_H
#define PENSTOCK_WHY_CAUSES_H

#include <stdbool.h>

#include "base/bytes.h"
#include "why/view.h"

enum cause {
#define CAUSE(name, title, remedy, effect) CAUSE_##name,
#include "why/causes.def"
#undef CAUSE
	CAUSES
};

#define FINDING_WORST 3

/* A cause that was found. Call finding_fini. */
struct finding {
	enum cause cause;
	const char *name;
	const char *title;
	const char *remedy;
	struct bytes sentence; /* what was found, one sentence; owned, so the next two */
	struct bytes evidence; /* numbers */
	struct bytes effect;   /* what changing it is predicted to give */
	enum measure measure;  /* which p95 it explains most of */
	double before_ms;
	double after_ms;                           /* predicted */
	double weight;                             /* for their order: the share of the p95 that goes, 0..1 */
	size_t count;                              /* requests that it concerns */
	double since_ms;                           /* -1: the whole window */
	const struct record *worst[FINDING_WORST]; /* ids to look at; NULL where there are fewer */
};

/* Holds every cause against the route; writes what was found, the weightiest first. Returns how many. */
size_t causes_find(const struct view *view, struct finding out[CAUSES]);
void finding_fini(struct finding *finding);
/* The table of docs/why.md. */
void causes_write_reference(struct bytes *out);

/* ---- for the tests of causes_*.c ---- */

#define CAUSE(name, title, remedy, effect) bool cause_##name(const struct view *view, struct finding *finding);
#include "why/causes.def"
#undef CAUSE

/* Requests below which a cause says nothing. */
#define CAUSE_COUNT_MIN 20
/* A wait for a place that is shorter is none. */
#define CAUSE_WAIT_MIN_MS 20.0

/* What would be if each served request (by index) were shorter by its excess, ms, >= 0: fills measure, before, after, weight, worst, count and since.
 * before_first: the excess lies before the first token. False when that takes less than `share` of the p95, or less than 20 ms. */
bool finding_weigh(const struct view *view, const double *excess_ms, bool before_first, double share,
                   struct finding *finding);
/* The quantile of a part over served requests; with only_positive those that have any of it. */
double part_quantile_ms(const struct view *view, enum part part, double share, bool only_positive);
/* An array for served requests, zeroed; NULL when memory is full. Free with free. */
double *excess_new(const struct view *view);
/* Is the pool one of those that the route's requests went to? A view without requests is of every pool. */
bool view_has_pool(const struct view *view, const char *pool);
/* "end to end" or "to the first token", for sentences. */
const char *measure_text(enum measure measure);
/* 850 ms or 4.1 s. */
void append_ms(struct bytes *out, double ms);
/* "the p95 of the end to end time would go from 4.1 s to about 2.2 s". */
void append_effect(struct finding *finding, const char *what);

#endif
