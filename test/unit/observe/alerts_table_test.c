/* alerts.def itself, the Prometheus rules that it becomes, and the thresholds file. */
#include "observe/alerts.h"

#include "unit.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/macros.h"
#include "observe/alerts_parts.h"

static struct bytes read_source(const char *path)
{
	struct bytes text = { 0 };
	ck_error_is(file_read(path, 1 << 22, &text), OK);
	return text;
}

static bool ends_sentence(const char *text)
{
	return strlen(text) > 10 && text[strlen(text) - 1] == '.' && !strchr(text, '|');
}

/* Every word of "a|b" stands in that source, between those marks. */
static void check_words(const char *filter, const char *path, const char *before, const char *after)
{
	struct bytes source = read_source(path);
	while (filter && *filter) {
		char word[64];
		char wanted[96];
		size_t len = strcspn(filter, "|");
		snprintf(word, sizeof(word), "%.*s", (int)len, filter);
		snprintf(wanted, sizeof(wanted), "%s%s%s", before, word, after);
		ck_assert_msg(strstr(bytes_text(&source), wanted), "%s is not in %s", word, path);
		filter += len + (filter[len] == '|');
	}
	bytes_fini(&source);
}

START_TEST(the_table_is_sound)
{
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		const struct alert_row *row = &alert_rows[i];
		for (const char *at = row->name; *at; at++)
			ck_assert_msg(islower(*at) || *at == '_', "%s", row->name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(alert_rows[j].name, row->name);
		ck_assert_msg(ends_sentence(row->summary) && ends_sentence(row->action), "%s: texts", row->name);
		ck_assert_msg(row->unit && row->threshold >= 0, "%s", row->name);
		bool has_window = row->kind != GAUGE && row->kind != GAUGE_RATIO;
		ck_assert_msg(has_window == (row->long_ns > 0), "%s: a window for what counts", row->name);
		ck_assert_msg((row->kind == BURN) == (row->short_ns > 0), "%s: two windows for burn rates", row->name);
		ck_assert_msg(row->long_ns % MINUTES(1) == 0 && row->hold_ns % MINUTES(1) == 0, "%s: minutes", row->name);
		if (row->kind == BURN)
			ck_assert_msg(row->long_ns == 12 * row->short_ns && row->events > 0, "%s", row->name);
		ck_assert_msg((row->baked == MEASURED_none) == (row->baked_factor <= 0), "%s: a factor", row->name);
		bool is_histogram = row->kind == QUANTILE || row->kind == TARGET;
		ck_assert_msg(metric_is_histogram(row->metric) == is_histogram, "%s", row->name);
		enum metric_domain domain =
			metric_label(row->kind == DRAIN ? row->over : row->metric, row->kind == DRAIN ? 1 : row->filter_label);
		if (row->filter && domain == DOMAIN_OUTCOME)
			check_words(row->filter, "src/stages/outcomes.def", "OUTCOME(", ",");
		else if (row->filter && domain == DOMAIN_STAGE)
			check_words(row->filter, "src/stages/stages.def", "STAGE(", ",");
		else if (row->filter && domain == DOMAIN_FAILURE)
			check_words(row->filter, "src/policy/health.c", "\"", "\"");
		else
			ck_assert_msg(!row->filter, "%s: who knows these labels?", row->name);
		if (row->over_filter)
			check_words(row->over_filter, "src/policy/promise.h", "INDICATOR_", ",");
	}
}
END_TEST

/* Is there such a metric, under its own name or as a part of a histogram? */
static bool is_metric(const char *name)
{
	static const char *const suffixes[] = { "_bucket", "_sum", "_count" };
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const char *own = metric_name((enum metric)i);
		size_t len = strlen(own);
		if (!metric_is_histogram((enum metric)i) && strcmp(own, name) == 0)
			return true;
		for (size_t j = 0; metric_is_histogram((enum metric)i) && j < COUNT_OF(suffixes); j++) {
			if (strncmp(own, name, len) == 0 && strcmp(name + len, suffixes[j]) == 0)
				return true;
		}
	}
	return false;
}

START_TEST(rules_name_metrics_that_there_are)
{
	struct bytes rules = { 0 };
	struct alert_thresholds thresholds;
	unsigned names = 0;
	alerts_default_thresholds(&thresholds);
	alerts_write_rules(&thresholds, &rules);
	for (const char *at = bytes_text(&rules); (at = strstr(at, "penstock_"));) {
		char name[128];
		at += strlen("penstock_");
		size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		/* A remedy may name one that is no histogram's part, too. */
		ck_assert_msg(is_metric(name), "there is no metric %s", name);
		names++;
	}
	ck_assert_uint_gt(names, ALERT_COUNT);
	for (size_t i = 0; i < ALERT_COUNT; i++) {
		struct bytes line = { 0 };
		bytes_append_text(&line, "- alert: ");
		alert_append_camel(&line, alert_rows[i].name);
		bytes_append_byte(&line, '\n');
		ck_assert_msg(strstr(bytes_text(&rules), bytes_text(&line)), "%s", alert_rows[i].name);
		bytes_fini(&line);
	}
	bytes_fini(&rules);
}
END_TEST

START_TEST(prometheus_takes_the_rules)
{
	if (system("command -v promtool >/dev/null 2>&1") != 0)
		return;
	struct bytes rules = { 0 };
	struct alert_thresholds thresholds;
	alerts_default_thresholds(&thresholds);
	thresholds.values[ALERT_refusals] = 0.125;
	alerts_write_rules(&thresholds, &rules);
	ck_assert_ptr_nonnull(strstr(bytes_text(&rules), "> 0.125 and"));
	FILE *linter = popen("promtool check rules /dev/stdin >&2", "w");
	ck_assert_ptr_nonnull(linter);
	ck_assert_uint_eq(fwrite(rules.data, 1, rules.len, linter), rules.len);
	ck_assert_int_eq(pclose(linter), 0);
	bytes_fini(&rules);
}
END_TEST

START_TEST(thresholds_are_read)
{
	static const char *const good[] = {
		"# a comment\n---\nrefusals: 0.1 # ten of a hundred\r\nqueue_wait: 3\n\nerror_budget: 0.01",
		" \n{\"refusals\": 0.1,\n \"queue_wait\": 3, \"error_budget\": 1e-2}\n",
	};
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct alert_thresholds thresholds;
		struct bytes faults = { 0 };
		alerts_default_thresholds(&thresholds);
		ck_error_is(alerts_read_thresholds(span_of(good[i]), "f", &thresholds, &faults), OK);
		ck_assert_str_eq(bytes_text(&faults), "");
		ck_assert_double_eq(thresholds.values[ALERT_refusals], 0.1);
		ck_assert_double_eq(thresholds.values[ALERT_queue_wait], 3);
		ck_assert_double_eq(thresholds.error_budget, 0.01);
		ck_assert_double_eq(thresholds.values[ALERT_promise_burn_fast], 14.4);
		bytes_fini(&faults);
	}
}
END_TEST

static const struct {
	const char *text;
	const char *faults;
} bad[] = {
	{ "refusal: 1\n", "f:1: refusal: there is no such alert; penstock check --reference alerts lists them\n" },
	{ "\nrefusals: 5%\n", "f:2: refusals: a number is needed, without a unit\n" },
	{ "refusals:\n", "f:1: refusals: a number is needed, without a unit\n" },
	{ "refusals: -1\n", "f:1: refusals: a threshold is 0 or more\n" },
	{ "refusals: nan\n", "f:1: refusals: a number is needed, without a unit\n" },
	{ "refusals: 1\nrefusals: 2\n", "f:2: refusals: stands twice\n" },
	{ "error_budget: 0\nerror_budget: 2\n",
	  "f:1: error_budget: is a share: over 0 and at most 1\nf:2: error_budget: stands twice\n" },
	{ "alerts:\n  refusals: 1\n",
	  "f:1: alerts: there is no such alert; penstock check --reference alerts lists them\n"
	  "f:2: refusals: 1: names stand at the beginning of the line: nothing is nested here\n" },
	{ "refusals\n", "f:1: refusals: `name: number` is needed\n" },
	{ "{\"refusals\": \"1\"}", "f:1: refusals: a number is needed, without a unit\n" },
	{ "{\"refusals\":\n {}}", "f:2: nested too deep\n" },
};

START_TEST(wrong_thresholds_are_told)
{
	struct alert_thresholds thresholds;
	struct bytes faults = { 0 };
	alerts_default_thresholds(&thresholds);
	ck_error_is(alerts_read_thresholds(span_of(bad[_i].text), "f", &thresholds, &faults), ERROR_SYNTAX);
	ck_assert_str_eq(bytes_text(&faults), bad[_i].faults);
	bytes_fini(&faults);
}
END_TEST

START_TEST(what_is_baked_is_read)
{
	double measured[MEASURED_COUNT] = { [MEASURED_queue_wait_p99] = 1.5,
		                                [MEASURED_first_token_p95] = 0.8,
		                                [MEASURED_forward_p95] = NAN,
		                                [MEASURED_refusal_share] = 0.02 };
	struct alert_thresholds thresholds;
	struct bytes text = { 0 };
	struct bytes faults = { 0 };
	alerts_write_thresholds(measured, "penstock replay --bake-alerts trace.jsonl", &text);
	alerts_default_thresholds(&thresholds);
	ck_error_is(alerts_read_thresholds(bytes_span(&text), "f", &thresholds, &faults), OK);
	ck_assert_double_eq_tol(thresholds.values[ALERT_queue_wait], 3, 1e-9);
	ck_assert_double_eq_tol(thresholds.values[ALERT_queue_drain], 4.5, 1e-9);
	ck_assert_double_eq_tol(thresholds.values[ALERT_first_token_slow], 1.2, 1e-9);
	ck_assert_double_eq_tol(thresholds.values[ALERT_refusals], 0.04, 1e-9);
	ck_assert_double_eq(thresholds.values[ALERT_dependency_slow], 10); /* was not measured */
	ck_assert_ptr_nonnull(strstr(bytes_text(&text), "# penstock replay --bake-alerts"));
	bytes_fini(&text);
	bytes_fini(&faults);
}
END_TEST

START_TEST(the_page_is_this_table)
{
	struct bytes table = { 0 };
	struct bytes page = read_source("docs/alerts.md");
	alerts_write_reference(&table);
	ck_assert_msg(strstr(bytes_text(&page), bytes_text(&table)),
	              "docs/alerts.md is old: put in what `penstock check --reference alerts` prints");
	bytes_fini(&table);
	bytes_fini(&page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("observe/alerts_table");
	TCase *all = tcase_create("observe/alerts_table");
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, wrong_thresholds_are_told, 0, (int)COUNT_OF(bad));
	const TTest *const tests[] = { the_table_is_sound,         rules_name_metrics_that_there_are,
		                           prometheus_takes_the_rules, thresholds_are_read,
		                           what_is_baked_is_read,      the_page_is_this_table };
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(all, tests[i]);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
