#include "watch/prometheus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MAX ((size_t)1 << 20)
#define BOUNDS_MAX 64
#define NAME_BYTES 128

/* Cuts `"value"` with its escapes undone; returns what is after the closing quote, NULL when it is not closed. */
static char *cut_value(char *at, const char **value)
{
	if (*at++ != '"')
		return NULL;
	char *out = at;
	*value = at;
	while (*at && *at != '"') {
		if (*at == '\\' && at[1]) {
			at++;
			*out++ = *at == 'n' ? '\n' : *at;
			at++;
		} else {
			*out++ = *at++;
		}
	}
	if (!*at)
		return NULL;
	*out = '\0';
	return at + 1;
}

/* The labels between braces; returns what is after them, NULL when they are malformed. */
static char *cut_labels(char *at, struct prometheus_sample *sample)
{
	while (*at && *at != '}') {
		const char *name = at;
		const char *value;
		at += strcspn(at, "=}");
		if (*at != '=')
			return NULL;
		*at++ = '\0';
		at = cut_value(at, &value);
		if (!at)
			return NULL;
		if (sample->label_count < PROMETHEUS_LABELS_MAX) {
			sample->labels[sample->label_count].name = name;
			sample->labels[sample->label_count++].value = value;
		}
		if (*at == ',')
			at++;
	}
	return *at == '}' ? at + 1 : NULL;
}

static bool cut_line(char *line, struct prometheus_sample *sample)
{
	char *at = line + strcspn(line, "{ ");
	char *end;
	*sample = (struct prometheus_sample){ .name = line };
	if (*line == '#' || *line == '\0' || at == line || !*at)
		return false;
	bool has_labels = *at == '{';
	*at++ = '\0';
	if (has_labels)
		at = cut_labels(at, sample);
	if (!at)
		return false;
	sample->value = strtod(at, &end);
	return end != at;
}

enum error prometheus_read(struct span text, struct prometheus_page *out)
{
	size_t lines = 1;
	*out = (struct prometheus_page){ 0 };
	for (size_t i = 0; i < text.len; i++)
		lines += text.at[i] == '\n';
	if (lines > SAMPLES_MAX)
		lines = SAMPLES_MAX;
	out->text = malloc(text.len + 1);
	out->samples = calloc(lines, sizeof(*out->samples));
	if (!out->text || !out->samples) {
		prometheus_fini(out);
		return ERROR_MEMORY;
	}
	if (text.len)
		memcpy(out->text, text.at, text.len);
	out->text[text.len] = '\0';
	char *line = out->text;
	while (line && *line && out->count < lines) {
		char *next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (cut_line(line, &out->samples[out->count]))
			out->count++;
		line = next;
	}
	return OK;
}

void prometheus_fini(struct prometheus_page *page)
{
	free(page->text);
	free(page->samples);
	*page = (struct prometheus_page){ 0 };
}

const char *prometheus_label(const struct prometheus_sample *sample, const char *label)
{
	for (unsigned i = 0; i < sample->label_count; i++) {
		if (strcmp(sample->labels[i].name, label) == 0)
			return sample->labels[i].value;
	}
	return "";
}

const struct prometheus_sample *prometheus_next(const struct prometheus_page *page, const char *name,
                                                const struct prometheus_sample *after)
{
	for (size_t i = after ? (size_t)(after - page->samples) + 1 : 0; i < page->count; i++) {
		if (strcmp(page->samples[i].name, name) == 0)
			return &page->samples[i];
	}
	return NULL;
}

static bool has_label(const struct prometheus_sample *sample, const char *label, const char *value)
{
	return !label || strcmp(prometheus_label(sample, label), value) == 0;
}

double prometheus_sum(const struct prometheus_page *page, const char *name, const char *label, const char *value)
{
	double sum = 0;
	for (const struct prometheus_sample *at = prometheus_next(page, name, NULL); at;
	     at = prometheus_next(page, name, at)) {
		if (has_label(at, label, value))
			sum += at->value;
	}
	return sum;
}

struct buckets {
	double bounds[BOUNDS_MAX];
	double counts[BOUNDS_MAX]; /* cumulative */
	size_t count;
};

static void add_buckets(const struct prometheus_page *page, const char *name, const char *label, const char *value,
                        double sign, struct buckets *out)
{
	for (const struct prometheus_sample *at = prometheus_next(page, name, NULL); at;
	     at = prometheus_next(page, name, at)) {
		if (!has_label(at, label, value))
			continue;
		double bound = strtod(prometheus_label(at, "le"), NULL);
		size_t i = 0;
		while (i < out->count && out->bounds[i] != bound)
			i++;
		if (i == BOUNDS_MAX)
			continue;
		if (i == out->count)
			out->bounds[out->count++] = bound;
		out->counts[i] += sign * at->value;
	}
}

double prometheus_quantile(const struct prometheus_page *now, const struct prometheus_page *before, const char *name,
                           const char *label, const char *value, double quantile, double *count)
{
	char series[NAME_BYTES];
	struct buckets buckets = { 0 };
	snprintf(series, sizeof(series), "%s_bucket", name);
	add_buckets(now, series, label, value, 1, &buckets);
	add_buckets(before, series, label, value, -1, &buckets);
	*count = buckets.count ? buckets.counts[buckets.count - 1] : 0;
	double rank = quantile * *count;
	for (size_t i = 0; i<buckets.count && * count> 0; i++) {
		double below = i ? buckets.counts[i - 1] : 0;
		double lower = i ? buckets.bounds[i - 1] : 0;
		if (buckets.counts[i] < rank || buckets.counts[i] <= below)
			continue;
		if (isinf(buckets.bounds[i]))
			return lower;
		return lower + (buckets.bounds[i] - lower) * (rank - below) / (buckets.counts[i] - below);
	}
	return 0;
}
