/* What an alert's row reads: counters over windows, gauges, and the value that is held against the threshold. */
#include <math.h>
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

/* Sums of the metric with that first label: of the second labels that the filter has, and of all. */
static int64_t sum_filtered(const struct alerts *alerts, enum metric metric, uint32_t first, const char *filter,
                            int64_t *all)
{
	enum metric_domain domain = metric_label(metric, 1);
	int64_t matched = 0;
	for (uint32_t b = 0; b < metrics_domain_size(alerts->metrics, domain); b++) {
		int64_t value = metrics_sum(alerts->metrics, metric, first, b);
		*all += value;
		if (alert_filter_has(filter, metrics_domain_value(alerts->metrics, domain, b)))
			matched += value;
	}
	return matched;
}

void alerts_read_counters(const struct alerts *alerts, const struct alert_row *row, uint32_t index, int64_t *out)
{
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
			out[0] += sum_filtered(alerts, row->over, i, row->filter, &all);
	} else {
		out[0] = sum_filtered(alerts, row->metric, index, row->filter_label == 1 ? row->filter : NULL, &all);
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

/* Misses over the budget in one window; 0 where there are too few. */
static double burn_of(const struct alerts *alerts, const struct track *track, uint32_t index, int64_t now_ns,
                      int64_t window_ns, int64_t events)
{
	const int64_t *now = &track->current[index * track->width];
	const int64_t *then = alert_history_at(track->history, now_ns, window_ns, NULL);
	if (!then)
		return 0;
	then += index * track->width;
	int64_t all = now[1] - then[1];
	if (all <= 0 || all < events)
		return 0;
	return (double)(now[0] - then[0]) / (double)all / alerts->thresholds.error_budget;
}

static double windowed_value(const struct alerts *alerts, enum alert alert, uint32_t index, int64_t now_ns)
{
	const struct alert_row *row = &alert_rows[alert];
	const struct track *track = alerts->watched[alert].track;
	const int64_t *now = &track->current[index * track->width];
	int64_t span_ns = 0;
	int64_t count = 0;
	const int64_t *then = alert_history_at(track->history, now_ns, row->long_ns, &span_ns);
	if (row->kind == BURN)
		return fmin(burn_of(alerts, track, index, now_ns, row->long_ns, row->events),
		            burn_of(alerts, track, index, now_ns, row->short_ns, max_ll(row->events / 10, 1)));
	if (!then)
		return 0;
	then += index * track->width;
	if (row->kind == QUANTILE || row->kind == TARGET) {
		if (row->kind == QUANTILE && row->filter && row->filter_label == 0 &&
		    !alert_filter_has(row->filter, metrics_domain_value(alerts->metrics, metric_label(row->metric, 0), index)))
			return 0;
		double value = quantile_of(now, then, &count);
		double target = row->kind == TARGET ? target_of(alerts, row, index) : 1;
		return count >= row->events && target > 0 ? value / target : 0;
	}
	double increase = (double)(now[0] - then[0]);
	if (row->kind == SHARE)
		return now[1] - then[1] >= max_ll(row->events, 1) ? increase / (double)(now[1] - then[1]) : 0;
	if (row->kind == INCREASE)
		return increase;
	double waiting = 0;
	for (uint32_t i = 0; i < metrics_domain_size(alerts->metrics, metric_label(row->metric, 0)); i++)
		waiting += gauge(alerts, row->metric, i, 0);
	return increase >= (double)row->events ? waiting * (double)span_ns / (double)NS_PER_S / increase : 0;
}

double alerts_value(const struct alerts *alerts, enum alert alert, uint32_t index, int64_t now_ns)
{
	const struct alert_row *row = &alert_rows[alert];
	if (alert_row_has_window(row))
		return windowed_value(alerts, alert, index, now_ns);
	uint32_t second = alerts_second_size(alerts, row);
	double value = gauge(alerts, row->metric, index / second, index % second);
	if (row->kind == GAUGE)
		return value;
	const char *replica = metrics_domain_value(alerts->metrics, metric_label(row->metric, 0), index / second);
	double over = gauge_of_pool(alerts, row->over, replica);
	return over > 0 ? value / over : 0;
}
