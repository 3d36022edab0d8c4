#include "why/report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/macros.h"
#include "why/causes.h"

#define FINDINGS_SHOWN 5

static const char *const measure_names[MEASURES] = { [MEASURE_E2E] = "e2e", [MEASURE_TTFT] = "ttft" };
static const char *const measure_titles[MEASURES] = { [MEASURE_E2E] = "end to end", [MEASURE_TTFT] = "to first token" };

/* 12:03, or 12:03:40 where the window is short. UTC. */
static void append_time(struct bytes *out, double ms, const char *format)
{
	char text[40];
	struct tm parts;
	time_t second = (time_t)(ms / 1000);
	gmtime_r(&second, &parts);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	strftime(text, sizeof(text), format, &parts); /* three of them, all here */
#pragma GCC diagnostic pop
	bytes_append_text(out, text);
}

static void append_since(struct bytes *out, const struct view *view, double since_ms)
{
	if (since_ms < 0) {
		bytes_append_literal(out, "the whole window");
		return;
	}
	bytes_append_literal(out, "since ");
	append_time(out, since_ms, view->end_ms - view->begin_ms < 4 * 60000 ? "%H:%M:%S" : "%H:%M");
}

/* ---- for people ---- */

static void write_head(const struct view *view, struct bytes *out)
{
	bytes_printf(out, "route %s: %zu requests from ", view->route, view->all_count);
	append_time(out, view->begin_ms, "%Y-%m-%d %H:%M:%S");
	bytes_append_literal(out, " to ");
	append_time(out, view->end_ms, "%H:%M:%S");
	bytes_printf(out, " UTC, %zu served, %zu refused\n", view->count, view->refused_count);
	for (enum measure measure = 0; measure < MEASURES; measure++) {
		if (!view->measured[measure])
			continue;
		enum part holder = view->holder[measure];
		bytes_printf(out, "  p95 %-14s ", measure_titles[measure]);
		append_ms(out, view->p95_ms[measure]);
		bytes_append_literal(out, " (median ");
		append_ms(out, view->p50_ms[measure]);
		bytes_printf(out, "): held by %s, %.0f %%, ", part_text(holder), 100 * view->tail_share[measure][holder]);
		append_since(out, view, view->holder_since_ms[measure]);
		bytes_printf(out, "; slowest %s\n", view->worst[measure]->id);
	}
}

static void write_finding(const struct view *view, struct finding *finding, size_t number, struct bytes *out)
{
	bytes_printf(out, "  %zu. %s: %s (", number, finding->title, bytes_text(&finding->sentence));
	append_since(out, view, finding->since_ms);
	bytes_printf(out, ")\n     evidence  %s\n", bytes_text(&finding->evidence));
	if (finding->worst[0])
		bytes_append_literal(out, "     look at  ");
	for (size_t i = 0; i < FINDING_WORST && finding->worst[i]; i++) {
		bytes_printf(out, "%s%s (", i ? ", " : " ", finding->worst[i]->id);
		append_ms(out, (double)finding->worst[i]->total_ms);
		bytes_append_byte(out, ')');
	}
	bytes_printf(out, "%s     change    %s\n     effect    %s.\n", finding->worst[0] ? "\n" : "", finding->remedy,
	             bytes_text(&finding->effect));
}

static void write_route(const struct view *view, struct finding *findings, size_t count, struct bytes *out)
{
	write_head(view, out);
	if (!count)
		bytes_append_literal(out, "  nothing stands out\n");
	for (size_t i = 0; i < count && i < FINDINGS_SHOWN; i++)
		write_finding(view, &findings[i], i + 1, out);
}

/* ---- for machines ---- */

static void write_number(struct bytes *out, const char *name, double value)
{
	bytes_printf(out, ",\"%s\":", name);
	json_write_double(out, value);
}

static void write_time(struct bytes *out, const char *name, double ms)
{
	bytes_printf(out, ",\"%s\":", name);
	if (ms < 0) {
		bytes_append_literal(out, "null");
		return;
	}
	bytes_append_byte(out, '"');
	append_time(out, ms, "%Y-%m-%dT%H:%M:%SZ");
	bytes_append_byte(out, '"');
}

static void write_text(struct bytes *out, const char *name, struct span text)
{
	bytes_printf(out, ",\"%s\":", name);
	json_write_string(out, text);
}

static void write_measure_json(const struct view *view, enum measure measure, struct bytes *out)
{
	bytes_printf(out, ",\"%s\":{\"requests\":%zu", measure_names[measure], view->measured[measure]);
	write_number(out, "p50_ms", view->p50_ms[measure]);
	write_number(out, "p95_ms", view->p95_ms[measure]);
	write_text(out, "held_by", span_of(part_name(view->holder[measure])));
	write_text(out, "worst", span_of(view->worst[measure] ? view->worst[measure]->id : ""));
	write_time(out, "since", view->holder_since_ms[measure]);
	bytes_append_literal(out, ",\"tail_shares\":{");
	for (enum part part = 0; part < PARTS; part++) {
		bytes_printf(out, "%s\"%s\":", part ? "," : "", part_name(part));
		json_write_double(out, view->tail_share[measure][part]);
	}
	bytes_append_literal(out, "}}");
}

static void write_finding_json(const struct finding *finding, struct bytes *out)
{
	bytes_printf(out, "{\"cause\":\"%s\",\"measure\":\"%s\"", finding->name, measure_names[finding->measure]);
	write_text(out, "title", span_of(finding->title));
	write_text(out, "sentence", bytes_span(&finding->sentence));
	write_text(out, "evidence", bytes_span(&finding->evidence));
	write_text(out, "change", span_of(finding->remedy));
	write_text(out, "effect", bytes_span(&finding->effect));
	write_number(out, "weight", finding->weight);
	write_number(out, "p95_before_ms", finding->before_ms);
	write_number(out, "p95_after_ms", finding->after_ms);
	write_number(out, "requests", (double)finding->count);
	write_time(out, "since", finding->since_ms);
	bytes_append_literal(out, ",\"look_at\":[");
	for (size_t i = 0; i < FINDING_WORST && finding->worst[i]; i++) {
		bytes_append_text(out, i ? "," : "");
		json_write_string(out, span_of(finding->worst[i]->id));
	}
	bytes_append_literal(out, "]}");
}

static void write_route_json(const struct view *view, const struct finding *findings, size_t count, struct bytes *out)
{
	bytes_append_literal(out, "{\"route\":");
	json_write_string(out, span_of(view->route));
	bytes_printf(out, ",\"requests\":%zu,\"served\":%zu,\"refused\":%zu", view->all_count, view->count,
	             view->refused_count);
	write_time(out, "from", view->begin_ms);
	write_time(out, "to", view->end_ms);
	for (enum measure measure = 0; measure < MEASURES; measure++)
		write_measure_json(view, measure, out);
	bytes_append_literal(out, ",\"findings\":[");
	for (size_t i = 0; i < count; i++) {
		bytes_append_text(out, i ? "," : "");
		write_finding_json(&findings[i], out);
	}
	bytes_append_literal(out, "]}");
}

/* ---- all routes ---- */

static enum error report_route(struct records *records, const char *route, const struct live *live,
                               const struct report_options *options, bool *answered, struct bytes *out)
{
	struct view view;
	struct finding findings[CAUSES];
	enum error error = view_init(records, route, live, &view);
	if (error)
		return error;
	if (view.count + view.refused_count >= REPORT_COUNT_MIN) {
		size_t count = causes_find(&view, findings);
		if (options->as_json && *answered)
			bytes_append_byte(out, ',');
		*answered = true;
		if (options->as_json)
			write_route_json(&view, findings, count, out);
		else
			write_route(&view, findings, count, out);
		for (size_t i = 0; i < count; i++)
			finding_fini(&findings[i]);
	} else if (!options->as_json) {
		bytes_printf(out, "route %s: %zu requests were served or refused; %d are needed to say anything\n", route,
		             view.count + view.refused_count, REPORT_COUNT_MIN);
	}
	view_fini(&view);
	return OK;
}

/* Nobody has been answered, but users may wait: what the gateway shows of itself now. */
static enum error report_now(struct records *records, const struct live *live, const struct report_options *options,
                             bool *answered, struct bytes *out)
{
	struct view view;
	struct finding findings[CAUSES];
	enum error error = view_init(records, "", live, &view);
	if (error)
		return error;
	size_t count = causes_find(&view, findings);
	*answered = count > 0;
	if (count && !options->as_json)
		bytes_append_literal(out, "now:\n");
	for (size_t i = 0; i < count; i++) {
		if (options->as_json) {
			bytes_append_text(out, i ? "," : "");
			write_finding_json(&findings[i], out);
		} else {
			write_finding(&view, &findings[i], i + 1, out);
		}
		finding_fini(&findings[i]);
	}
	view_fini(&view);
	return OK;
}

enum error report_write(struct records *records, const struct live *live, const struct report_options *options,
                        bool *answered, struct bytes *out)
{
	const char *routes[256];
	size_t count = 0;
	enum error error = OK;
	*answered = false;
	for (size_t i = 0; i < records->count; i++) {
		const char *route = records->items[i].route;
		size_t j = 0;
		while (j < count && routes[j] != route)
			j++;
		if (j == count && *route && count < COUNT_OF(routes) && (!options->route || strcmp(options->route, route) == 0))
			routes[count++] = route;
	}
	if (options->as_json)
		bytes_append_literal(out, "{\"routes\":[");
	for (size_t i = 0; i < count && !error; i++)
		error = report_route(records, routes[i], live, options, answered, out);
	if (options->as_json)
		bytes_append_literal(out, "],\"now\":[");
	if (!error && !*answered && live)
		error = report_now(records, live, options, answered, out);
	if (options->as_json)
		bytes_printf(out, "],\"answered\":%s,\"lines_skipped\":%zu}\n", *answered ? "true" : "false", records->skipped);
	else if (!count && !*answered)
		bytes_append_literal(out, "no request of a route was found\n");
	return error ? error : bytes_ok(out) ? OK : ERROR_MEMORY;
}
