/* The table, the sums over shards, and the exposition: line by line, and by Prometheus' own linter where it is installed. */
#include "observe/metrics.h"

#include "unit.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

struct row {
	const char *name;
	const char *kind;
	const char *help;
	enum metric_domain labels[2];
	double scale;
};

#define LABELS(first, second)           \
	{                                   \
		DOMAIN_##first, DOMAIN_##second \
	}
static const struct row rows[] = {
#define METRIC(kind, name, labels, scale, help) { #name, #kind, help, labels, scale },
#include "observe/metrics.def"
#undef METRIC
};
#undef LABELS

static const char *const routes[] = { "assistant", "odd \"one\"\\\nend" };
static const char *const pools[] = { "small" };
static const char *const replicas[] = { "small-0", "small-1" };
static const char *const stages[] = { "head", "relay" };
static const char *const outcomes[] = { "ok", "refused", "failed" };
static const char *const failures[] = { "none", "reset" };
static const char *const indicators[] = { "ttft", "cost" };

static const struct metric_values domains[DOMAIN_COUNT] = {
	[DOMAIN_ROUTE] = { routes, COUNT_OF(routes) },
	[DOMAIN_POOL] = { pools, COUNT_OF(pools) },
	[DOMAIN_REPLICA] = { replicas, COUNT_OF(replicas) },
	[DOMAIN_STAGE] = { stages, COUNT_OF(stages) },
	[DOMAIN_OUTCOME] = { outcomes, COUNT_OF(outcomes) },
	[DOMAIN_FAILURE] = { failures, COUNT_OF(failures) },
	[DOMAIN_INDICATOR] = { indicators, COUNT_OF(indicators) },
};

static struct metrics *new_metrics(uint32_t shards)
{
	struct metrics *metrics;
	ck_error_is(metrics_new(domains, shards, &metrics), OK);
	return metrics;
}

/* The value on the line that starts with `series` and a space; fails when there is none. */
static double value_of(struct bytes *page, const char *series)
{
	const size_t len = strlen(series);
	for (const char *line = bytes_text(page); *line; line = strchr(line, '\n') + 1) {
		if (strncmp(line, series, len) == 0 && line[len] == ' ')
			return strtod(line + len, NULL);
	}
	ck_abort_msg("no line for %s", series);
	return 0;
}

static bool ends_with(const char *text, const char *suffix)
{
	const size_t len = strlen(text), suffix_len = strlen(suffix);
	return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

START_TEST(the_table_is_sound)
{
	ck_assert_uint_eq(COUNT_OF(rows), METRIC_COUNT);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		for (const char *at = row->name; *at; at++)
			ck_assert_msg(islower(*at) || isdigit(*at) || *at == '_', "%s", row->name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(rows[j].name, row->name);
		ck_assert_msg(ends_with(row->help, ".") && strlen(row->help) > 10, "%s: help", row->name);
		ck_assert_msg(!strpbrk(row->help, "|\\\n"), "%s: help", row->name);
		ck_assert_msg(ends_with(row->name, "_total") == (strcmp(row->kind, "COUNTER") == 0),
		              "%s: _total is for counters", row->name);
		ck_assert_msg(row->scale > 0, "%s", row->name);
		ck_assert_msg(strcmp(row->kind, "HISTOGRAM") != 0 || ends_with(row->name, "_seconds"), "%s", row->name);
		bool is_nano = row->scale == 1e-9 || row->scale == 1e-12;
		bool is_told = strstr(row->name, "_seconds") || strstr(row->name, "cost_");
		ck_assert_msg(is_nano == is_told, "%s: ns and ps become seconds, nano units of money its units", row->name);
		ck_assert_msg(row->labels[0] != DOMAIN_NONE || row->labels[1] == DOMAIN_NONE, "%s", row->name);
	}
}
END_TEST

START_TEST(sums_over_shards)
{
	struct metrics *metrics = new_metrics(3);
	for (uint32_t i = 0; i < 3; i++) {
		struct metrics_shard *shard = metrics_shard(metrics, i);
		metric_add(shard, METRIC_requests_total, 0, 1, 10 + i);
		metric_add(shard, METRIC_requests_total, 1, 2, 1);
		metric_add(shard, METRIC_requests_total, 0, 1, 1);
		metric_set(shard, METRIC_connections_open, 0, 0, 5);
		metric_set(shard, METRIC_connections_open, 0, 0, i);
	}
	metric_add(metrics_shard(metrics, 0), METRIC_requests_open, 0, 0, 2);
	metric_add(metrics_shard(metrics, 1), METRIC_requests_open, 0, 0, -1);
	ck_assert_int_eq(metrics_sum(metrics, METRIC_requests_total, 0, 1), 36);
	ck_assert_int_eq(metrics_sum(metrics, METRIC_requests_total, 1, 2), 3);
	ck_assert_int_eq(metrics_sum(metrics, METRIC_requests_total, 0, 0), 0);
	ck_assert_int_eq(metrics_sum(metrics, METRIC_connections_open, 0, 0), 3);
	ck_assert_int_eq(metrics_sum(metrics, METRIC_requests_open, 0, 0), 1);
	metrics_free(&metrics);
	ck_assert_ptr_null(metrics);
	metrics_free(&metrics);
}
END_TEST

START_TEST(values_outside_a_domain_are_not_counted)
{
	struct metrics *metrics = new_metrics(1);
	struct metrics_shard *shard = metrics_shard(metrics, 0);
	metric_add(shard, METRIC_requests_total, 2, 0, 1);
	metric_add(shard, METRIC_requests_total, 0, 3, 1);
	metric_add(shard, METRIC_requests_total, UINT32_MAX, UINT32_MAX, 1);
	metric_set(shard, METRIC_requests_open, 1, 0, 1);
	metric_observe_ns(shard, METRIC_stage_duration_seconds, 2, 0, 1);
	struct bytes page = { 0 };
	metrics_write(metrics, &page);
	for (const char *line = bytes_text(&page), *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		const char *number = memrchr(line, ' ', (size_t)(end - line));
		ck_assert(*line == '#' || strtod(number, NULL) == 0);
	}
	ck_assert_int_eq(metrics_sum(metrics, METRIC_requests_total, 2, 0), 0);
	bytes_fini(&page);
	metrics_free(&metrics);
}
END_TEST

START_TEST(histograms)
{
	static const int64_t durations_ns[] = { 0,        1000,         1001,           2500 * NS_PER_US,
		                                    NS_PER_S, NS_PER_S + 1, 120 * NS_PER_S, 120 * NS_PER_S + 1 };
	struct metrics *metrics = new_metrics(2);
	struct bytes page = { 0 };
	for (uint32_t i = 0; i < COUNT_OF(durations_ns); i++)
		metric_observe_ns(metrics_shard(metrics, i % 2), METRIC_stage_duration_seconds, 1, 0, durations_ns[i]);
	metrics_write(metrics, &page);
#define SERIES(part) "penstock_stage_duration_seconds" part
	/* A value on a bound is inside it. */
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"1e-06\"}")), 2);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"3e-06\"}")), 3);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"0.001\"}")), 3);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"0.0025\"}")), 4);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"1\"}")), 5);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"2.5\"}")), 6);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"120\"}")), 7);
	ck_assert_double_eq(value_of(&page, SERIES("_bucket{stage=\"relay\",le=\"+Inf\"}")), 8);
	ck_assert_double_eq(value_of(&page, SERIES("_count{stage=\"relay\"}")), 8);
	ck_assert_double_eq_tol(value_of(&page, SERIES("_sum{stage=\"relay\"}")), 242.002502002, 1e-9);
	ck_assert_double_eq(value_of(&page, SERIES("_count{stage=\"head\"}")), 0);
	bytes_fini(&page);
	metrics_free(&metrics);
}
END_TEST

START_TEST(numbers_keep_their_precision)
{
	struct metrics *metrics = new_metrics(1);
	struct metrics_shard *shard = metrics_shard(metrics, 0);
	struct bytes page = { 0 };
	metric_set(shard, METRIC_client_bytes_total, 0, 0, INT64_MAX);
	metric_set(shard, METRIC_stage_seconds_total, 0, 0, 12345678 * NS_PER_S + 9 * NS_PER_MS);
	metric_set(shard, METRIC_prediction_ratio_p95, 0, 0, 1250);
	metric_set(shard, METRIC_requests_open, 0, 0, -3);
	metrics_write(metrics, &page);
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "\npenstock_client_bytes_total 9223372036854775807\n"));
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "\npenstock_stage_seconds_total{stage=\"head\"} 12345678.009\n"));
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "\npenstock_prediction_ratio_p95{pool=\"small\"} 1.25\n"));
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "\npenstock_requests_open -3\n"));
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "{route=\"odd \\\"one\\\"\\\\\\nend\",outcome=\"refused\"} 0\n"));
	bytes_fini(&page);
	metrics_free(&metrics);
}
END_TEST

/* name{label="value",...} number */
static void check_sample(const char *line, const char *end, const char *name)
{
	const size_t name_len = strlen(name);
	ck_assert_msg((size_t)(end - line) > name_len && strncmp(line, name, name_len) == 0, "%.*s", (int)(end - line),
	              line);
	line += name_len;
	if (*line == '_')
		line += strcspn(line, "{ ");
	if (*line == '{') {
		do {
			line++;
			line += strspn(line, "abcdefghijklmnopqrstuvwxyz");
			ck_assert(line[0] == '=' && line[1] == '"');
			for (line += 2; *line != '"'; line++) {
				ck_assert(*line != '\n');
				if (*line == '\\') {
					line++;
					ck_assert(*line == '\\' || *line == '"' || *line == 'n');
				}
			}
			line++;
		} while (*line == ',');
		ck_assert_int_eq(*line++, '}');
	}
	ck_assert_int_eq(*line++, ' ');
	char *rest;
	strtod(line, &rest);
	ck_assert_ptr_eq(rest, end);
}

START_TEST(every_line_is_well_formed)
{
	struct metrics *metrics = new_metrics(2);
	struct bytes page = { 0 };
	size_t metric = 0, samples = 0;
	char name[96] = "";
	metrics_write(metrics, &page);
	for (const char *line = bytes_text(&page), *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		ck_assert_ptr_nonnull(end);
		if (strncmp(line, "# HELP ", 7) == 0) {
			ck_assert(metric == 0 || samples > 0);
			snprintf(name, sizeof(name), "penstock_%s", rows[metric].name);
			ck_assert(strncmp(line + 7, name, strlen(name)) == 0 && line[7 + strlen(name)] == ' ');
			metric++;
			samples = 0;
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			ck_assert(strncmp(line + 7, name, strlen(name)) == 0 && samples == 0);
		} else {
			check_sample(line, end, name);
			samples++;
		}
	}
	ck_assert_uint_eq(metric, METRIC_COUNT);
	bytes_fini(&page);
	metrics_free(&metrics);
}
END_TEST

START_TEST(the_linter_has_no_complaint)
{
	if (system("command -v promtool >/dev/null 2>&1") != 0)
		return;
	struct metrics *metrics = new_metrics(1);
	struct bytes page = { 0 };
	metric_observe_ns(metrics_shard(metrics, 0), METRIC_stage_duration_seconds, 0, 0, 5);
	metrics_write(metrics, &page);
	FILE *linter = popen("promtool check metrics >&2", "w");
	ck_assert_ptr_nonnull(linter);
	ck_assert_uint_eq(fwrite(page.data, 1, page.len, linter), page.len);
	ck_assert_int_eq(pclose(linter), 0);
	bytes_fini(&page);
	metrics_free(&metrics);
}
END_TEST

#define ROUNDS 20000

static void *count(void *argument)
{
	for (int i = 0; i < ROUNDS; i++) {
		metric_add(argument, METRIC_output_tokens_total, 0, 0, 1);
		metric_observe_ns(argument, METRIC_stage_duration_seconds, 0, 0, 1);
	}
	return NULL;
}

/* One writer a shard and a reader at any time: what ThreadSanitizer looks at. */
START_TEST(a_scrape_while_loops_count)
{
	struct metrics *metrics = new_metrics(2);
	pthread_t threads[2];
	int64_t last = 0;
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count, metrics_shard(metrics, i)), 0);
	for (int i = 0; i < 20; i++) {
		struct bytes page = { 0 };
		metrics_write(metrics, &page);
		const int64_t now = metrics_sum(metrics, METRIC_output_tokens_total, 0, 0);
		ck_assert_int_ge(now, last);
		last = now;
		bytes_fini(&page);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(metrics_sum(metrics, METRIC_output_tokens_total, 0, 0), 2 * ROUNDS);
	metrics_free(&metrics);
}
END_TEST

START_TEST(reference_page)
{
	struct bytes page = { 0 };
	metrics_write_reference(&page);
	ck_assert_ptr_nonnull(strstr(bytes_text(&page), "\n| `penstock_requests_total` | counter | route, outcome | "));
	/* The page in docs/ is this one. */
	FILE *file = fopen("docs/metrics.md", "r");
	ck_assert_ptr_nonnull(file);
	struct bytes kept = { 0 };
	ck_assert(bytes_reserve(&kept, page.len + 1));
	kept.len = fread(kept.data, 1, page.len + 1, file);
	fclose(file);
	ck_assert_msg(span_equal(bytes_span(&kept), bytes_span(&page)), "docs/metrics.md is old: run make reference");
	bytes_fini(&kept);
	bytes_fini(&page);
}
END_TEST

UNIT_MAIN("observe/metrics", the_table_is_sound, sums_over_shards, values_outside_a_domain_are_not_counted, histograms,
          numbers_keep_their_precision, every_line_is_well_formed, the_linter_has_no_complaint,
          a_scrape_while_loops_count, reference_page)
