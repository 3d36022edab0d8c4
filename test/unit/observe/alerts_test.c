/* Each kind of row on counters and gauges that move by a script, over three days where the windows are that long. */
#include "observe/alerts.h"

#include "watched.h"

#include "base/json.h"

#define MINUTE (60 * NS_PER_S)
#define HOUR (3600 * NS_PER_S)

struct looked_up {
	enum alert alert;
	const char *value; /* of the first label; NULL = any */
	struct alert_view view;
	unsigned count;
};

static void look(void *owner, const struct alert_view *view)
{
	struct looked_up *looked = owner;
	if (view->alert == looked->alert && (!looked->value || strcmp(view->values[0], looked->value) == 0)) {
		looked->view = *view;
		looked->count++;
	}
}

static enum alert_state state_of(struct watched_rig *rig, enum alert alert)
{
	struct looked_up looked = { .alert = alert };
	alerts_visit(rig->alerts, true, look, &looked);
	return looked.count ? looked.view.state : ALERT_INACTIVE;
}

START_TEST(a_fast_burn_needs_both_windows)
{
	struct watched_rig rig;
	rig_init(&rig, NULL);
	rig_promise(&rig, HOUR, 10, 10);
	ck_assert_uint_eq(alerts_firing(rig.alerts), 0);
	/* All bad: the short window is over 14.4 at once, the long one after 72 % of an hour. */
	rig_promise(&rig, 30 * MINUTE, 10, 0);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_fast], 0);
	rig_promise(&rig, 15 * MINUTE, 10, 0);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_fast], 1);
	ck_assert_int_eq(state_of(&rig, ALERT_promise_burn_fast), ALERT_FIRING);
	/* Good again: the short window lets it end within five minutes. */
	rig_promise(&rig, 5 * MINUTE, 10, 10);
	ck_assert_uint_eq(rig.resolved[ALERT_promise_burn_fast], 1);
	ck_assert_int_eq(state_of(&rig, ALERT_promise_burn_fast), ALERT_RESOLVED);
	rig_promise(&rig, 20 * MINUTE, 10, 10);
	ck_assert_int_eq(state_of(&rig, ALERT_promise_burn_fast), ALERT_INACTIVE);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_fast], 1);
	rig_fini(&rig);
}
END_TEST

START_TEST(few_requests_say_nothing)
{
	struct watched_rig rig;
	rig_init(&rig, NULL);
	for (int i = 0; i < 9; i++)
		rig_promise(&rig, 5 * MINUTE, i % 3 == 0, 0);
	ck_assert_uint_eq(alerts_firing(rig.alerts), 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(a_slow_burn_over_three_days)
{
	struct watched_rig rig;
	rig_init(&rig, NULL);
	rig_promise(&rig, 80 * HOUR, 100, 97);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_slow], 0);
	/* 8 % bad: 1.6 budgets. The mean of three days passes 5 % when 40 % of them are so: after 29 hours. */
	rig_promise(&rig, 28 * HOUR, 100, 92);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_slow], 0);
	rig_promise(&rig, 2 * HOUR, 100, 92);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_slow], 1);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn], 0);
	ck_assert_uint_eq(rig.fired[ALERT_promise_burn_fast], 0);
	rig_promise(&rig, 7 * HOUR, 100, 100);
	ck_assert_uint_eq(rig.resolved[ALERT_promise_burn_slow], 1);
	rig_fini(&rig);
}
END_TEST

START_TEST(a_gauge_holds_for_a_while)
{
	struct watched_rig rig;
	struct looked_up looked = { .alert = ALERT_queue_wait };
	rig_init(&rig, NULL);
	rig_evaluate(&rig);
	metric_set(rig.shard, METRIC_predicted_wait_seconds, 0, 0, 11 * NS_PER_S);
	rig_wait(&rig, MINUTE);
	ck_assert_int_eq(state_of(&rig, ALERT_queue_wait), ALERT_PENDING);
	metric_set(rig.shard, METRIC_predicted_wait_seconds, 0, 0, 9 * NS_PER_S);
	rig_evaluate(&rig);
	ck_assert_int_eq(state_of(&rig, ALERT_queue_wait), ALERT_INACTIVE);
	metric_set(rig.shard, METRIC_predicted_wait_seconds, 0, 0, NS_NEVER);
	rig_wait(&rig, 3 * MINUTE);
	ck_assert_uint_eq(rig.fired[ALERT_queue_wait], 1);
	alerts_visit(rig.alerts, true, look, &looked);
	ck_assert_str_eq(looked.view.labels[0], "pool");
	ck_assert_str_eq(looked.view.values[0], "small");
	ck_assert_double_infinite(looked.view.value);
	ck_assert_double_eq(looked.view.threshold, 10);
	rig_fini(&rig);
}
END_TEST

START_TEST(each_kind_of_row)
{
	struct watched_rig rig;
	rig_init(&rig, NULL);
	rig_wait(&rig, 10 * MINUTE);
	/* GAUGE_RATIO, by the replica's pool */
	metric_set(rig.shard, METRIC_cold_start_elapsed_seconds, 1, 0, 50 * NS_PER_S);
	rig_wait(&rig, 2 * MINUTE);
	ck_assert_uint_eq(rig.fired[ALERT_cold_start_slow], 0); /* nothing to hold it against */
	metric_set(rig.shard, METRIC_cold_start_p95_seconds, 0, 0, 40 * NS_PER_S);
	rig_wait(&rig, 2 * MINUTE);
	ck_assert_uint_eq(rig.fired[ALERT_cold_start_slow], 1);
	/* SHARE */
	metric_add(rig.shard, METRIC_requests_total, ROUTE, COMPLETED, 90);
	metric_add(rig.shard, METRIC_requests_total, ROUTE, QUEUE_FULL, 10);
	rig_wait(&rig, 3 * MINUTE);
	ck_assert_uint_eq(rig.fired[ALERT_refusals], 1);
	rig_wait(&rig, 5 * MINUTE);
	ck_assert_uint_eq(rig.resolved[ALERT_refusals], 1);
	/* INCREASE */
	metric_add(rig.shard, METRIC_usage_unknown_total, ROUTE, 0, 1);
	rig_evaluate(&rig);
	ck_assert_uint_eq(rig.fired[ALERT_usage_unknown], 1);
	metric_add(rig.shard, METRIC_attempt_failures_total, 0, 0, 100); /* "none" is not in the filter */
	metric_add(rig.shard, METRIC_attempt_failures_total, 1, 1, 21);
	rig_wait(&rig, 2 * MINUTE);
	ck_assert_uint_eq(rig.fired[ALERT_dependency_failing], 1);
	/* DRAIN: 30 done in five minutes, 10 wait: 100 s */
	metric_add(rig.shard, METRIC_requests_total, ROUTE, COMPLETED, 30);
	metric_set(rig.shard, METRIC_queue_requests, 0, 0, 10);
	rig_wait(&rig, 3 * MINUTE);
	struct looked_up looked = { .alert = ALERT_queue_drain };
	alerts_visit(rig.alerts, true, look, &looked);
	ck_assert_uint_eq(rig.fired[ALERT_queue_drain], 1);
	ck_assert_double_eq_tol(looked.view.value, 100, 10);
	/* States */
	metric_set(rig.shard, METRIC_ladder_latched, ROUTE, 0, 1);
	metric_set(rig.shard, METRIC_replica_circuit_open, 0, 0, 1);
	metric_set(rig.shard, METRIC_promise_state, ROUTE, 0, 3);
	rig_wait(&rig, 3 * MINUTE);
	ck_assert_uint_eq(rig.fired[ALERT_ladder_latched], 1);
	ck_assert_uint_eq(rig.fired[ALERT_circuit_open], 1);
	ck_assert_uint_eq(rig.fired[ALERT_promise_broken], 1);
	rig_fini(&rig);
}
END_TEST

START_TEST(quantiles_and_targets)
{
	struct watched_rig rig;
	struct looked_up looked = { .alert = ALERT_first_token_over_target, .value = "assistant" };
	rig_init(&rig, NULL);
	metric_set(rig.shard, METRIC_promise_target_seconds, ROUTE, TTFT, 800 * NS_PER_MS);
	rig_wait(&rig, 6 * MINUTE);
	for (int i = 0; i < 60; i++) {
		for (int j = 0; j < 10; j++) {
			metric_observe_ns(rig.shard, METRIC_time_to_first_token_seconds, ROUTE, 0,
			                  j ? 200 * NS_PER_MS : 900 * NS_PER_MS);
			metric_observe_ns(rig.shard, METRIC_stage_duration_seconds, HEAD, 0, 50 * NS_PER_S);
		}
		rig_evaluate(&rig);
	}
	/* A tenth lies in (0.5, 1]: the 95th percentile is its middle, 0.75 of it over 0.8. */
	alerts_visit(rig.alerts, false, look, &looked);
	ck_assert_uint_eq(looked.count, 1);
	ck_assert_double_eq_tol(looked.view.value, 0.75 / 0.8, 0.01);
	ck_assert_uint_eq(rig.fired[ALERT_first_token_over_target], 0);
	metric_set(rig.shard, METRIC_promise_target_seconds, ROUTE, TTFT, 600 * NS_PER_MS);
	for (int i = 0; i < 40; i++) {
		for (int j = 0; j < 10; j++)
			metric_observe_ns(rig.shard, METRIC_time_to_first_token_seconds, ROUTE, 0,
			                  j ? 200 * NS_PER_MS : 900 * NS_PER_MS);
		rig_evaluate(&rig);
	}
	ck_assert_uint_eq(rig.fired[ALERT_first_token_over_target], 1);
	/* Only the stage forward is a dependency. */
	ck_assert_uint_eq(rig.fired[ALERT_dependency_slow], 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(pages_are_json)
{
	struct watched_rig rig;
	struct bytes page = { 0 };
	struct json json = { 0 };
	rig_init(&rig, NULL);
	metric_set(rig.shard, METRIC_replica_circuit_open, 1, 0, 1);
	metric_set(rig.shard, METRIC_predicted_wait_seconds, 0, 0, NS_NEVER);
	rig_wait(&rig, 3 * MINUTE);
	alerts_write(rig.alerts, false, WALL_NS, &page);
	ck_error_is(json_parse(&json, page.data, page.len, 8, NULL), OK);
	uint32_t list = json_get(&json, JSON_ROOT, "alerts");
	ck_assert_uint_eq(json.nodes[list].count, 2);
	uint32_t first = json_first(&json, list);
	ck_span_is(json_raw(&json, json_get(&json, first, "name")), "\"queue_wait\"");
	ck_span_is(json_raw(&json, json_get(&json, first, "value")), "null");
	uint32_t second = json_next(&json, list, first);
	ck_span_is(json_raw(&json, json_get(&json, second, "name")), "\"circuit_open\"");
	ck_span_is(json_raw(&json, json_get(&json, json_get(&json, second, "labels"), "replica")), "\"small/1\"");
	ck_span_is(json_raw(&json, json_get(&json, second, "state")), "\"firing\"");
	bytes_clear(&page);
	bytes_printf(&page, "[%s]", bytes_text(&rig.webhook));
	ck_error_is(json_parse(&json, page.data, page.len, 8, NULL), OK);
	uint32_t entry = json_first(&json, JSON_ROOT);
	ck_span_is(json_raw(&json, json_get(&json, entry, "status")), "\"firing\"");
	ck_span_is(json_raw(&json, json_get(&json, json_get(&json, entry, "labels"), "alertname")),
	           "\"PenstockCircuitOpen\"");
	ck_span_is(json_raw(&json, json_get(&json, entry, "endsAt")), "\"0001-01-01T00:00:00Z\"");
	bytes_clear(&page);
	alerts_write(rig.alerts, true, WALL_NS, &page);
	ck_error_is(json_parse(&json, page.data, page.len, 8, NULL), OK);
	ck_assert_uint_gt(json.nodes[json_get(&json, JSON_ROOT, "alerts")].count, 20);
	json_fini(&json);
	bytes_fini(&page);
	rig_fini(&rig);
}
END_TEST

UNIT_MAIN("observe/alerts", a_fast_burn_needs_both_windows, few_requests_say_nothing, a_slow_burn_over_three_days,
          a_gauge_holds_for_a_while, each_kind_of_row, quantiles_and_targets, pages_are_json)
