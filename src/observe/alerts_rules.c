/* The rows as Prometheus alerting rules. What the gateway computes from its ring of snapshots is increase() and rate() here. */
#include <string.h>

#include "base/macros.h"
#include "observe/alerts_parts.h"

static const char *const severity_texts[] = { [ALERT_PAGE] = "page", [ALERT_TICKET] = "ticket" };

static void append_minutes(struct bytes *out, int64_t window_ns)
{
	bytes_printf(out, "%lldm", (long long)(window_ns / MINUTES(1)));
}

/* penstock_name{label=~"a|b"}, without the braces where there is no filter. */
static void append_series(struct bytes *out, enum metric metric, const char *suffix, const char *filter, unsigned label)
{
	bytes_printf(out, "penstock_%s%s", metric_name(metric), suffix);
	if (!filter)
		return;
	bytes_printf(out, "{%s=~\"%s\"}", metric_domain_text(metric_label(metric, label)), filter);
}

static void append_increase(struct bytes *out, enum metric metric, const char *filter, unsigned label,
                            int64_t window_ns)
{
	bytes_append_literal(out, "increase(");
	append_series(out, metric, "", filter, label);
	bytes_append_byte(out, '[');
	append_minutes(out, window_ns);
	bytes_append_literal(out, "])");
}

static void append_burn(struct bytes *out, const struct alert_row *row, int64_t window_ns, int64_t events, double limit)
{
	bytes_append_literal(out, "((1 - sum by (route, indicator) (");
	append_increase(out, row->metric, NULL, 0, window_ns);
	bytes_append_literal(out, ") / sum by (route, indicator) (");
	append_increase(out, row->over, NULL, 0, window_ns);
	bytes_printf(out, ")) > %g and sum by (route, indicator) (", limit);
	append_increase(out, row->over, NULL, 0, window_ns);
	bytes_printf(out, ") >= %lld)", (long long)events);
}

static void append_quantile(struct bytes *out, const struct alert_row *row)
{
	const char *label = metric_domain_text(metric_label(row->metric, 0));
	bytes_printf(out, "histogram_quantile(0.95, sum by (%s, le) (rate(", label);
	append_series(out, row->metric, "_bucket", row->filter, row->filter_label);
	bytes_append_byte(out, '[');
	append_minutes(out, row->long_ns);
	bytes_append_literal(out, "])))");
}

static void append_quantile_count(struct bytes *out, const struct alert_row *row)
{
	bytes_printf(out, " and sum by (%s) (increase(", metric_domain_text(metric_label(row->metric, 0)));
	append_series(out, row->metric, "_count", row->filter, row->filter_label);
	bytes_append_byte(out, '[');
	append_minutes(out, row->long_ns);
	bytes_printf(out, "])) >= %lld", (long long)row->events);
}

static void append_share(struct bytes *out, const struct alert_row *row, double threshold)
{
	const char *label = metric_domain_text(metric_label(row->metric, 0));
	bytes_printf(out, "sum by (%s) (", label);
	append_increase(out, row->metric, row->filter, row->filter_label, row->long_ns);
	bytes_printf(out, ") / sum by (%s) (", label);
	append_increase(out, row->metric, NULL, 0, row->long_ns);
	bytes_printf(out, ") > %g and sum by (%s) (", threshold, label);
	append_increase(out, row->metric, NULL, 0, row->long_ns);
	bytes_printf(out, ") >= %lld", (long long)row->events);
}

static void append_drain(struct bytes *out, const struct alert_row *row, double threshold)
{
	bytes_printf(out, "sum(penstock_%s) / (sum(", metric_name(row->metric));
	append_increase(out, row->over, row->filter, 1, row->long_ns);
	bytes_printf(out, ") / %lld) > %g and sum(", (long long)(row->long_ns / NS_PER_S), threshold);
	append_increase(out, row->over, row->filter, 1, row->long_ns);
	bytes_printf(out, ") >= %lld", (long long)row->events);
}

static void append_gauge_ratio(struct bytes *out, const struct alert_row *row, double threshold)
{
	bytes_printf(out,
	             "label_replace(penstock_%s, \"pool\", \"$1\", \"replica\", \"(.*)/[0-9]+\") > on (pool) group_left () "
	             "(%g * penstock_%s > 0)",
	             metric_name(row->metric), threshold, metric_name(row->over));
}

static void append_expression(struct bytes *out, const struct alert_row *row, double threshold, double budget)
{
	const char *first = metric_domain_text(metric_label(row->metric, 0));
	if (row->kind == BURN) {
		append_burn(out, row, row->long_ns, row->events, threshold * budget);
		bytes_append_literal(out, " and ");
		append_burn(out, row, row->short_ns, max_ll(row->events / 10, 1), threshold * budget);
	} else if (row->kind == GAUGE) {
		bytes_printf(out, "penstock_%s > %g", metric_name(row->metric), threshold);
	} else if (row->kind == GAUGE_RATIO) {
		append_gauge_ratio(out, row, threshold);
	} else if (row->kind == DRAIN) {
		append_drain(out, row, threshold);
	} else if (row->kind == SHARE) {
		append_share(out, row, threshold);
	} else if (row->kind == INCREASE) {
		bytes_printf(out, "sum by (%s) (", first);
		append_increase(out, row->metric, row->filter, row->filter_label, row->long_ns);
		bytes_printf(out, ") > %g", threshold);
	} else if (row->kind == QUANTILE) {
		append_quantile(out, row);
		bytes_printf(out, " > %g", threshold);
		append_quantile_count(out, row);
	} else {
		append_quantile(out, row);
		bytes_printf(out, " > on (route) group_left () (%g * ", threshold);
		append_series(out, row->over, "", row->over_filter, 1);
		bytes_append_literal(out, " > 0)");
		append_quantile_count(out, row);
	}
}

/* In double quotes, as YAML reads them. */
static void append_quoted(struct bytes *out, const char *text)
{
	bytes_append_byte(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			bytes_append_byte(out, '\\');
		bytes_append_byte(out, *text);
	}
	bytes_append_byte(out, '"');
}

void alerts_write_rules(const struct alert_thresholds *thresholds, struct bytes *out)
{
	bytes_append_text(out, "# Alerting rules for Prometheus, generated by `penstock check --prometheus-rules` from the "
	                       "table that the gateway's own\n"
	                       "# GET /alerts is made of.\ngroups:\n  - name: penstock\n    rules:\n");
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		const struct alert_row *row = &alert_rows[i];
		struct bytes expression = { 0 };
		append_expression(&expression, row, thresholds->values[i], thresholds->error_budget);
		bytes_append_text(out, "      - alert: ");
		alert_append_camel(out, row->name);
		bytes_append_text(out, "\n        expr: ");
		append_quoted(out, bytes_text(&expression));
		if (row->hold_ns)
			bytes_printf(out, "\n        for: %lldm", (long long)(row->hold_ns / MINUTES(1)));
		bytes_printf(out, "\n        labels:\n          severity: %s\n        annotations:\n          summary: ",
		             severity_texts[row->severity]);
		append_quoted(out, row->summary);
		bytes_append_text(out, "\n          action: ");
		append_quoted(out, row->action);
		bytes_append_byte(out, '\n');
		bytes_fini(&expression);
	}
}
