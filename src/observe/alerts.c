/* The table and the states. */
#include "observe/alerts.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "observe/alerts_parts.h"

/* How long one that no longer fires is still shown. */
#define RESOLVED_NS MINUTES(15)

#define PAGE ALERT_PAGE
#define TICKET ALERT_TICKET
const struct alert_row alert_rows[ALERT_COUNT] = {
#define ALERT(id, how_bad, what, ...) [ALERT_##id] = { .name = #id, .severity = how_bad, .kind = what, __VA_ARGS__ },
#include "observe/alerts.def"
#undef ALERT
};
#undef PAGE
#undef TICKET

void alerts_default_thresholds(struct alert_thresholds *out)
{
	for (size_t i = 0; i < ALERT_COUNT; i++)
		out->values[i] = alert_rows[i].threshold;
	out->error_budget = ALERTS_ERROR_BUDGET;
}

/* ---- states ---- */

static void view_of(const struct alerts *alerts, enum alert alert, uint32_t index, struct alert_view *view)
{
	const struct alert_row *row = &alert_rows[alert];
	const struct instance *instance = &alerts->watched[alert].instances[index];
	uint32_t second = alert_row_has_second_label(row) ? alerts_second_size(alerts, row) : 1;
	*view = (struct alert_view){
		.alert = alert,
		.name = row->name,
		.severity = row->severity,
		.state = instance->state,
		.labels = { "", "" },
		.values = { "", "" },
		.since_ns = instance->since_ns,
		.begin_ns = instance->begin_ns,
		.value = instance->value,
		.threshold = alerts->thresholds.values[alert],
		.unit = row->unit,
		.summary = row->summary,
		.action = row->action,
	};
	if (row->kind == DRAIN)
		return;
	for (unsigned i = 0; i < (alert_row_has_second_label(row) ? 2u : 1u); i++) {
		enum metric_domain domain = metric_label(row->metric, i);
		view->labels[i] = metric_domain_text(domain);
		view->values[i] = metrics_domain_value(alerts->metrics, domain, i ? index % second : index / second);
	}
}

/* Returns whether somebody is to be told. */
static bool move(struct instance *instance, const struct alert_row *row, bool is_over, int64_t now_ns, int64_t wall_ns)
{
	enum alert_state before = instance->state;
	if (is_over && before != ALERT_PENDING && before != ALERT_FIRING) {
		instance->state = ALERT_PENDING;
		instance->pending_ns = now_ns;
	}
	if (is_over && instance->state == ALERT_PENDING && now_ns - instance->pending_ns >= row->hold_ns) {
		instance->state = ALERT_FIRING;
		instance->begin_ns = wall_ns;
	}
	if (!is_over && before == ALERT_PENDING)
		instance->state = ALERT_INACTIVE;
	if (!is_over && before == ALERT_FIRING) {
		instance->state = ALERT_RESOLVED;
		instance->pending_ns = now_ns;
	}
	if (!is_over && before == ALERT_RESOLVED && now_ns - instance->pending_ns >= RESOLVED_NS)
		instance->state = ALERT_INACTIVE;
	if (instance->state != before)
		instance->since_ns = wall_ns;
	bool is_told = instance->state == ALERT_FIRING || instance->state == ALERT_RESOLVED;
	return is_told && instance->state != before;
}

static struct alert_windows windows_of(const struct alerts *alerts, enum alert alert, int64_t now_ns)
{
	const struct alert_row *row = &alert_rows[alert];
	const struct track *track = alerts->watched[alert].track;
	struct alert_windows windows = { 0 };
	if (!track)
		return windows;
	windows.long_then = alert_history_at(track->history, now_ns, row->long_ns, &windows.span_ns);
	windows.short_then = row->short_ns ? alert_history_at(track->history, now_ns, row->short_ns, NULL) : NULL;
	return windows;
}

void alerts_evaluate(struct alerts *alerts, int64_t now_ns, int64_t wall_ns, alerts_listener *listener, void *owner)
{
	for (size_t i = 0; i < alerts->track_count; i++) {
		struct track *track = &alerts->tracks[i];
		for (uint32_t j = 0; j < track->instances; j++)
			alerts_read_counters(alerts, track, j, &track->current[j * track->width]);
	}
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		const struct alert_windows windows = windows_of(alerts, (enum alert)i, now_ns);
		for (uint32_t j = 0; j < alerts->watched[i].count; j++) {
			struct instance *instance = &alerts->watched[i].instances[j];
			struct alert_view view;
			instance->value = alerts_value(alerts, (enum alert)i, j, &windows);
			bool is_over = instance->value > alerts->thresholds.values[i];
			if (!move(instance, &alert_rows[i], is_over, now_ns, wall_ns) || !listener)
				continue;
			view_of(alerts, (enum alert)i, j, &view);
			listener(owner, &view);
		}
	}
	for (size_t i = 0; i < alerts->track_count; i++)
		alert_history_add(alerts->tracks[i].history, now_ns, alerts->tracks[i].current);
}

void alerts_visit(const struct alerts *alerts, bool only_active, alerts_listener *visitor, void *owner)
{
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		for (uint32_t j = 0; j < alerts->watched[i].count; j++) {
			struct alert_view view;
			if (only_active && alerts->watched[i].instances[j].state == ALERT_INACTIVE)
				continue;
			view_of(alerts, (enum alert)i, j, &view);
			visitor(owner, &view);
		}
	}
}

unsigned alerts_firing(const struct alerts *alerts)
{
	unsigned firing = 0;
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		for (uint32_t j = 0; j < alerts->watched[i].count; j++)
			firing += alerts->watched[i].instances[j].state == ALERT_FIRING;
	}
	return firing;
}

/* ---- life ---- */

static bool same_counters(const struct alert_row *a, const struct alert_row *b)
{
	bool same_filter = a->filter == b->filter || (a->filter && b->filter && strcmp(a->filter, b->filter) == 0);
	return a->kind == b->kind && a->metric == b->metric && a->over == b->over && same_filter &&
	       a->filter_label == b->filter_label;
}

static struct track *track_for(struct alerts *alerts, const struct alert_row *row)
{
	for (size_t i = 0; i < alerts->track_count; i++) {
		if (same_counters(alerts->tracks[i].row, row))
			return &alerts->tracks[i];
	}
	struct track *track = &alerts->tracks[alerts->track_count++];
	*track =
		(struct track){ .row = row, .width = alert_row_width(row), .instances = alerts_instance_count(alerts, row) };
	return track;
}

enum error alerts_new(const struct metrics *metrics, const struct alert_thresholds *thresholds, struct alerts **out)
{
	struct alerts *alerts = calloc(1, sizeof(*alerts));
	if (!alerts)
		return ERROR_MEMORY;
	enum error error = OK;
	alerts->metrics = metrics;
	alerts_default_thresholds(&alerts->thresholds);
	if (thresholds)
		alerts->thresholds = *thresholds;
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		struct watched *watched = &alerts->watched[i];
		watched->count = alerts_instance_count(alerts, &alert_rows[i]);
		watched->instances = calloc(watched->count, sizeof(*watched->instances));
		if (!watched->instances)
			watched->count = 0, error = ERROR_MEMORY;
		if (!alert_row_has_window(&alert_rows[i]))
			continue;
		watched->track = track_for(alerts, &alert_rows[i]);
		watched->track->window_ns = max_ll(watched->track->window_ns, alert_rows[i].long_ns);
	}
	for (size_t i = 0; i < alerts->track_count && !error; i++) {
		struct track *track = &alerts->tracks[i];
		track->current = calloc(track->instances * track->width, sizeof(*track->current));
		error = track->current ? alerts_match_labels(alerts, track) : ERROR_MEMORY;
		if (!error)
			error = alert_history_new(track->instances * track->width, track->window_ns, &track->history);
	}
	if (error)
		alerts_free(&alerts);
	*out = alerts;
	return error;
}

void alerts_free(struct alerts **alerts_slot)
{
	struct alerts *alerts = *alerts_slot;
	if (!alerts)
		return;
	*alerts_slot = NULL;
	for (size_t i = 0; i < ALERT_COUNT; i++)
		free(alerts->watched[i].instances);
	for (size_t i = 0; i < alerts->track_count; i++) {
		free(alerts->tracks[i].current);
		free(alerts->tracks[i].matched);
		alert_history_free(&alerts->tracks[i].history);
	}
	free(alerts);
}

void alerts_set_thresholds(struct alerts *alerts, const struct alert_thresholds *thresholds)
{
	alerts->thresholds = *thresholds;
}
