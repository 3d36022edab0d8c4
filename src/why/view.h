/* The requests of one route in a window: their percentiles, what their time is made of, how many ran beside them, and since when a part is long. */
#ifndef PENSTOCK_WHY_VIEW_H
#define PENSTOCK_WHY_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "why/live.h"
#include "why/record.h"

enum part {
#define PART(name, text, before_first) PART_##name,
#include "why/parts.def"
#undef PART
	PARTS
};

/* What is promised on: end to end, and time to first token. */
enum measure { MEASURE_E2E, MEASURE_TTFT, MEASURES };

/* A served request, seen among the others of its pool. */
struct seen {
	const struct record *record;
	double arrival_ms; /* in the queue; since 1970, as the next ones */
	double start_ms;   /* at a replica */
	double end_ms;
	unsigned beside;  /* requests of its pool at work when it started, itself included */
	unsigned at_wait; /* the same in the middle of its wait */
};

struct view {
	const struct records *records;
	const struct live *live; /* may be NULL */
	const char *route;
	struct seen *served; /* owned; those that a replica answered, by begin */
	size_t count;
	const struct record **refused; /* owned; 429 and 503 */
	size_t refused_count;
	size_t all_count; /* of the route, however they ended */
	double begin_ms;
	double end_ms;
	double p50_ms[MEASURES];
	double p95_ms[MEASURES];
	size_t measured[MEASURES];            /* requests that have it */
	double tail_share[MEASURES][PARTS];   /* of the time of the slowest 5 % */
	enum part holder[MEASURES];           /* the largest of them */
	double holder_since_ms[MEASURES];     /* -1: the whole window */
	const struct record *worst[MEASURES]; /* NULL = none */
	size_t stage_numbers[16];             /* private: see view.c */
};

/* route: shared text of the records. live: borrowed, NULL = not known. ERROR_MEMORY. */
enum error view_init(const struct records *records, const char *route, const struct live *live, struct view *out);
void view_fini(struct view *view);

const char *part_text(enum part part);
const char *part_name(enum part part);
bool part_is_before_first(enum part part);
/* ms; the parts of a request add up to its total. */
double view_part_ms(const struct view *view, const struct record *record, enum part part);
/* Did a replica answer it? */
bool record_was_served(const struct record *record);
/* Its times; the counts of others stay 0. */
void view_place(const struct view *view, const struct record *record, struct seen *out);
static inline double seen_wait_ms(const struct seen *seen)
{
	return seen->start_ms - seen->arrival_ms;
}
/* -1 where the request has none. */
double view_measure_ms(const struct record *record, enum measure measure);
/* The value below which a share of the values lies (nearest rank); 0 of none. Sorts them. */
double quantile_ms(double *values, size_t count, double share);
/* From which minute on the values (of view->served, by index; -1 = none) stay above 1.5 times what they were before, in their 95th percentile: its
 * begin, ms since 1970; -1 when there is no such minute. */
double view_change_ms(const struct view *view, const double *values);

#endif
