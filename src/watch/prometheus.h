/* Reads a page of Prometheus' text format, as /metrics gives it, and looks things up in it. */
#ifndef PENSTOCK_WATCH_PROMETHEUS_H
#define PENSTOCK_WATCH_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

/* Further labels of a sample are left out. */
#define PROMETHEUS_LABELS_MAX 4

/* Texts live as long as the page. */
struct prometheus_sample {
	const char *name;
	struct {
		const char *name;
		const char *value;
	} labels[PROMETHEUS_LABELS_MAX];
	unsigned label_count;
	double value; /* may be infinite or not a number */
};

struct prometheus_page {
	char *text; /* owned: the page, cut up in place */
	struct prometheus_sample *samples;
	size_t count;
};

/* Comments and lines that are no samples are skipped. Zeroed memory is an empty page, and prometheus_fini leaves one. ERROR_MEMORY. */
enum error prometheus_read(struct span text, struct prometheus_page *out);
void prometheus_fini(struct prometheus_page *page);

/* "" when the sample has no such label. */
const char *prometheus_label(const struct prometheus_sample *sample, const char *label);
/* The sample after `after` (NULL: the first) of that name; NULL when there is none. */
const struct prometheus_sample *prometheus_next(const struct prometheus_page *page, const char *name,
                                                const struct prometheus_sample *after);
/* Sum of the samples of that name that have label=value (label NULL: all). 0 when there is none. */
double prometheus_sum(const struct prometheus_page *page, const char *name, const char *label, const char *value);
/* A quantile (0..1) of what a histogram (name without _bucket) took in between two pages, as Prometheus' histogram_quantile; `before` may be empty.
 * *count: how many those are. 0 when there are none. */
double prometheus_quantile(const struct prometheus_page *now, const struct prometheus_page *before, const char *name,
                           const char *label, const char *value, double quantile, double *count);

#endif
