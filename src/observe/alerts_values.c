/* What an alert's row reads: counters over windows, gauges, and the value that is held against the threshold. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "observe/alerts_parts.h"

#define QUANTILE_SHARE 0.95

bool alert_filter_has(const char *filter, const char *text)
{
	size_t len = strlen(text);
	while (filter && *filter) {
		size_t word = strcspn(filter, "|");
		if (word == len && memcmp(filter, text, len) == 0)
			return true;
		filter += word + (filter[word] == '|');
	}
	return !filter;
}

/* ---- what a row is made of ---- */

bool alert_row_has_window(const struct alert_row *row)
{
	return row->kind != GAUGE && row->kind != GAUGE_RATIO;
}

bool alert_row_has_second_label(const struct alert_row *row)
{
	return row->kind == BURN || row->kind == GAUGE || row->kind == GAUGE_RATIO;
}

uint32_t alerts_second_size(const struct alerts *alerts, const struct alert_row *row)
{
	return metrics_domain_size(alerts->metrics, metric_label(row->metric, 1));
}

uint32_t alerts_instance_count(const struct alerts *alerts, const struct alert_row *row)
{
	if (row->kind == DRAIN)
		return 1;
	uint32_t first = metrics_domain_size(alerts->metrics, metric_label(row->metric, 0));
	return alert_row_has_second_label(row) ? first * alerts_second_size(alerts, row) : first;
}

size_t alert_row_width(const struct alert_row *row)
{
	if (row->kind == QUANTILE || row->kind == TARGET)
		return METRIC_BUCKETS;
	return row->kind == BURN || row->kind == SHARE ? 2 : 1;
}

/* What a track counts, by two labels. */
static enum metric counted(const struct alert_row *row)
{
	return row->kind == DRAIN ? row->over : row->metric;
}

enum error alerts_match_labels(const struct alerts *alerts, struct track *track)
{
	const struct alert_row *row = track->row;
	enum metric_domain domain = metric_label(counted(row), 1);
	uint32_t count = metrics_domain_size(alerts->metrics, domain);
	const char *filter = row->kind == DRAIN || row->filter_label == 1 ? row->filter : NULL;
	track->matched = calloc(count, sizeof(*track->matched));
	if (!track->matched)
		return ERROR_MEMORY;
	for (uint32_t b = 0; b < count; b++)
		track->matched[b] = alert_filter_has(filter, metrics_domain_value(alerts->metrics, domain, b));
	return OK;
}

/* Sums with that first label: of the second labels that the filter has, and of all. */
static int64_t sum_matched(const struct alerts *alerts, const struct track *track, uint32_t first, int64_t *all)
{
	enum metric metric = counted(track->row);
	int64_t matched = 0;
	for (uint32_t b = 0; b < metrics_domain_size(alerts->metrics, metric_label(metric, 1)); b++) {
		int64_t value = metrics_sum(alerts->metrics, metric, first, b);
		*all += value;
		if (track->matched[b])
			matched += value;
	}
	return matched;
}

void alerts_read_counters(const struct alerts *alerts, const struct track *track, uint32_t index, int64_t *out)
{
	const struct alert_row *row = track->row;
	int64_t all = 0;
	if (row->kind == QUANTILE || row->kind == TARGET) {
		metrics_sum_buckets(alerts->metrics, row->metric, index, 0, out);
	} else if (row->kind == BURN) {
		uint32_t second = alerts_second_size(alerts, row);
		out[1] = metrics_sum(alerts->metrics, row->over, index / second, index % second);
		out[0] = out[1] - metrics_sum(alerts->metrics, row->metric, index / second, index % second);
	} else if (row->kind == DRAIN) {
		out[0] = 0;
		for (uint32_t i = 0; i < metrics_domain_size(alerts->metrics, metric_label(row->over, 0)); i++)
			out[0] += sum_matched(alerts, track, i, &all);
	} else {
		out[0] = sum_matched(alerts, track, index, &all);
		if (row->kind == SHARE)
			out[1] = all;
	}
}

/* ---- values ---- */

static double gauge(const struct alerts *alerts, enum metric metric, uint32_t a, uint32_t b)
{
	int64_t value = metrics_sum(alerts->metrics, metric, a, b);
	return value == NS_NEVER ? INFINITY : (double)value * metric_scale(metric);
}

/* As Prometheus' histogram_quantile: linear inside the bucket; one in the last bucket is its lower bound. Seconds. */
static double quantile_of(const int64_t *now, const int64_t *then, int64_t *count)
{
	*count = 0;
	for (size_t i = 0; i < METRIC_BUCKETS; i++)
		*count += now[i] - then[i];
	double rank = QUANTILE_SHARE * (double)*count;
	double below = 0;
	for (size_t i = 0; i < METRIC_BUCKETS - 1; i++) {
		double here = (double)(now[i] - then[i]);
		double lower = i ? (double)metric_bounds_ns()[i - 1] : 0;
		double upper = (double)metric_bounds_ns()[i];
		if (here > 0 && below + here >= rank)
			return (lower + (upper - lower) * (rank - below) / here) / (double)NS_PER_S;
		below += here;
	}
	return *count ? (double)metric_bounds_ns()[METRIC_BUCKETS - 2] / (double)NS_PER_S : 0;
}

static double target_of(const struct alerts *alerts, const struct alert_row *row, uint32_t first)
{
	enum metric_domain domain = metric_label(row->over, 1);
	for (uint32_t b = 0; b < metrics_domain_size(alerts->metrics, domain); b++) {
		if (alert_filter_has(row->over_filter, metrics_domain_value(alerts->metrics, domain, b)))
			return gauge(alerts, row->over, first, b);
	}
	return 0;
}

/* The gauge of the pool that a replica's name begins with: "pool/0". */
static double gauge_of_pool(const struct alerts *alerts, enum metric metric, const char *replica)
{
	const char *slash = strrchr(replica, '/');
	size_t len = slash ? (size_t)(slash - replica) : strlen(replica);
	for (uint32_t i = 0; i < metrics_domain_size(alerts->metrics, DOMAIN_POOL); i++) {
		const char *pool = metrics_domain_value(alerts->metrics, DOMAIN_POOL, i);
		if (strlen(pool) == len && memcmp(pool, replica, len) == 0)
			return gauge(alerts, metric, i, 0);
	}
	return 0;
}

/* Misses over the budget since then; 0 where there are too few. */
static double burn_of(const struct alerts *alerts, const int64_t *now, const int64_t *then, int64_t events)
{
	int64_t all = now[1] - then[1];
	if (all <= 0 || all < events)
		return 0;
	return (double)(now[0] - then[0]) / (double)all / alerts->thresholds.error_budget;
}

static double quantile_value(const struct alerts *alerts, const struct alert_row *row, uint32_t index,
                             const int64_t *now, const int64_t *then)
{
	int64_t count;
	const char *label = metrics_domain_value(alerts->metrics, metric_label(row->metric, 0), index);
	if (row->filter && !alert_filter_has(row->filter, label))
		return 0;
	double value = quantile_of(now, then, &count);
	double target = row->kind == TARGET ? target_of(alerts, row, index) : 1;
	return count >= row->events && target > 0 ? value / target : 0;
}

static double drain_value(const struct alerts *alerts, const struct alert_row *row, int64_t done, int64_t span_ns)
{
	double waiting = 0;
	for (uint32_t i = 0; i < metrics_domain_size(alerts->metrics, metric_label(row->metric, 0)); i++)
		waiting += gauge(alerts, row->metric, i, 0);
	return done >= max_ll(row->events, 1) ? waiting * (double)span_ns / (double)NS_PER_S / (double)done : 0;
}

static double windowed_value(const struct alerts *alerts, enum alert alert, uint32_t index,
                             const struct alert_windows *windows)
{
	const struct alert_row *row = &alert_rows[alert];
	const struct track *track = alerts->watched[alert].track;
	size_t place = index * track->width;
	const int64_t *now = &track->current[place];
	if (!windows->long_then)
		return 0;
	const int64_t *then = windows->long_then + place;
	if (row->kind == BURN)
		return fmin(burn_of(alerts, now, then, row->events),
		            burn_of(alerts, now, windows->short_then + place, max_ll(row->events / 10, 1)));
	if (row->kind == QUANTILE || row->kind == TARGET)
		return quantile_value(alerts, row, index, now, then);
	if (row->kind == DRAIN)
		return drain_value(alerts, row, now[0] - then[0], windows->span_ns);
	double increase = (double)(now[0] - then[0]);
	if (row->kind == INCREASE)
		return increase;
	return now[1] - then[1] >= max_ll(row->events, 1) ? increase / (double)(now[1] - then[1]) : 0;
}

double alerts_value(const struct alerts *alerts, enum alert alert, uint32_t index, const struct alert_windows *windows)
{
	const struct alert_row *row = &alert_rows[alert];
	if (alert_row_has_window(row))
		return windowed_value(alerts, alert, index, windows);
	uint32_t second = alerts_second_size(alerts, row);
	double value = gauge(alerts, row->metric, index / second, index % second);
	if (row->kind == GAUGE)
		return value;
	const char *replica = metrics_domain_value(alerts->metrics, metric_label(row->metric, 0), index / second);
	double over = gauge_of_pool(alerts, row->over, replica);
	return over > 0 ? value / over : 0;
}
