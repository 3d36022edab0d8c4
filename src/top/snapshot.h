/* What the gateway said of itself, now and some seconds ago: what the panels are made of. */
#ifndef PENSTOCK_TOP_SNAPSHOT_H
#define PENSTOCK_TOP_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "watch/prometheus.h"

#define SNAPSHOT_ALERTS_MAX 64
#define SNAPSHOT_REPLICAS_MAX 256

struct shown_alert {
	const char *name; /* texts live as long as the snapshot */
	const char *severity;
	const char *state;
	const char *on; /* its labels' values, "a/b" */
	double value;   /* NAN = infinite */
	double threshold;
};

struct shown_replica {
	const char *name;
	const char *state;
	int percent;
	int restarts;
};

struct snapshot {
	struct prometheus_page now;
	struct prometheus_page before; /* empty when there is none */
	double seconds;                /* between the two; 0 = none */
	struct shown_alert alerts[SNAPSHOT_ALERTS_MAX];
	size_t alert_count;
	struct shown_replica replicas[SNAPSHOT_REPLICAS_MAX];
	size_t replica_count;
	struct arena arena;
};

/* The texts of /metrics now and before, of /alerts and of /readyz; each may be empty. ERROR_MEMORY. */
enum error snapshot_read(struct span now, struct span before, double seconds, struct span alerts, struct span readiness,
                         struct snapshot *out);
void snapshot_fini(struct snapshot *snapshot);
/* How much a counter grew a second, of the samples with label=value (NULL: all). */
double snapshot_rate(const struct snapshot *snapshot, const char *name, const char *label, const char *value);

#endif
