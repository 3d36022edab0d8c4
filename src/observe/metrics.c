/* Each metric owns a run of 64-bit cells in every shard: one per combination of its labels' values, times buckets + sum for a histogram. */
#include "observe/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

enum metric_kind { COUNTER, GAUGE, HISTOGRAM };

struct metric_row {
	const char *name;
	const char *help;
	enum metric_kind kind;
	enum metric_domain labels[2];
	double scale;
};

#define LABELS(first, second)           \
	{                                   \
		DOMAIN_##first, DOMAIN_##second \
	}
static const struct metric_row rows[] = {
#define METRIC(kind, name, labels, scale, help) [METRIC_##name] = { #name, help, kind, labels, scale },
#include "observe/metrics.def"
#undef METRIC
};
#undef LABELS

static const char *const kind_texts[] = { "counter", "gauge", "histogram" };
static const char *const label_texts[] = { "", "route", "pool", "replica", "stage", "outcome", "failure", "indicator" };
_Static_assert(COUNT_OF(label_texts) == DOMAIN_COUNT, "a label name for each domain");

/* Upper bounds in ns; one more bucket holds the rest, and one cell the sum. */
static const int64_t bounds_ns[] = {
	1 * NS_PER_US,    3 * NS_PER_US,  10 * NS_PER_US, 100 * NS_PER_US, NS_PER_MS,       2500 * NS_PER_US, 5 * NS_PER_MS,
	10 * NS_PER_MS,   25 * NS_PER_MS, 50 * NS_PER_MS, 100 * NS_PER_MS, 250 * NS_PER_MS, 500 * NS_PER_MS,  1 * NS_PER_S,
	2500 * NS_PER_MS, 5 * NS_PER_S,   10 * NS_PER_S,  30 * NS_PER_S,   60 * NS_PER_S,   120 * NS_PER_S,
};
#define BUCKETS (COUNT_OF(bounds_ns) + 1)
_Static_assert(BUCKETS == METRIC_BUCKETS, "what metrics.h says");

struct metrics_shard {
	const struct metrics *metrics;
	_Atomic int64_t *cells;
};

struct metrics {
	struct metric_values domains[DOMAIN_COUNT];
	size_t offsets[METRIC_COUNT]; /* of a metric's first cell */
	size_t cell_count;
	uint32_t shard_count;
	struct metrics_shard *shards;
};

static uint32_t domain_size(const struct metrics *metrics, enum metric_domain domain)
{
	return domain == DOMAIN_NONE ? 1 : metrics->domains[domain].count;
}

static size_t cells_each(const struct metric_row *row)
{
	return row->kind == HISTOGRAM ? BUCKETS + 1 : 1;
}

enum error metrics_new(const struct metric_values domains[DOMAIN_COUNT], uint32_t shard_count, struct metrics **out)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		return ERROR_MEMORY;
	memcpy(metrics->domains, domains, sizeof(metrics->domains));
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		metrics->offsets[i] = metrics->cell_count;
		metrics->cell_count +=
			cells_each(&rows[i]) * domain_size(metrics, rows[i].labels[0]) * domain_size(metrics, rows[i].labels[1]);
	}
	metrics->shards = calloc(shard_count, sizeof(*metrics->shards));
	metrics->shard_count = metrics->shards ? shard_count : 0;
	enum error error = metrics->shards ? OK : ERROR_MEMORY;
	for (uint32_t i = 0; i < metrics->shard_count; i++) {
		metrics->shards[i].metrics = metrics;
		metrics->shards[i].cells = calloc(metrics->cell_count, sizeof(*metrics->shards[i].cells));
		if (!metrics->shards[i].cells)
			error = ERROR_MEMORY;
	}
	if (error)
		metrics_free(&metrics);
	*out = metrics;
	return error;
}

void metrics_free(struct metrics **metrics_slot)
{
	struct metrics *metrics = *metrics_slot;
	if (!metrics)
		return;
	*metrics_slot = NULL;
	for (uint32_t i = 0; i < metrics->shard_count; i++)
		free(metrics->shards[i].cells);
	free(metrics->shards);
	free(metrics);
}

struct metrics_shard *metrics_shard(struct metrics *metrics, uint32_t index)
{
	MUST(index < metrics->shard_count);
	return &metrics->shards[index];
}

/* The metric's first cell for these labels, or cell_count when a value is outside its domain. */
static size_t cell_of(const struct metrics *metrics, enum metric metric, uint32_t a, uint32_t b)
{
	const struct metric_row *row = &rows[metric];
	uint32_t a_size = domain_size(metrics, row->labels[0]);
	uint32_t b_size = domain_size(metrics, row->labels[1]);
	if (a >= a_size || b >= b_size)
		return metrics->cell_count;
	return metrics->offsets[metric] + ((size_t)a * b_size + b) * cells_each(row);
}

/* One writer a shard: a plain load and store is enough. */
static void add_to(struct metrics_shard *shard, size_t cell, int64_t amount)
{
	int64_t value = atomic_load_explicit(&shard->cells[cell], memory_order_relaxed);
	atomic_store_explicit(&shard->cells[cell], value + amount, memory_order_relaxed);
}

void metric_add(struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b, int64_t amount)
{
	size_t cell = cell_of(shard->metrics, metric, a, b);
	if (cell < shard->metrics->cell_count)
		add_to(shard, cell, amount);
}

void metric_set(struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b, int64_t value)
{
	size_t cell = cell_of(shard->metrics, metric, a, b);
	if (cell < shard->metrics->cell_count)
		atomic_store_explicit(&shard->cells[cell], value, memory_order_relaxed);
}

void metric_observe_ns(struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b, int64_t duration_ns)
{
	size_t cell = cell_of(shard->metrics, metric, a, b);
	if (cell == shard->metrics->cell_count)
		return;
	size_t bucket = 0;
	while (bucket < COUNT_OF(bounds_ns) && duration_ns > bounds_ns[bucket])
		bucket++;
	add_to(shard, cell + bucket, 1);
	add_to(shard, cell + BUCKETS, duration_ns);
}

int64_t metric_get(const struct metrics_shard *shard, enum metric metric, uint32_t a, uint32_t b)
{
	size_t cell = cell_of(shard->metrics, metric, a, b);
	return cell < shard->metrics->cell_count ? atomic_load_explicit(&shard->cells[cell], memory_order_relaxed) : 0;
}

static int64_t sum_cell(const struct metrics *metrics, size_t cell)
{
	int64_t sum = 0;
	for (uint32_t i = 0; i < metrics->shard_count; i++)
		sum += atomic_load_explicit(&metrics->shards[i].cells[cell], memory_order_relaxed);
	return sum;
}

int64_t metrics_sum(const struct metrics *metrics, enum metric metric, uint32_t a, uint32_t b)
{
	size_t cell = cell_of(metrics, metric, a, b);
	return cell < metrics->cell_count ? sum_cell(metrics, cell) : 0;
}

void metrics_sum_buckets(const struct metrics *metrics, enum metric metric, uint32_t a, uint32_t b, int64_t *counts)
{
	size_t cell = cell_of(metrics, metric, a, b);
	for (size_t i = 0; i < BUCKETS; i++)
		counts[i] = cell < metrics->cell_count ? sum_cell(metrics, cell + i) : 0;
}

/* ---- what a row says of itself ---- */

const int64_t *metric_bounds_ns(void)
{
	return bounds_ns;
}

const char *metric_name(enum metric metric)
{
	return rows[metric].name;
}

bool metric_is_histogram(enum metric metric)
{
	return rows[metric].kind == HISTOGRAM;
}

double metric_scale(enum metric metric)
{
	return rows[metric].scale;
}

enum metric_domain metric_label(enum metric metric, unsigned which)
{
	return rows[metric].labels[which];
}

const char *metric_domain_text(enum metric_domain domain)
{
	return label_texts[domain];
}

uint32_t metrics_domain_size(const struct metrics *metrics, enum metric_domain domain)
{
	return domain_size(metrics, domain);
}

const char *metrics_domain_value(const struct metrics *metrics, enum metric_domain domain, uint32_t index)
{
	return domain == DOMAIN_NONE ? "" : metrics->domains[domain].texts[index];
}

/* ---- exposition ---- */

static void write_label_value(struct bytes *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			bytes_append_byte(out, '\\');
		if (*text == '\n')
			bytes_append_text(out, "\\n");
		else
			bytes_append_byte(out, *text);
	}
}

/* {route="x",outcome="y",le="0.1"}, or nothing. */
static void write_labels(const struct metrics *metrics, const struct metric_row *row, const uint32_t values[2],
                         const char *bound, struct bytes *out)
{
	const char *separator = "{";
	for (int i = 0; i < 2; i++) {
		if (row->labels[i] == DOMAIN_NONE)
			continue;
		bytes_printf(out, "%s%s=\"", separator, label_texts[row->labels[i]]);
		write_label_value(out, metrics->domains[row->labels[i]].texts[values[i]]);
		bytes_append_byte(out, '"');
		separator = ",";
	}
	if (bound) {
		bytes_printf(out, "%sle=\"%s\"", separator, bound);
		separator = ",";
	}
	if (*separator == ',')
		bytes_append_byte(out, '}');
}

static void write_histogram(const struct metrics *metrics, const struct metric_row *row, size_t cell,
                            const uint32_t values[2], struct bytes *out)
{
	int64_t count = 0;
	for (size_t i = 0; i < BUCKETS; i++) {
		char bound[32] = "+Inf";
		count += sum_cell(metrics, cell + i);
		if (i < COUNT_OF(bounds_ns))
			snprintf(bound, sizeof(bound), "%g", (double)bounds_ns[i] * row->scale);
		bytes_printf(out, "penstock_%s_bucket", row->name);
		write_labels(metrics, row, values, bound, out);
		bytes_printf(out, " %lld\n", (long long)count);
	}
	bytes_printf(out, "penstock_%s_sum", row->name);
	write_labels(metrics, row, values, NULL, out);
	bytes_printf(out, " %.15g\npenstock_%s_count", (double)sum_cell(metrics, cell + BUCKETS) * row->scale, row->name);
	write_labels(metrics, row, values, NULL, out);
	bytes_printf(out, " %lld\n", (long long)count);
}

static void write_value(const struct metrics *metrics, const struct metric_row *row, size_t cell,
                        const uint32_t values[2], struct bytes *out)
{
	int64_t value = sum_cell(metrics, cell);
	bytes_printf(out, "penstock_%s", row->name);
	write_labels(metrics, row, values, NULL, out);
	if (row->kind == GAUGE && value == NS_NEVER)
		bytes_append_text(out, " +Inf\n");
	else if (row->scale == 1)
		bytes_printf(out, " %lld\n", (long long)value);
	else
		bytes_printf(out, " %.15g\n", (double)value * row->scale);
}

void metrics_write(const struct metrics *metrics, struct bytes *out)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *row = &rows[i];
		uint32_t values[2];
		bytes_printf(out, "# HELP penstock_%s %s\n# TYPE penstock_%s %s\n", row->name, row->help, row->name,
		             kind_texts[row->kind]);
		for (values[0] = 0; values[0] < domain_size(metrics, row->labels[0]); values[0]++) {
			for (values[1] = 0; values[1] < domain_size(metrics, row->labels[1]); values[1]++) {
				size_t cell = cell_of(metrics, (enum metric)i, values[0], values[1]);
				if (row->kind == HISTOGRAM)
					write_histogram(metrics, row, cell, values, out);
				else
					write_value(metrics, row, cell, values, out);
			}
		}
	}
}

void metrics_write_reference(struct bytes *out)
{
	bytes_append_text(out, "# Metrics\n\nGenerated from `src/observe/metrics.def` by `make reference`; served at "
	                       "`/metrics` on the admin listener.\n\n"
	                       "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *row = &rows[i];
		const char *comma = row->labels[1] == DOMAIN_NONE ? "" : ", ";
		bytes_printf(out, "| `penstock_%s` | %s | %s%s%s | %s |\n", row->name, kind_texts[row->kind],
		             label_texts[row->labels[0]], comma, label_texts[row->labels[1]], row->help);
	}
}
