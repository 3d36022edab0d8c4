/* Alerts over the gateway's own metrics, from alerts.def: what fires now, what it says, and the same rows as Prometheus rules.
 *
 * Windows reach back three days: counters are kept in a ring of snapshots, fine for the near past and coarse for the far one. One that is not full yet
 * is as long as it has been. Burn rates: "The Site Reliability Workbook" (Beyer et al., 2018), chapter 5, table 5-8. Belongs to one thread; time is
 * an argument. */
#ifndef PENSTOCK_OBSERVE_ALERTS_H
#define PENSTOCK_OBSERVE_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "observe/metrics.h"

enum alert {
#define ALERT(name, ...) ALERT_##name,
#include "observe/alerts.def"
#undef ALERT
	ALERT_COUNT
};

enum alert_severity { ALERT_PAGE, ALERT_TICKET };
enum alert_state { ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING, ALERT_RESOLVED };

/* How often alerts_evaluate is to be called. */
#define ALERTS_PERIOD_NS (INT64_C(10) * 1000 * 1000 * 1000)
/* A month's misses that a promise of "95 % of requests" allows, as a share. */
#define ALERTS_ERROR_BUDGET 0.05

/* ---- thresholds ---- */

struct alert_thresholds {
	double values[ALERT_COUNT];
	double error_budget; /* (0, 1] */
};

/* What a load test has measured, in seconds and shares; NAN = it has not. */
enum alert_measured {
	MEASURED_none,
	MEASURED_queue_wait_p99,
	MEASURED_first_token_p95,
	MEASURED_forward_p95,
	MEASURED_refusal_share,
	MEASURED_COUNT
};

/* Those of alerts.def. */
void alerts_default_thresholds(struct alert_thresholds *out);
/* Reads a thresholds file over *thresholds: `name: number` a line (YAML), or one JSON object of the same; # begins a comment. name: an alert, or
 * error_budget. ERROR_SYNTAX: every fault was appended to `faults`, one line each, "file:line: what"; what was good was taken. */
enum error alerts_read_thresholds(struct span text, const char *file, struct alert_thresholds *thresholds,
                                  struct bytes *faults);
/* Writes a thresholds file from what was measured (indexed by enum alert_measured), one line for each alert that has a measure: `replay` bakes with it.
 * source: a line for people, such as the command; may be NULL. */
void alerts_write_thresholds(const double measured[MEASURED_COUNT], const char *source, struct bytes *out);

/* ---- evaluation ---- */

struct alerts;

/* One alert on one set of labels; what is shown of it. Texts are borrowed from the table or the metrics. */
struct alert_view {
	enum alert alert;
	const char *name;
	enum alert_severity severity;
	enum alert_state state;
	const char *labels[2]; /* names; "" = none */
	const char *values[2];
	int64_t since_ns; /* wall time of the last change of state */
	int64_t begin_ns; /* wall time since when it fires, or did */
	double value;     /* may be infinite */
	double threshold;
	const char *unit;
	const char *summary;
	const char *action;
};

/* Called when an alert begins to fire and when it has resolved. The view is borrowed for the call. */
typedef void alerts_listener(void *owner, const struct alert_view *view);

/* metrics: borrowed. thresholds: copied; NULL = the defaults. ERROR_MEMORY. */
enum error alerts_new(const struct metrics *metrics, const struct alert_thresholds *thresholds, struct alerts **out);
void alerts_free(struct alerts **alerts);
/* From the next evaluation on. */
void alerts_set_thresholds(struct alerts *alerts, const struct alert_thresholds *thresholds);
/* now_ns monotonic, wall_ns for people. Takes a snapshot of the counters, too. Gauges must be fresh. listener may be NULL. */
void alerts_evaluate(struct alerts *alerts, int64_t now_ns, int64_t wall_ns, alerts_listener *listener, void *owner);
/* Visits every alert on every set of labels, in the table's order; with only_active those that are pending, firing or lately resolved. */
void alerts_visit(const struct alerts *alerts, bool only_active, alerts_listener *visitor, void *owner);
/* How many fire. */
unsigned alerts_firing(const struct alerts *alerts);

/* ---- texts ---- */

/* GET /alerts: a JSON object. with_all: inactive ones, too. */
void alerts_write(const struct alerts *alerts, bool with_all, int64_t wall_ns, struct bytes *out);
/* One entry of Alertmanager's webhook (version "4"): status, labels, annotations, startsAt, endsAt, fingerprint. */
void alert_write_webhook(const struct alert_view *view, int64_t wall_ns, struct bytes *out);
/* A file of Prometheus alerting rules, YAML, with the same rows. */
void alerts_write_rules(const struct alert_thresholds *thresholds, struct bytes *out);
/* docs/alerts.md's table. */
void alerts_write_reference(struct bytes *out);

#endif
