/* The thresholds file: what `replay` bakes after a load test, and an operator may write. Lines of YAML `name: number`, or one flat JSON object. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/macros.h"
#include "observe/alerts_parts.h"

#define NUMBER_BYTES 64
#define ERROR_BUDGET "error_budget"

static const char *const measured_texts[MEASURED_COUNT] = {
	[MEASURED_none] = "",
	[MEASURED_queue_wait_p99] = "99th percentile of the queue wait",
	[MEASURED_first_token_p95] = "95th percentile of the time to first token",
	[MEASURED_forward_p95] = "95th percentile of the stage forward",
	[MEASURED_refusal_share] = "share of refusals",
};

struct reading {
	const char *file;
	unsigned line;
	struct alert_thresholds *thresholds;
	struct bytes *faults;
	bool is_seen[ALERT_COUNT + 1];
	enum error error;
};

static void fault(struct reading *reading, struct span name, const char *what)
{
	bytes_printf(reading->faults, "%s:%u: %.*s%s%s\n", reading->file, reading->line, (int)name.len,
	             name.at ? name.at : "", name.len ? ": " : "", what);
	reading->error = ERROR_SYNTAX;
}

static double *place_of(struct alert_thresholds *thresholds, struct span name, size_t *index)
{
	for (*index = 0; *index < ALERT_COUNT; ++*index) {
		if (span_is(name, alert_rows[*index].name))
			return &thresholds->values[*index];
	}
	return span_is(name, ERROR_BUDGET) ? &thresholds->error_budget : NULL;
}

static bool read_number(struct span text, double *out)
{
	char copy[NUMBER_BYTES];
	char *end;
	if (!text.len || text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	*out = strtod(copy, &end);
	return *end == '\0' && isfinite(*out);
}

static void take(struct reading *reading, struct span name, struct span text)
{
	size_t index;
	double number;
	double *place = place_of(reading->thresholds, name, &index);
	if (!place)
		fault(reading, name, "there is no such alert; penstock check --reference alerts lists them");
	else if (reading->is_seen[index])
		fault(reading, name, "stands twice");
	else if (!read_number(text, &number))
		fault(reading, name, "a number is needed, without a unit");
	else if (number < 0)
		fault(reading, name, "a threshold is 0 or more");
	else if (index == ALERT_COUNT && (number <= 0 || number > 1))
		fault(reading, name, "is a share: over 0 and at most 1");
	else
		*place = number;
	if (place)
		reading->is_seen[index] = true;
}

static void take_line(struct reading *reading, struct span line)
{
	line.len = span_find(line, '#');
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	bool is_indented = line.len && (line.at[0] == ' ' || line.at[0] == '\t');
	line = span_trim(line);
	if (!line.len || span_is(line, "---"))
		return;
	size_t colon = span_find(line, ':');
	if (colon == line.len)
		fault(reading, line, "`name: number` is needed");
	else if (is_indented)
		fault(reading, line, "names stand at the beginning of the line: nothing is nested here");
	else
		take(reading, span_trim((struct span){ line.at, colon }),
		     span_trim((struct span){ line.at + colon + 1, line.len - colon - 1 }));
}

static unsigned line_at(struct span text, size_t offset)
{
	unsigned line = 1;
	for (size_t i = 0; i < offset && i < text.len; i++)
		line += text.at[i] == '\n';
	return line;
}

static void take_json(struct reading *reading, struct span text)
{
	struct json json = { 0 };
	struct json_fault why = { 0 };
	enum error error = json_parse(&json, text.at, text.len, 1, &why);
	if (error) {
		reading->line = line_at(text, why.offset);
		fault(reading, (struct span){ 0 }, why.reason ? why.reason : "only names and numbers may stand here");
		json_fini(&json);
		return;
	}
	for (uint32_t key = json_first(&json, JSON_ROOT); key != JSON_NONE;) {
		uint32_t value = json_next(&json, JSON_ROOT, key);
		struct span name = json_raw(&json, key);
		reading->line = line_at(text, (size_t)(name.at - text.at));
		take(reading, (struct span){ name.at + 1, name.len - 2 }, json_raw(&json, value));
		key = json_next(&json, JSON_ROOT, value);
	}
	json_fini(&json);
}

enum error alerts_read_thresholds(struct span text, const char *file, struct alert_thresholds *thresholds,
                                  struct bytes *faults)
{
	struct reading reading = { .file = file, .line = 1, .thresholds = thresholds, .faults = faults };
	size_t start = 0;
	while (start < text.len && strchr(" \t\r\n", text.at[start]))
		start++;
	if (start < text.len && text.at[start] == '{') {
		take_json(&reading, text);
		return reading.error;
	}
	for (; text.len; reading.line++) {
		size_t end = span_find(text, '\n');
		take_line(&reading, (struct span){ text.at, end });
		size_t gone = end < text.len ? end + 1 : end;
		text = (struct span){ text.at + gone, text.len - gone };
	}
	return reading.error;
}

void alerts_write_thresholds(const double measured[MEASURED_COUNT], const char *source, struct bytes *out)
{
	bytes_append_text(out, "# Thresholds of Penstock's alerts: `alerts.thresholds` in the config names this file. "
	                       "Those that are left out\n"
	                       "# stay as they are in the program (penstock check --reference alerts).\n");
	if (source)
		bytes_printf(out, "# %s\n", source);
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		const struct alert_row *row = &alert_rows[i];
		double value = measured[row->baked];
		if (row->baked == MEASURED_none || !isfinite(value) || value < 0)
			continue;
		bytes_printf(out, "%s: %.6g  # %s; %g times the measured %.6g (%s)\n", row->name, value * row->baked_factor,
		             row->unit, row->baked_factor, value, measured_texts[row->baked]);
	}
}
