/* The report as one page that needs nothing else: plots as SVG, no script, nothing from elsewhere, light or dark as the reader's system is. */
#include <math.h>

#include "replay/course.h"
#include "replay/plot.h"
#include "replay/quantity.h"
#include "replay/report.h"

static const char opening[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	"content=\"width=device-width\"><title>penstock replay</title><style>\n"
	":root{color-scheme:light "
	"dark;--bg:#fff;--fg:#1c2430;--dim:#677;--line:#e3e7ec;--c1:#2563c9;--c2:#128a4f;--c3:#c77d0a;--c4:#c2334d;--c5:#"
	"7747bd;"
	"--c6:#0f8b9c}\n"
	"@media "
	"(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e4e8ee;--dim:#93a0ae;--line:#2b333d;--c1:#6ea8ff;--c2:#"
	"4cc38a;"
	"--c3:#f0b24d;--c4:#ff7a90;--c5:#b794f6;--c6:#4fd1e0}}\n"
	"body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em "
	"auto;padding:0 1em}\n"
	"h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .4em}p{margin:.3em 0}.dim{color:var(--dim)}\n"
	".verdict{font-size:1.15em;padding:.5em .8em;border-left:5px solid var(--c1);background:color-mix(in "
	"srgb,var(--c1) "
	"9%,transparent);margin:1em 0}\n"
	".good{border-color:var(--c2)}.bad{border-color:var(--c4)}\n"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}td,th{padding:.25em "
	".6em;text-align:right;border-bottom:1px solid "
	"var(--line)}td:first-child,th:first-child{text-align:left}th{font-weight:600}\n"
	"figure{margin:1em 0}figcaption{color:var(--dim)}figcaption "
	"b{color:var(--fg)}svg{width:100%;height:auto;display:block}\n"
	"svg text{font:11px system-ui,sans-serif;fill:var(--dim)}path{fill:none;stroke-width:1.6;stroke-linejoin:round}\n"
	".grid{stroke:var(--line)}.limit{stroke:var(--c4);stroke-dasharray:5 "
	"4}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}.c6{"
	"stroke:var(--c6)}\n"
	".key{margin-left:.9em;white-space:nowrap}.key "
	"i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.3em}.b1{background:var(--c1)}.b2{"
	"background:var(--"
	"c2)}.b3{background:var(--c3)}.b4{background:var(--c4)}.b5{background:var(--c5)}.b6{background:var(--c6)}\n"
	"</style></head><body>\n";

static void write_escaped(struct bytes *out, const char *text)
{
	plot_escape(out, span_of(text));
}

static void write_cell_time(struct bytes *out, int64_t ns)
{
	bytes_append_literal(out, "<td>");
	quantity_write_duration(out, ns);
	bytes_append_literal(out, "</td>");
}

static void write_heading(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	const struct goal *goal = &inputs->settings->goal;
	struct bytes verdict = { 0 };
	replay_write_verdict(inputs, summary, &verdict);
	bytes_append_literal(out, "<h1>penstock replay</h1><p class=\"dim\">");
	write_escaped(out, inputs->trace);
	bytes_append_literal(out, " to ");
	write_escaped(out, inputs->target);
	bytes_append_literal(out, ", model ");
	write_escaped(out, inputs->settings->body.model);
	bytes_printf(out, ", speed %g, scale %g</p>\n<div class=\"verdict %s\"><b>", inputs->speed, inputs->scale,
	             replay_status(inputs, summary) == 0 ? "good" : "bad");
	plot_escape(out, bytes_span(&verdict));
	bytes_append_literal(out, "</b>");
	for (size_t i = 0; i < goal->count; i++) {
		bytes_append_literal(out, "<br>");
		write_escaped(out, goal->parts[i].name);
		bytes_append_literal(out, " &le; ");
		quantity_write_duration(out, goal->parts[i].limit_ns);
		bytes_printf(out, ": %.2f %% of %llu, %.4g %% wanted", 100 * summary->goals[i].attainment,
		             (unsigned long long)summary->eligible, 100 * goal->parts[i].share);
	}
	bytes_printf(
		out,
		"</div>\n<p>%llu requests: offered %.3g/s, served %.3g/s, goodput %.3g/s; %llu refused, %llu failed.</p>\n",
		(unsigned long long)summary->requests, summary->offered_rps, summary->served_rps, summary->goodput_rps,
		(unsigned long long)summary->refused, (unsigned long long)summary->failed);
	bytes_fini(&verdict);
}

static void write_row(struct bytes *out, const char *name, const struct replay_distribution *distribution)
{
	if (!distribution->count)
		return;
	bytes_append_literal(out, "<tr><td>");
	write_escaped(out, name);
	bytes_append_literal(out, "</td>");
	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		write_cell_time(out, distribution->ns[i]);
	bytes_printf(out, "<td>%llu</td></tr>\n", (unsigned long long)distribution->count);
}

static void write_times(const struct replay_summary *summary, struct bytes *out)
{
	bytes_append_literal(out, "<h2>Times</h2><table><tr><th></th>");
	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		bytes_printf(out, "<th>%s</th>", replay_percentile_name(i));
	bytes_append_literal(out, "<th>count</th></tr>\n");
	for (size_t i = 0; i < MEASURE_COUNT; i++) {
		write_row(out, replay_measure_text(i), &summary->measures[i]);
		if (i == MEASURE_tpot)
			write_row(out, "ITL, between content events", &summary->itl);
	}
	bytes_append_literal(out, "</table>\n");
}

static void write_outcomes(const struct replay_summary *summary, struct bytes *out)
{
	bytes_append_literal(
		out, "<h2>What became of the requests</h2><table><tr><th></th><th>requests</th><th>share</th></tr>\n");
	for (size_t i = 0; i < OUTCOME_COUNT; i++) {
		if (!summary->outcomes[i])
			continue;
		bytes_append_literal(out, "<tr><td>");
		write_escaped(out, outcome_text(i));
		bytes_printf(out, "</td><td>%llu</td><td>%.2f %%</td></tr>\n", (unsigned long long)summary->outcomes[i],
		             100 * (double)summary->outcomes[i] / (double)summary->requests);
	}
	bytes_append_literal(out, "</table>\n");
}

static void write_groups(const struct replay_summary *summary, struct bytes *out)
{
	if (!summary->group_count)
		return;
	bytes_append_literal(
		out, "<h2>Groups</h2><table><tr><th></th><th>requests</th><th>answered</th><th>refused</th><th>failed</th>"
			 "<th>met</th><th>TTFT p50</th><th>TTFT p95</th><th>E2E p95</th></tr>\n");
	for (size_t i = 0; i < summary->group_count; i++) {
		const struct replay_group *group = &summary->groups[i];
		bytes_printf(out, "<tr><td>%s ", group->kind);
		write_escaped(out, group->name);
		bytes_printf(out, "</td><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td><td>%.1f %%</td>",
		             (unsigned long long)group->requests, (unsigned long long)group->answered,
		             (unsigned long long)group->refused, (unsigned long long)group->failed,
		             group->eligible ? 100 * (double)group->met / (double)group->eligible : 0);
		write_cell_time(out, group->ttft.ns[PERCENTILE_p50]);
		write_cell_time(out, group->ttft.ns[PERCENTILE_p95]);
		write_cell_time(out, group->e2e.ns[PERCENTILE_p95]);
		bytes_append_literal(out, "</tr>\n");
	}
	bytes_append_literal(out, "</table>\n");
}

/* The promise's first limit on the time to the first token. */
static double ttft_limit_s(const struct goal *goal, const char **name)
{
	for (size_t i = 0; i < goal->count; i++) {
		if (goal->parts[i].measure != GOAL_TTFT)
			continue;
		*name = goal->parts[i].name;
		return (double)goal->parts[i].limit_ns / 1e9;
	}
	return NAN;
}

static void write_plots(const struct replay_inputs *inputs, const struct course *course, struct bytes *out)
{
	double *const *lines = course->lines;
	const struct plot base = { .count = course->count, .bucket_s = course->bucket_s, .limit = NAN };
	struct plot load = base;
	load.title = "Load";
	load.unit = "requests a second";
	load.series_count = 4;
	load.series[0] = (struct plot_series){ "offered", lines[COURSE_OFFERED], 1 };
	load.series[1] = (struct plot_series){ "served", lines[COURSE_SERVED], 2 };
	load.series[2] = (struct plot_series){ "refused", lines[COURSE_REFUSED], 3 };
	load.series[3] = (struct plot_series){ "failed", lines[COURSE_FAILED], 4 };
	plot_write(&load, out);
	struct plot ttft = base;
	ttft.title = "Time to the first token";
	ttft.unit = "seconds, from the intended send";
	ttft.limit = ttft_limit_s(&inputs->settings->goal, &ttft.limit_name);
	ttft.series_count = 2;
	ttft.series[0] = (struct plot_series){ "p50", lines[COURSE_TTFT_P50], 1 };
	ttft.series[1] = (struct plot_series){ "p95", lines[COURSE_TTFT_P95], 5 };
	plot_write(&ttft, out);
	struct plot inside = base;
	inside.title = "In flight";
	inside.unit = "requests";
	inside.series_count = course->has_queue ? 2 : 1;
	inside.series[0] = (struct plot_series){ "in flight", lines[COURSE_IN_FLIGHT], 1 };
	inside.series[1] = (struct plot_series){ "in the gateway's queue", lines[COURSE_QUEUE], 3 };
	plot_write(&inside, out);
	if (!course->has_rung)
		return;
	struct plot rung = base;
	rung.title = "Rung";
	rung.unit = "of the degrade ladder, 0 = none";
	rung.is_stepped = true;
	rung.series_count = 1;
	rung.series[0] = (struct plot_series){ "rung", lines[COURSE_RUNG], 6 };
	plot_write(&rung, out);
}

static void write_notes(const struct workload *workload, struct bytes *out)
{
	struct span notes = bytes_span(&workload->notes);
	bytes_printf(out, "<h2>The trace</h2><p>%s: %llu rows read, %llu copied, %zu to send", workload->format,
	             (unsigned long long)workload->read_rows, (unsigned long long)workload->copied, workload->count);
	for (size_t i = 0; i < DROP_COUNT; i++) {
		if (!workload->dropped[i])
			continue;
		bytes_printf(out, "; %llu dropped: ", (unsigned long long)workload->dropped[i]);
		write_escaped(out, drop_text(i));
	}
	bytes_append_literal(out, ".</p>\n");
	while (notes.len) {
		bytes_append_literal(out, "<p>");
		plot_escape(out, quantity_split(&notes, '\n'));
		bytes_append_literal(out, "</p>\n");
	}
}

void replay_write_html(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	struct course course;
	bytes_append_text(out, opening);
	write_heading(inputs, summary, out);
	if (course_make(inputs->result, &course) == OK)
		write_plots(inputs, &course, out);
	course_fini(&course);
	write_times(summary, out);
	write_outcomes(summary, out);
	write_groups(summary, out);
	if (inputs->consequences.len) {
		bytes_append_literal(out, "<h2>The gateway says</h2><pre>");
		plot_escape(out, inputs->consequences);
		bytes_append_literal(out, "</pre>\n");
	}
	write_notes(inputs->workload, out);
	bytes_append_literal(out, "</body></html>\n");
}
