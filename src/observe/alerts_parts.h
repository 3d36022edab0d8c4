/* What the files of the alerts share. Not for others. */
#ifndef PENSTOCK_OBSERVE_ALERTS_PARTS_H
#define PENSTOCK_OBSERVE_ALERTS_PARTS_H

#include "base/clock.h"
#include "observe/alerts.h"

#define MINUTES(count) ((count)*60 * NS_PER_S)
#define HOURS(count) ((count)*3600 * NS_PER_S)

enum alert_kind { BURN, GAUGE, GAUGE_RATIO, DRAIN, SHARE, INCREASE, QUANTILE, TARGET };

/* One row; the columns are explained in alerts.def. */
struct alert_row {
	const char *name;
	enum alert_severity severity;
	enum alert_kind kind;
	enum metric metric;
	enum metric over;
	const char *filter;
	unsigned filter_label;
	const char *over_filter;
	double threshold;
	const char *unit;
	int64_t long_ns;
	int64_t short_ns;
	int64_t events;
	int64_t hold_ns;
	enum alert_measured baked;
	double baked_factor;
	const char *summary;
	const char *action;
};

/* In alerts.def's words. */
extern const struct alert_row alert_rows[ALERT_COUNT];

/* promise_burn_fast as PenstockPromiseBurnFast: what Alertmanager and the rules call it. */
void alert_append_camel(struct bytes *out, const char *name);

/* Is the text one of "a|b|c"? NULL has all. */
bool alert_filter_has(const char *filter, const char *text);

struct alert_history;

/* Counters that one or several rows look back on. */
struct track {
	const struct alert_row *row; /* the first of them */
	size_t width;                /* numbers of one instance */
	uint32_t instances;
	int64_t window_ns;
	bool *
		matched; /* owned: by second label of what is counted, whether the filter has it; NULL = there is no such label */
	int64_t *current; /* owned */
	struct alert_history *history;
};

/* A row on one set of labels. */
struct instance {
	enum alert_state state;
	int64_t pending_ns; /* monotonic */
	int64_t since_ns;   /* wall, and the next */
	int64_t begin_ns;
	double value;
};

struct watched {
	struct track *track; /* NULL: looks at gauges only */
	struct instance *instances;
	uint32_t count;
};

/* alerts_new and alerts_free are in alerts.c. */
struct alerts {
	const struct metrics *metrics;
	struct alert_thresholds thresholds;
	struct track tracks[ALERT_COUNT];
	size_t track_count;
	struct watched watched[ALERT_COUNT];
};

/* ---- alerts_values.c ---- */

/* Does it look back, and so need a history? */
bool alert_row_has_window(const struct alert_row *row);
/* Is there an instance for each pair of labels, or for each first one? */
bool alert_row_has_second_label(const struct alert_row *row);
/* Numbers that one instance keeps. */
size_t alert_row_width(const struct alert_row *row);
uint32_t alerts_second_size(const struct alerts *alerts, const struct alert_row *row);
uint32_t alerts_instance_count(const struct alerts *alerts, const struct alert_row *row);
/* Fills track->matched. ERROR_MEMORY. */
enum error alerts_match_labels(const struct alerts *alerts, struct track *track);
/* Writes alert_row_width numbers. */
void alerts_read_counters(const struct alerts *alerts, const struct track *track, uint32_t index, int64_t *out);

/* The counters as they were at the begin of a row's windows; found once for all its instances. */
struct alert_windows {
	const int64_t *long_then; /* NULL: nothing was known yet */
	const int64_t *short_then;
	int64_t span_ns; /* of the long one */
};
/* Over the track's current counters. 0 where there are too few events. windows: not looked at where the row has none. */
double alerts_value(const struct alerts *alerts, enum alert alert, uint32_t index, const struct alert_windows *windows);

/* ---- alerts_history.c: counters as they were ---- */

/* value_count: of one snapshot. window_ns: the longest that is asked for. ERROR_MEMORY. */
enum error alert_history_new(size_t value_count, int64_t window_ns, struct alert_history **out);
void alert_history_free(struct alert_history **history);
/* now_ns: later than the last call's. */
void alert_history_add(struct alert_history *history, int64_t now_ns, const int64_t *values);
/* The values at that time: the last ones known by then, or the first ones known at all; NULL before the first. span_ns may be NULL: how long ago
 * they were taken. Borrowed until the next alert_history_add. */
const int64_t *alert_history_at(const struct alert_history *history, int64_t now_ns, int64_t window_ns,
                                int64_t *span_ns);

#endif
