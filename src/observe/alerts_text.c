/* What people and machines are shown: GET /alerts, the webhook's entries, the table of the documentation. */
#include <math.h>
#include <time.h>

#include "base/json.h"
#include "base/macros.h"
#include "observe/alerts_parts.h"

static const char *const severity_texts[] = { [ALERT_PAGE] = "page", [ALERT_TICKET] = "ticket" };
static const char *const state_texts[] = {
	[ALERT_INACTIVE] = "inactive", [ALERT_PENDING] = "pending", [ALERT_FIRING] = "firing", [ALERT_RESOLVED] = "resolved"
};

static void write_member(struct bytes *out, const char *name, const char *text)
{
	bytes_printf(out, ",\"%s\":", name);
	json_write_string(out, span_of(text));
}

/* RFC 3339; 0 is null, but Alertmanager's "not yet" in its own form. */
static void write_time(struct bytes *out, const char *name, int64_t wall_ns)
{
	char text[32];
	struct tm parts;
	time_t second = (time_t)(wall_ns / NS_PER_S);
	gmtime_r(&second, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
	bytes_printf(out, ",\"%s\":\"%s.%03dZ\"", name, text, (int)(wall_ns / NS_PER_MS % 1000));
}

static void write_labels(struct bytes *out, const struct alert_view *view, const char *separator)
{
	for (unsigned i = 0; i < 2; i++) {
		if (!*view->labels[i])
			continue;
		bytes_printf(out, "%s\"%s\":", separator, view->labels[i]);
		json_write_string(out, span_of(view->values[i]));
		separator = ",";
	}
}

void alert_append_camel(struct bytes *out, const char *name)
{
	bool starts = true;
	bytes_append_text(out, "Penstock");
	for (; *name; name++) {
		if (*name != '_')
			bytes_append_byte(out, starts ? (char)(*name - 'a' + 'A') : *name);
		starts = *name == '_';
	}
}

/* ---- GET /alerts ---- */

struct page {
	struct bytes *out;
	unsigned count;
};

static void write_view(void *owner, const struct alert_view *view)
{
	struct page *page = owner;
	struct bytes *out = page->out;
	bytes_printf(out, "%s{\"name\":\"%s\",\"severity\":\"%s\",\"labels\":{", page->count++ ? ",\n" : "", view->name,
	             severity_texts[view->severity]);
	write_labels(out, view, "");
	bytes_printf(out, "},\"state\":\"%s\"", state_texts[view->state]);
	if (view->since_ns)
		write_time(out, "since", view->since_ns);
	bytes_append_literal(out, ",\"value\":");
	json_write_double(out, view->value);
	bytes_append_literal(out, ",\"threshold\":");
	json_write_double(out, view->threshold);
	write_member(out, "unit", view->unit);
	write_member(out, "summary", view->summary);
	write_member(out, "action", view->action);
	bytes_append_byte(out, '}');
}

void alerts_write(const struct alerts *alerts, bool with_all, int64_t wall_ns, struct bytes *out)
{
	struct page page = { .out = out };
	bytes_printf(out, "{\"firing\":%u", alerts_firing(alerts));
	write_time(out, "time", wall_ns);
	bytes_append_literal(out, ",\"alerts\":[");
	alerts_visit(alerts, !with_all, write_view, &page);
	bytes_append_literal(out, "]}\n");
}

/* ---- the webhook ---- */

/* FNV-1a over name and labels: the same alert has the same fingerprint. */
static uint64_t fingerprint_of(const struct alert_view *view)
{
	const char *const texts[] = { view->name, view->labels[0], view->values[0], view->labels[1], view->values[1] };
	uint64_t hash = UINT64_C(14695981039346656037);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		const char *at = texts[i];
		do
			hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
		while (*at++);
	}
	return hash;
}

void alert_write_webhook(const struct alert_view *view, int64_t wall_ns, struct bytes *out)
{
	bool is_firing = view->state == ALERT_FIRING;
	bytes_printf(out, "{\"status\":\"%s\",\"labels\":{\"alertname\":\"", is_firing ? "firing" : "resolved");
	alert_append_camel(out, view->name);
	bytes_printf(out, "\",\"severity\":\"%s\"", severity_texts[view->severity]);
	write_labels(out, view, ",");
	bytes_append_literal(out, "},\"annotations\":{\"summary\":");
	json_write_string(out, span_of(view->summary));
	write_member(out, "action", view->action);
	bytes_printf(out, ",\"value\":\"%.6g\",\"threshold\":\"%.6g\"", view->value, view->threshold);
	write_member(out, "unit", view->unit);
	bytes_append_byte(out, '}');
	write_time(out, "startsAt", view->begin_ns);
	if (is_firing)
		bytes_append_literal(out, ",\"endsAt\":\"0001-01-01T00:00:00Z\"");
	else
		write_time(out, "endsAt", wall_ns);
	bytes_printf(out, ",\"generatorURL\":\"\",\"fingerprint\":\"%016llx\"}", (unsigned long long)fingerprint_of(view));
}

/* ---- docs/alerts.md ---- */

static void write_window(struct bytes *out, int64_t window_ns)
{
	int64_t minutes = window_ns / MINUTES(1);
	if (minutes >= 60)
		bytes_printf(out, "%lld h", (long long)(minutes / 60));
	else
		bytes_printf(out, "%lld min", (long long)minutes);
}

void alerts_write_reference(struct bytes *out)
{
	bytes_append_text(out,
	                  "| alert | severity | fires when over | window | for | at least | what it means | what to do |\n"
	                  "|---|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		const struct alert_row *row = &alert_rows[i];
		bytes_printf(out, "| `%s` | %s | %g %s | ", row->name, severity_texts[row->severity], row->threshold,
		             row->unit);
		if (row->long_ns)
			write_window(out, row->long_ns);
		if (row->short_ns) {
			bytes_append_text(out, " and ");
			write_window(out, row->short_ns);
		}
		bytes_append_text(out, " | ");
		if (row->hold_ns)
			write_window(out, row->hold_ns);
		if (row->events)
			bytes_printf(out, " | %lld requests", (long long)row->events);
		else
			bytes_append_text(out, " | ");
		bytes_printf(out, " | %s | %s |\n", row->summary, row->action);
	}
}
