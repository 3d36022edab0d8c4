/* The figures of a run from its records, once it is over: sorted samples, so percentiles are exact (nearest rank). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "replay/report.h"

/* The schedule's own error, p99: under the first a run is valid, over the second it measured this client. */
#define VALID_NS (1 * NS_PER_MS)
#define INVALID_NS (10 * NS_PER_MS)

static int64_t record_ttft_from_sent_ns(const struct replay_record *record)
{
	return record->first_token_ns < 0 ? -1 : record->first_token_ns - record->sent_ns;
}

static int64_t record_e2e_from_sent_ns(const struct replay_record *record)
{
	return record->outcome != OUTCOME_OK ? -1 : record->end_ns - record->sent_ns;
}

static int64_t record_dispatch_delay_ns(const struct replay_record *record)
{
	return record->sent_ns < 0 ? -1 : record->sent_ns - record->intended_ns;
}

/* From when nothing but ourselves held it back: its time, or the answer or retrieval that it had to wait for. */
static int64_t record_schedule_error_ns(const struct replay_record *record)
{
	return record->sent_ns < 0 ? -1 : record->sent_ns - record->eligible_ns;
}

static int64_t record_refusal_ns(const struct replay_record *record)
{
	return record->outcome != OUTCOME_REFUSED ? -1 : record->end_ns - record->sent_ns;
}

static int64_t record_retry_after_ns(const struct replay_record *record)
{
	return record->outcome != OUTCOME_REFUSED ? -1 : record->retry_after_ns;
}

static int64_t record_retrieval_ns(const struct replay_record *record)
{
	return record->retrieval_ns;
}

static const struct {
	const char *name;
	const char *text;
	int64_t (*of)(const struct replay_record *record);
} measures[] = {
#define MEASURE(name, of, text) { #name, text, of },
#include "replay/measures.def"
#undef MEASURE
};

static const struct {
	const char *name;
	double share;
} percentiles[] = {
#define PERCENTILE(name, share) { #name, share },
#include "replay/percentiles.def"
#undef PERCENTILE
};

const char *replay_measure_text(enum replay_measure measure)
{
	return measures[measure].text;
}

const char *replay_measure_name(enum replay_measure measure)
{
	return measures[measure].name;
}

const char *replay_percentile_name(enum replay_percentile percentile)
{
	return percentiles[percentile].name;
}

static int by_value(const void *left, const void *right)
{
	const int64_t a = *(const int64_t *)left;
	const int64_t b = *(const int64_t *)right;
	return (a > b) - (a < b);
}

/* Nearest rank: the smallest value that at least that share doesn't exceed. Sorts the values. */
static void distribute(int64_t *values, size_t count, struct replay_distribution *out)
{
	*out = (struct replay_distribution){ .count = count };
	if (count == 0)
		return;
	qsort(values, count, sizeof(*values), by_value);
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += (double)values[i];
	out->mean_ns = (int64_t)(sum / (double)count);
	for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
		const double rank = ceil(percentiles[i].share * (double)count - 1e-9);
		out->ns[i] = values[rank < 1 ? 0 : (size_t)rank - 1];
	}
}

typedef bool belongs(const struct replay_record *record, uint32_t which);

static bool belongs_to_all(const struct replay_record *record, uint32_t which)
{
	(void)record;
	(void)which;
	return true;
}

static bool belongs_to_tenant(const struct replay_record *record, uint32_t which)
{
	return record->tenant == which;
}

static bool belongs_to_class(const struct replay_record *record, uint32_t which)
{
	return record->class == which;
}

static bool belongs_to_rung(const struct replay_record *record, uint32_t which)
{
	return record->rung == which;
}

static bool is_counted(const struct replay_record *record)
{
	return record->is_counted && record->is_ended;
}

static void measure(const struct run_result *result, enum replay_measure measure, belongs *does_belong, uint32_t which,
                    int64_t *scratch, struct replay_distribution *out)
{
	size_t count = 0;
	for (size_t i = 0; i < result->sent; i++) {
		const struct replay_record *record = &result->records[i];
		const int64_t ns = is_counted(record) && does_belong(record, which) ? measures[measure].of(record) : -1;
		if (ns >= 0)
			scratch[count++] = ns;
	}
	distribute(scratch, count, out);
}

static void measure_gaps(const struct histogram *gaps, struct replay_distribution *out)
{
	*out = (struct replay_distribution){ .count = gaps->count };
	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		out->ns[i] = (int64_t)histogram_ns(gaps, percentiles[i].share);
}

static void count_record(const struct replay_inputs *inputs, const struct replay_record *record,
                         struct replay_summary *out)
{
	out->requests++;
	out->outcomes[record->outcome]++;
	const enum outcome_kind kind = outcome_kind(record->outcome);
	out->refused += kind == OUTCOME_KIND_REFUSAL;
	out->failed += kind == OUTCOME_KIND_FAILURE;
	out->retried += record->retries > 0;
	out->retries += record->retries;
	out->first_tokens_beyond += record->outcome == OUTCOME_OK && record->first_token_ns < 0;
	if (record_is_eligible(record)) {
		out->eligible++;
		out->met += goal_is_met(&inputs->settings->goal, record);
		for (size_t i = 0; i < inputs->settings->goal.count; i++)
			out->goals[i].met += goal_part_is_met(&inputs->settings->goal.parts[i], record);
	}
	if (record->outcome == OUTCOME_OK && record->prompt_tokens) {
		out->prompt_asked += record->prompt_asked;
		out->prompt_real += record->prompt_tokens;
		out->output_asked += record->output_asked;
		out->output_real += record->output_tokens;
	}
}

static void rate(const struct replay_inputs *inputs, struct replay_summary *out)
{
	const struct run_result *result = inputs->result;
	const int64_t begin_ns = result->warm_up_ns;
	int64_t last_sent_ns = begin_ns;
	int64_t last_end_ns = begin_ns;
	for (size_t i = 0; i < result->sent; i++) {
		const struct replay_record *record = &result->records[i];
		if (!is_counted(record))
			continue;
		last_sent_ns = max_ll(last_sent_ns, record->intended_ns);
		if (record->outcome == OUTCOME_OK)
			last_end_ns = max_ll(last_end_ns, record->end_ns);
	}
	const double served_s = fmax((double)(last_end_ns - begin_ns) / 1e9, 1e-3);
	out->seconds = fmax((double)(last_sent_ns - begin_ns) / 1e9, 1e-3);
	/* n arrivals span n - 1 gaps; with one there is no rate to speak of. */
	out->offered_rps = out->requests > 1 ? (double)(out->requests - 1) / out->seconds : 0;
	out->served_rps = (double)out->outcomes[OUTCOME_OK] / served_s;
	out->goodput_rps = (double)out->met / fmax(served_s, out->seconds);
}

static void judge(const struct replay_inputs *inputs, struct replay_summary *out)
{
	const struct goal *goal = &inputs->settings->goal;
	out->is_kept = true;
	for (size_t i = 0; i < goal->count; i++) {
		struct replay_goal_summary *part = &out->goals[i];
		part->attainment = out->eligible ? (double)part->met / (double)out->eligible : 0;
		part->is_kept = out->eligible && part->attainment >= goal->parts[i].share;
		out->is_kept &= part->is_kept;
	}
	const struct replay_distribution *error = &out->measures[MEASURE_schedule_error];
	const int64_t p99_ns = error->ns[PERCENTILE_p99];
	out->validity = p99_ns > INVALID_NS ? REPLAY_INVALID : p99_ns > VALID_NS ? REPLAY_DOUBTFUL : REPLAY_VALID;
}

static void predict(const struct run_result *result, int64_t *scratch, struct replay_summary *out)
{
	struct replay_distribution ratios;
	size_t count = 0;
	double error = 0;
	for (size_t i = 0; i < result->sent; i++) {
		const struct replay_record *record = &result->records[i];
		/* The gateway's own clock starts when the request arrives. */
		const int64_t actual_ns = record_ttft_from_sent_ns(record);
		if (!is_counted(record) || record->predicted_ns <= 0 || actual_ns <= 0)
			continue;
		error += fabs((double)(actual_ns - record->predicted_ns)) / (double)actual_ns;
		scratch[count++] = (int64_t)((double)actual_ns / (double)record->predicted_ns * 1e6);
	}
	distribute(scratch, count, &ratios);
	out->predictions = count;
	out->prediction_error = count ? error / (double)count : 0;
	out->prediction_p50 = (double)ratios.ns[PERCENTILE_p50] / 1e6;
	out->prediction_p95 = (double)ratios.ns[PERCENTILE_p95] / 1e6;
}

/* ---- groups ---- */

static void sum_group(const struct replay_inputs *inputs, belongs *does_belong, uint32_t which, int64_t *scratch,
                      struct replay_group *group)
{
	const struct run_result *result = inputs->result;
	for (size_t i = 0; i < result->sent; i++) {
		const struct replay_record *record = &result->records[i];
		if (!is_counted(record) || !does_belong(record, which))
			continue;
		const enum outcome_kind kind = outcome_kind(record->outcome);
		group->requests++;
		group->answered += record->outcome == OUTCOME_OK;
		group->refused += kind == OUTCOME_KIND_REFUSAL;
		group->failed += kind == OUTCOME_KIND_FAILURE;
		group->eligible += record_is_eligible(record);
		group->met += record_is_eligible(record) && goal_is_met(&inputs->settings->goal, record);
	}
	measure(result, MEASURE_ttft, does_belong, which, scratch, &group->ttft);
	measure(result, MEASURE_e2e, does_belong, which, scratch, &group->e2e);
}

/* Those of labels 0 to count - 1 that have requests; nothing where only label 0 has, or where there are too many to read. */
#define GROUPS_MAX 64
static enum error add_groups(const struct replay_inputs *inputs, const char *kind, const char *const *names,
                             uint32_t count, belongs *does_belong, int64_t *scratch, struct replay_summary *out)
{
	const size_t before = out->group_count;
	size_t added = 0;
	bool has_named = false;
	if (count <= 1)
		return OK;
	struct replay_group *larger = realloc(out->groups, (before + min_ll(count, GROUPS_MAX)) * sizeof(*larger));
	if (!larger)
		return ERROR_MEMORY;
	out->groups = larger;
	for (uint32_t i = 0; i < count && added < GROUPS_MAX; i++) {
		struct replay_group *group = &out->groups[before + added];
		*group = (struct replay_group){ .kind = kind, .name = *names[i] ? names[i] : "none" };
		sum_group(inputs, does_belong, i, scratch, group);
		has_named |= group->requests && i > 0;
		added += group->requests > 0;
	}
	out->group_count = before + (has_named ? added : 0);
	return OK;
}

static enum error group_all(const struct replay_inputs *inputs, int64_t *scratch, struct replay_summary *out)
{
	const struct workload *workload = inputs->workload;
	const char *rungs[RUN_RUNGS_MAX];
	const char *const *labels = (const char *const *)workload->labels;
	for (uint32_t i = 0; i < inputs->result->rung_count; i++)
		rungs[i] = inputs->result->rungs[i];
	enum error error = add_groups(inputs, "tenant", labels, workload->label_count, belongs_to_tenant, scratch, out);
	if (!error)
		error = add_groups(inputs, "class", labels, workload->label_count, belongs_to_class, scratch, out);
	if (!error)
		error = add_groups(inputs, "rung", rungs, inputs->result->rung_count, belongs_to_rung, scratch, out);
	return error;
}

enum error replay_summarize(const struct replay_inputs *inputs, struct replay_summary *out)
{
	const struct run_result *result = inputs->result;
	*out = (struct replay_summary){ 0 };
	int64_t *scratch = calloc(result->sent + 1, sizeof(*scratch));
	if (!scratch)
		return ERROR_MEMORY;
	for (size_t i = 0; i < result->sent; i++) {
		out->warm_up += !result->records[i].is_counted;
		if (is_counted(&result->records[i]))
			count_record(inputs, &result->records[i], out);
	}
	for (size_t i = 0; i < MEASURE_COUNT; i++)
		measure(result, (enum replay_measure)i, belongs_to_all, 0, scratch, &out->measures[i]);
	measure_gaps(&result->gaps, &out->itl);
	rate(inputs, out);
	judge(inputs, out);
	predict(result, scratch, out);
	enum error error = group_all(inputs, scratch, out);
	free(scratch);
	return error;
}

void replay_summary_fini(struct replay_summary *summary)
{
	free(summary->groups);
	summary->groups = NULL;
}

int replay_status(const struct replay_inputs *inputs, const struct replay_summary *summary)
{
	const bool is_good = summary->is_kept && summary->validity != REPLAY_INVALID && inputs->result->stop == RUN_WHOLE &&
	                     (summary->outcomes[OUTCOME_OK] || summary->requests == 0);
	return is_good ? 0 : 1;
}
