/* One function a panel: rows of text from the numbers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "top/frame.h"

#define BAR_CHARACTERS 28
#define TEXT_BYTES 24
#define SECONDS_AN_HOUR 3600

/* 850ms, 4.1s, 12m; "-" for nothing. */
static const char *time_text(double seconds, char out[TEXT_BYTES])
{
	if (isinf(seconds))
		snprintf(out, TEXT_BYTES, "never");
	else if (!(seconds > 0))
		snprintf(out, TEXT_BYTES, "-");
	else if (seconds < 0.01)
		snprintf(out, TEXT_BYTES, "%.2fms", seconds * 1000);
	else if (seconds < 1)
		snprintf(out, TEXT_BYTES, "%.0fms", seconds * 1000);
	else if (seconds < 600)
		snprintf(out, TEXT_BYTES, "%.1fs", seconds);
	else
		snprintf(out, TEXT_BYTES, "%.0fm", seconds / 60);
	return out;
}

/* The sample of that name with these labels; 0 when there is none. */
static double value_of(const struct prometheus_page *page, const char *name, const char *first, const char *first_value,
                       const char *second, const char *second_value)
{
	for (const struct prometheus_sample *at = prometheus_next(page, name, NULL); at;
	     at = prometheus_next(page, name, at)) {
		bool is_first = !first || strcmp(prometheus_label(at, first), first_value) == 0;
		if (is_first && (!second || strcmp(prometheus_label(at, second), second_value) == 0))
			return at->value;
	}
	return 0;
}

/* ---- promises ---- */

static const char *const promise_states[] = { "none", "unknown", "kept", "BROKEN" };

void panel_promises(const struct snapshot *snapshot, struct rows *rows)
{
	const struct prometheus_page *now = &snapshot->now;
	const char *requests = "penstock_promise_requests_total";
	for (const struct prometheus_sample *at = prometheus_next(now, requests, NULL); at;
	     at = prometheus_next(now, requests, at)) {
		const char *route = prometheus_label(at, "route");
		const char *indicator = prometheus_label(at, "indicator");
		double target = value_of(now, "penstock_promise_target_seconds", "route", route, "indicator", indicator);
		double met = value_of(now, "penstock_promise_attainment_ratio", "route", route, "indicator", indicator);
		double state = value_of(now, "penstock_promise_state", "route", route, NULL, NULL);
		char text[TEXT_BYTES];
		if (target <= 0 && at->value <= 0)
			continue;
		size_t index = state >= 0 && state < (double)COUNT_OF(promise_states) ? (size_t)state : 0;
		enum row_style style = index == 3 ? ROW_BAD : index == 2 ? ROW_GOOD : ROW_PLAIN;
		rows_add(rows, style, "              %-18.18s %-8.8s %-10s %5.1f %%    %s", route, indicator,
		         time_text(target, text), 100 * met, promise_states[index]);
	}
}

/* ---- alerts ---- */

void panel_alerts(const struct snapshot *snapshot, struct rows *rows)
{
	for (size_t i = 0; i < snapshot->alert_count; i++) {
		const struct shown_alert *alert = &snapshot->alerts[i];
		bool fires = strcmp(alert->state, "firing") == 0;
		enum row_style style = !fires ? ROW_PLAIN : strcmp(alert->severity, "page") == 0 ? ROW_BAD : ROW_WARNING;
		char value[TEXT_BYTES] = "inf";
		if (!isnan(alert->value))
			snprintf(value, sizeof(value), "%.3g", alert->value);
		rows_add(rows, style, "              %-8s %-6s %-23s %-14.14s %s/%.3g", alert->state, alert->severity,
		         alert->name, alert->on, value, alert->threshold);
	}
	if (!snapshot->alert_count)
		rows_add(rows, ROW_GOOD, "              none fires");
}

/* ---- consequences ---- */

static bool is_refusal(const char *outcome)
{
	static const char *const refusals[] = { "queue_full",   "hopeless",  "queue_expired", "no_replica",
		                                    "over_promise", "try_again", "upstream_busy", "upstream_limited" };
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		if (strcmp(outcome, refusals[i]) == 0)
			return true;
	}
	return false;
}

static double refused_sum(const struct prometheus_page *page, const char *route)
{
	double sum = 0;
	const char *name = "penstock_requests_total";
	for (const struct prometheus_sample *at = prometheus_next(page, name, NULL); at;
	     at = prometheus_next(page, name, at)) {
		if (strcmp(prometheus_label(at, "route"), route) == 0 && is_refusal(prometheus_label(at, "outcome")))
			sum += at->value;
	}
	return sum;
}

void panel_consequences(const struct snapshot *snapshot, struct rows *rows)
{
	const struct prometheus_page *now = &snapshot->now;
	const char *tokens = "penstock_output_tokens_total";
	for (const struct prometheus_sample *at = prometheus_next(now, tokens, NULL); at;
	     at = prometheus_next(now, tokens, at)) {
		const char *route = prometheus_label(at, "route");
		double rate = snapshot_rate(snapshot, "penstock_requests_total", "route", route);
		double refused = snapshot->seconds > 0
		                     ? (refused_sum(now, route) - refused_sum(&snapshot->before, route)) / snapshot->seconds
		                     : 0;
		char first[TEXT_BYTES];
		char whole[TEXT_BYTES];
		double count;
		if (strcmp(route, "-") == 0 && rate <= 0)
			continue;
		time_text(prometheus_quantile(now, &snapshot->before, "penstock_time_to_first_token_seconds", "route", route,
		                              0.95, &count),
		          first);
		time_text(prometheus_quantile(now, &snapshot->before, "penstock_request_duration_seconds", "route", route, 0.95,
		                              &count),
		          whole);
		rows_add(rows, refused > 0 ? ROW_WARNING : ROW_PLAIN,
		         "              %-15.15s %6.1f %7.1f %5.1f %%  %-9s %-9s %.4g", route, rate,
		         snapshot_rate(snapshot, tokens, "route", route), rate > 0 ? 100 * refused / rate : 0, first, whole,
		         SECONDS_AN_HOUR * snapshot_rate(snapshot, "penstock_cost_total", "route", route));
	}
}

/* ---- queue, ladder ---- */

void panel_queue(const struct snapshot *snapshot, struct rows *rows)
{
	const struct prometheus_page *now = &snapshot->now;
	const char *queue = "penstock_queue_requests";
	for (const struct prometheus_sample *at = prometheus_next(now, queue, NULL); at;
	     at = prometheus_next(now, queue, at)) {
		const char *pool = prometheus_label(at, "pool");
		size_t len = strlen(pool);
		double ready = 0;
		char wait[TEXT_BYTES];
		const char *name = "penstock_replica_ready";
		for (const struct prometheus_sample *one = prometheus_next(now, name, NULL); one;
		     one = prometheus_next(now, name, one)) {
			const char *replica = prometheus_label(one, "replica");
			if (strncmp(replica, pool, len) == 0 && replica[len] == '/')
				ready += one->value;
		}
		rows_add(rows, at->value > 0 ? ROW_WARNING : ROW_PLAIN, "              %-18.18s %5.0f  %7.0f  %-15s  %.0f/%.0f",
		         pool, at->value, prometheus_sum(now, "penstock_in_flight_requests", "pool", pool),
		         time_text(prometheus_sum(now, "penstock_predicted_wait_seconds", "pool", pool), wait), ready,
		         prometheus_sum(now, "penstock_replicas_wanted", "pool", pool));
	}
}

void panel_ladder(const struct snapshot *snapshot, struct rows *rows)
{
	const struct prometheus_page *now = &snapshot->now;
	const char *rung = "penstock_rung";
	for (const struct prometheus_sample *at = prometheus_next(now, rung, NULL); at;
	     at = prometheus_next(now, rung, at)) {
		const char *route = prometheus_label(at, "route");
		double pressure = prometheus_sum(now, "penstock_ladder_pressure_ratio", "route", route);
		double moves = prometheus_sum(now, "penstock_rung_moves_total", "route", route);
		double latched = prometheus_sum(now, "penstock_ladder_latched", "route", route);
		if (at->value <= 0 && pressure <= 0 && moves <= 0)
			continue;
		rows_add(rows,
		         latched > 0     ? ROW_BAD
		         : at->value > 0 ? ROW_WARNING
		                         : ROW_PLAIN,
		         "              %-18.18s %4.0f  %8.2f  %5.0f  %s", route, at->value, pressure, moves,
		         latched > 0 ? "LATCHED" : "no");
	}
}

/* ---- replicas ---- */

void panel_replicas(const struct snapshot *snapshot, struct rows *rows)
{
	const struct prometheus_page *now = &snapshot->now;
	for (size_t i = 0; i < snapshot->replica_count; i++) {
		const struct shown_replica *replica = &snapshot->replicas[i];
		bool is_open = prometheus_sum(now, "penstock_replica_circuit_open", "replica", replica->name) > 0;
		bool is_ready = strcmp(replica->state, "ready") == 0;
		char state[TEXT_BYTES];
		char starting[TEXT_BYTES];
		char load[TEXT_BYTES];
		if (is_ready || !replica->percent)
			snprintf(state, sizeof(state), "%s", replica->state);
		else
			snprintf(state, sizeof(state), "%s %d %%", replica->state, replica->percent);
		snprintf(load, sizeof(load), "%.0f/%.0f",
		         prometheus_sum(now, "penstock_replica_in_flight_requests", "replica", replica->name),
		         prometheus_sum(now, "penstock_replica_concurrency", "replica", replica->name));
		time_text(prometheus_sum(now, "penstock_cold_start_elapsed_seconds", "replica", replica->name), starting);
		rows_add(rows,
		         is_open    ? ROW_BAD
		         : is_ready ? ROW_PLAIN
		                    : ROW_WARNING,
		         "              %-16.16s %-13.13s %-8s %-7s %-8s %d", replica->name, state, load,
		         is_open ? "OPEN" : "closed", starting, replica->restarts);
	}
}

/* ---- stages ---- */

void panel_stages(const struct snapshot *snapshot, struct rows *rows)
{
	const struct prometheus_page *now = &snapshot->now;
	const char *seconds = "penstock_stage_seconds_total";
	double all = snapshot_rate(snapshot, seconds, NULL, NULL);
	for (const struct prometheus_sample *at = prometheus_next(now, seconds, NULL); at;
	     at = prometheus_next(now, seconds, at)) {
		const char *stage = prometheus_label(at, "stage");
		double share = all > 0 ? snapshot_rate(snapshot, seconds, "stage", stage) / all : 0;
		double count;
		char text[TEXT_BYTES];
		char bar[BAR_CHARACTERS + 1] = "";
		if (share < 0.0005)
			continue;
		memset(bar, '#', (size_t)(share * BAR_CHARACTERS + 0.5));
		double p95 = prometheus_quantile(now, &snapshot->before, "penstock_stage_duration_seconds", "stage", stage,
		                                 0.95, &count);
		rows_add(rows, ROW_PLAIN, "              %-18.18s %-9s %5.1f %% %s", stage, time_text(p95, text), 100 * share,
		         bar);
	}
}
