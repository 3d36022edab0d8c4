/* What the engines do: prompts, tokens, their own queue; one that is slower than the others, and attempts that failed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "why/causes.h"

#define SHARE_MIN 0.15
/* Prompts and answers differ in length without anything being wrong: those that explain the tail are this much over the median. */
#define LONG_RATIO 3.0
#define RATE_RATIO 1.6
/* Requests that ran beside the slow ones, over those beside the fast ones. */
#define CROWD_RATIO 1.3
#define PROMPT_TOKENS_MIN 16
#define OUTPUT_TOKENS_MIN 4
#define REPLICAS_MAX 256

static double computed_tokens(const struct record *record)
{
	return record->prompt_tokens < 0 ? -1 : fmax(record->prompt_tokens - fmax(record->cached_tokens, 0), 0);
}

static double output_tokens(const struct record *record)
{
	return record->output_tokens;
}

/* ms of prefill a token; -1 where it says nothing. */
static double prefill_rate(const struct view *view, const struct record *record)
{
	double tokens = computed_tokens(record);
	return record->has_engine && tokens >= PROMPT_TOKENS_MIN ? view_part_ms(view, record, PART_prefill) / tokens : -1;
}

/* ms between tokens, the client's pauses excluded; -1 where it says nothing. */
static double decode_rate(const struct view *view, const struct record *record)
{
	if (record->output_tokens < OUTPUT_TOKENS_MIN)
		return -1;
	return view_part_ms(view, record, PART_decode) / (double)(record->output_tokens - 1);
}

static double quantile_over(const struct view *view, double (*value_of)(const struct record *), double share)
{
	double *values = excess_new(view);
	size_t count = 0;
	for (size_t i = 0; values && i < view->count; i++) {
		double value = value_of(view->served[i].record);
		if (value >= 0)
			values[count++] = value;
	}
	double found = values && count >= CAUSE_COUNT_MIN ? quantile_ms(values, count, share) : -1;
	free(values);
	return found;
}

static double quantile_of_rate(const struct view *view, double (*rate_of)(const struct view *, const struct record *),
                               double share)
{
	double *values = excess_new(view);
	size_t count = 0;
	for (size_t i = 0; values && i < view->count; i++) {
		double value = rate_of(view, view->served[i].record);
		if (value >= 0)
			values[count++] = value;
	}
	double found = values && count >= CAUSE_COUNT_MIN ? quantile_ms(values, count, share) : -1;
	free(values);
	return found;
}

/* ---- lengths ---- */

static bool test_length(const struct view *view, double (*tokens_of)(const struct record *), enum part part,
                        bool before_first, double share, double *median, double *high, struct finding *finding)
{
	double *excess = excess_new(view);
	*median = quantile_over(view, tokens_of, 0.5);
	*high = quantile_over(view, tokens_of, 0.97);
	bool is_long = excess && *median >= 1 && *high >= LONG_RATIO * *median;
	for (size_t i = 0; is_long && i < view->count; i++) {
		const struct record *record = view->served[i].record;
		double tokens = tokens_of(record);
		if (tokens > *median)
			excess[i] = view_part_ms(view, record, part) * (1 - *median / tokens);
	}
	bool is_found = is_long && finding_weigh(view, excess, before_first, share, finding);
	free(excess);
	return is_found;
}

bool cause_long_prompts(const struct view *view, struct finding *finding)
{
	double median;
	double high;
	char what[96];
	if (!test_length(view, computed_tokens, PART_prefill, true, SHARE_MIN, &median, &high, finding))
		return false;
	bytes_printf(&finding->sentence, "long prompts: prefill holds %.0f %% of the p95 to the first token",
	             100 * view->tail_share[MEASURE_TTFT][PART_prefill]);
	bytes_printf(&finding->evidence, "the median prompt has %.0f tokens to compute, the 97th percentile %.0f", median,
	             high);
	snprintf(what, sizeof(what), "with every prompt at most %.0f tokens", median);
	append_effect(finding, what);
	return true;
}

bool cause_long_outputs(const struct view *view, struct finding *finding)
{
	double median;
	double high;
	char what[96];
	if (!test_length(view, output_tokens, PART_decode, false, 0.3, &median, &high, finding))
		return false;
	bytes_printf(&finding->sentence, "long answers: decode holds %.0f %% of the p95 end to end, at the usual pace",
	             100 * view->tail_share[MEASURE_E2E][PART_decode]);
	bytes_printf(&finding->evidence, "the median answer has %.0f tokens, the 97th percentile %.0f", median, high);
	snprintf(what, sizeof(what), "with every answer at most %.0f tokens", median);
	append_effect(finding, what);
	return true;
}

/* ---- crowds ---- */

/* Are the slow ones those that had more beside them? Means of .beside of those whose rate is over twice the fast one, and of the others. */
static bool is_crowded(const struct view *view, double (*rate_of)(const struct view *, const struct record *),
                       double fast, double *slow_beside, double *fast_beside)
{
	double sums[2] = { 0 };
	double counts[2] = { 0 };
	for (size_t i = 0; i < view->count; i++) {
		double rate = rate_of(view, view->served[i].record);
		if (rate < 0)
			continue;
		int is_slow = rate > RATE_RATIO * fast;
		sums[is_slow] += view->served[i].beside;
		counts[is_slow]++;
	}
	*fast_beside = counts[0] > 0 ? sums[0] / counts[0] : 0;
	*slow_beside = counts[1] > 0 ? sums[1] / counts[1] : 0;
	return counts[0] > 0 && counts[1] >= 5 && *slow_beside >= CROWD_RATIO * *fast_beside && *slow_beside >= 2;
}

static bool test_crowd(const struct view *view, double (*rate_of)(const struct view *, const struct record *),
                       enum part part, bool before_first, const char *what, struct finding *finding)
{
	double slow_beside = 0;
	double fast_beside = 0;
	double fast = quantile_of_rate(view, rate_of, 0.25);
	double slow = quantile_of_rate(view, rate_of, 0.95);
	double *excess = excess_new(view);
	bool is_slow =
		excess && fast > 0 && slow >= RATE_RATIO * fast && is_crowded(view, rate_of, fast, &slow_beside, &fast_beside);
	for (size_t i = 0; is_slow && i < view->count; i++) {
		const struct record *record = view->served[i].record;
		double rate = rate_of(view, record);
		if (rate > fast)
			excess[i] = view_part_ms(view, record, part) * (1 - fast / rate);
	}
	bool is_found = is_slow && finding_weigh(view, excess, before_first, SHARE_MIN, finding);
	free(excess);
	if (!is_found)
		return false;
	bytes_printf(&finding->sentence, "%s takes %.1f times as long a token where many run at once", what, slow / fast);
	bytes_printf(&finding->evidence,
	             "%.2f ms a token in the fastest quarter, %.2f ms at the 95th percentile; slow ones ran beside %.1f "
	             "others, fast "
	             "ones beside %.1f",
	             fast, slow, fmax(slow_beside - 1, 0), fmax(fast_beside - 1, 0));
	append_effect(finding, "at the pace of the fastest quarter");
	return true;
}

bool cause_crowded_prefill(const struct view *view, struct finding *finding)
{
	return test_crowd(view, prefill_rate, PART_prefill, true, "prefill", finding);
}

bool cause_crowded_decode(const struct view *view, struct finding *finding)
{
	return test_crowd(view, decode_rate, PART_decode, false, "decode", finding);
}

bool cause_engine_queue(const struct view *view, struct finding *finding)
{
	double *excess = excess_new(view);
	for (size_t i = 0; excess && i < view->count; i++)
		excess[i] = view_part_ms(view, view->served[i].record, PART_engine_queue);
	bool is_found = excess && view->count >= CAUSE_COUNT_MIN && finding_weigh(view, excess, true, SHARE_MIN, finding);
	free(excess);
	if (!is_found)
		return false;
	bytes_printf(&finding->sentence, "requests wait inside the engine: %.0f %% of the p95 %s",
	             100 * view->tail_share[finding->measure][PART_engine_queue], measure_text(finding->measure));
	bytes_append_text(&finding->evidence, "95th percentile of that wait ");
	append_ms(&finding->evidence, part_quantile_ms(view, PART_engine_queue, 0.95, false));
	append_effect(finding, "without that queue");
	return true;
}

/* ---- one replica ---- */

struct replica_times {
	const char *name;
	double *values; /* of forward and decode */
	size_t count;
	double p50_ms;
	double p95_ms;
};

static double at_replica_ms(const struct view *view, const struct record *record)
{
	double sum = view_part_ms(view, record, PART_decode) + view_part_ms(view, record, PART_upstream);
	return sum + view_part_ms(view, record, PART_tokenize) + view_part_ms(view, record, PART_engine_queue) +
	       view_part_ms(view, record, PART_prefill);
}

/* One where they are all `name`, or all but it. */
static void time_replicas(const struct view *view, const char *name, bool wants_name, double *buffer,
                          struct replica_times *out)
{
	*out = (struct replica_times){ .name = name };
	for (size_t i = 0; i < view->count; i++) {
		const struct record *record = view->served[i].record;
		if ((record->replica == name) == wants_name && record->attempts <= 1)
			buffer[out->count++] = at_replica_ms(view, record);
	}
	out->p50_ms = quantile_ms(buffer, out->count, 0.5);
	out->p95_ms = quantile_ms(buffer, out->count, 0.95);
}

static size_t name_replicas(const struct view *view, const char *names[REPLICAS_MAX])
{
	size_t count = 0;
	for (size_t i = 0; i < view->count; i++) {
		const char *name = view->served[i].record->replica;
		size_t j = 0;
		while (j < count && names[j] != name)
			j++;
		if (j == count && count < REPLICAS_MAX)
			names[count++] = name;
	}
	return count;
}

/* The one whose median stands out most. */
static bool find_slow(const struct view *view, double *buffer, struct replica_times *slow, struct replica_times *others)
{
	const char *names[REPLICAS_MAX];
	size_t count = name_replicas(view, names);
	double worst = 1.5;
	for (size_t i = 0; i < count && count > 1; i++) {
		struct replica_times own;
		struct replica_times rest;
		time_replicas(view, names[i], true, buffer, &own);
		time_replicas(view, names[i], false, buffer, &rest);
		if (own.count < 5 || rest.count < 5 || rest.p50_ms <= 0 || own.p50_ms <= worst * rest.p50_ms)
			continue;
		worst = own.p50_ms / rest.p50_ms;
		*slow = own;
		*others = rest;
	}
	return worst > 1.5;
}

bool cause_slow_replica(const struct view *view, struct finding *finding)
{
	struct replica_times slow = { 0 };
	struct replica_times others = { 0 };
	char what[128];
	double *excess = excess_new(view);
	bool is_slow = excess && view->count >= CAUSE_COUNT_MIN && find_slow(view, excess, &slow, &others);
	if (excess)
		memset(excess, 0, view->count * sizeof(*excess));
	for (size_t i = 0; is_slow && i < view->count; i++) {
		const struct record *record = view->served[i].record;
		if (record->replica == slow.name)
			excess[i] = at_replica_ms(view, record) * (1 - others.p50_ms / slow.p50_ms);
	}
	/* For the time to first token, too, but for what is decode of it: a little too much is taken there. */
	bool is_found = is_slow && finding_weigh(view, excess, false, SHARE_MIN, finding);
	free(excess);
	if (!is_found)
		return false;
	bytes_printf(&finding->sentence, "replica %s takes %.1f times as long as the others", slow.name,
	             slow.p50_ms / others.p50_ms);
	bytes_printf(&finding->evidence,
	             "median %.0f ms and p95 %.0f ms of its %zu requests, %.0f ms and %.0f ms of the others' %zu",
	             slow.p50_ms, slow.p95_ms, slow.count, others.p50_ms, others.p95_ms, others.count);
	snprintf(what, sizeof(what), "with %s as fast as the others", slow.name);
	append_effect(finding, what);
	return true;
}

/* ---- attempts ---- */

static double before_first_ms(const struct view *view, const struct record *record)
{
	return view_part_ms(view, record, PART_tokenize) + view_part_ms(view, record, PART_engine_queue) +
	       view_part_ms(view, record, PART_prefill) + view_part_ms(view, record, PART_upstream);
}

bool cause_retries(const struct view *view, struct finding *finding)
{
	double *excess = excess_new(view);
	size_t retried = 0;
	size_t repeated = 0;
	size_t single = 0;
	for (size_t i = 0; excess && i < view->count; i++) {
		const struct record *record = view->served[i].record;
		retried += record->attempts > 1;
		repeated += record->repeat;
		if (record->attempts <= 1)
			excess[single++] = before_first_ms(view, record);
	}
	double median = excess ? quantile_ms(excess, single, 0.5) : 0;
	for (size_t i = 0; excess && i < view->count; i++) {
		const struct record *record = view->served[i].record;
		excess[i] = record->attempts > 1 ? fmax(before_first_ms(view, record) - median, 0) : 0;
	}
	bool is_found = excess && view->count >= CAUSE_COUNT_MIN && retried >= 3 && single >= 3 &&
	                finding_weigh(view, excess, true, SHARE_MIN, finding);
	free(excess);
	if (!is_found)
		return false;
	bytes_printf(&finding->sentence, "%.0f %% of the requests needed more than one attempt",
	             100.0 * (double)retried / (double)view->count);
	bytes_printf(&finding->evidence, "%zu of %zu had a second attempt; %zu came again from their clients", retried,
	             view->count, repeated);
	append_effect(finding, "without failed attempts");
	return true;
}
