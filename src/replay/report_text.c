/* The report that a person reads: the verdict first, then tables. */
#include "base/clock.h"
#include "base/macros.h"
#include "replay/quantity.h"
#include "replay/report.h"

static void write_time(struct bytes *out, int64_t ns)
{
	struct bytes text = { 0 };
	quantity_write_duration(&text, ns);
	bytes_printf(out, "%11s", bytes_text(&text));
	bytes_fini(&text);
}

static void write_distribution(struct bytes *out, const char *name, const struct replay_distribution *distribution)
{
	if (!distribution->count)
		return;
	bytes_printf(out, "  %-36s", name);
	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		write_time(out, distribution->ns[i]);
	bytes_printf(out, "%10llu\n", (unsigned long long)distribution->count);
}

void replay_write_verdict(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	const struct goal *goal = &inputs->settings->goal;
	if (inputs->result->stop != RUN_WHOLE)
		bytes_printf(out, "STOPPED EARLY: %s", inputs->result->why);
	else if (summary->validity == REPLAY_INVALID)
		bytes_append_text(out, "NOT VALID: this client sent late; its figures are its own, not the gateway's");
	else if (summary->outcomes[OUTCOME_OK] == 0)
		bytes_append_text(out, "NOTHING WAS ANSWERED");
	else if (goal->count)
		bytes_append_text(out, summary->is_kept ? "promise KEPT" : "promise NOT KEPT");
	else
		bytes_append_text(out, "no promise was asked for (--promise)");
}

static void write_goals(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	const struct goal *goal = &inputs->settings->goal;
	for (size_t i = 0; i < goal->count; i++) {
		const struct goal_part *part = &goal->parts[i];
		bytes_printf(out, "  %-9s <= ", part->name);
		quantity_write_duration(out, part->limit_ns);
		bytes_printf(out, ": met by %.2f %% of %llu, %.4g %% wanted: %s\n", 100 * summary->goals[i].attainment,
		             (unsigned long long)summary->eligible, 100 * part->share,
		             summary->goals[i].is_kept ? "kept" : "NOT kept");
	}
}

static void write_load(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	const struct workload *workload = inputs->workload;
	const struct run_result *result = inputs->result;
	bytes_printf(out, "\nLoad: %s (%s) to %s, model %s, speed %g, scale %g\n", inputs->trace, workload->format,
	             inputs->target, inputs->settings->body.model, inputs->speed, inputs->scale);
	bytes_printf(out, "  rows read %llu", (unsigned long long)workload->read_rows);
	if (workload->copied)
		bytes_printf(out, " + %llu copies", (unsigned long long)workload->copied);
	bytes_printf(out, " = %zu to send", workload->count);
	for (size_t i = 0; i < DROP_COUNT; i++) {
		if (workload->dropped[i])
			bytes_printf(out, " + %llu dropped (%s)", (unsigned long long)workload->dropped[i], drop_text(i));
	}
	if (workload->raised)
		bytes_printf(out, "; %llu of them with zero tokens on one side, asked with one",
		             (unsigned long long)workload->raised);
	if (workload->was_unsorted)
		bytes_append_text(out, "; rows were out of order and have been sorted");
	bytes_printf(out, "\n  sent %zu", result->sent);
	if (summary->warm_up)
		bytes_printf(out, " (%llu of them as warm-up, not counted)", (unsigned long long)summary->warm_up);
	bytes_printf(out, " in %.1f s: offered %.3g/s, served %.3g/s, goodput %.3g/s\n", (double)result->elapsed_ns / 1e9,
	             summary->offered_rps, summary->served_rps, summary->goodput_rps);
	struct span notes = bytes_span(&workload->notes);
	while (notes.len) {
		const struct span note = quantity_split(&notes, '\n');
		bytes_printf(out, "  note: %.*s\n", (int)note.len, note.at);
	}
}

static void write_outcomes(const struct replay_summary *summary, struct bytes *out)
{
	bytes_printf(out, "\nWhat became of %llu requests\n", (unsigned long long)summary->requests);
	for (size_t i = 0; i < OUTCOME_COUNT; i++) {
		if (summary->outcomes[i])
			bytes_printf(out, "  %-40s %8llu  %6.2f %%\n", outcome_text(i), (unsigned long long)summary->outcomes[i],
			             100 * (double)summary->outcomes[i] / (double)summary->requests);
	}
	if (summary->retries)
		bytes_printf(out,
		             "  %llu requests asked again, %llu times in all; their time counts from the first intended send\n",
		             (unsigned long long)summary->retried, (unsigned long long)summary->retries);
	if (summary->first_tokens_beyond)
		bytes_printf(out, "  %llu answers had no text at all\n", (unsigned long long)summary->first_tokens_beyond);
}

static void write_times(const struct replay_summary *summary, struct bytes *out)
{
	bytes_printf(out, "\n%-38s", "Times");
	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		bytes_printf(out, "%11s", replay_percentile_name(i));
	bytes_append_text(out, "     count\n");
	for (size_t i = 0; i < MEASURE_COUNT; i++) {
		write_distribution(out, replay_measure_text(i), &summary->measures[i]);
		if (i == MEASURE_tpot)
			write_distribution(out, "ITL, between content events", &summary->itl);
	}
	static const char *const verdicts[] = {
		[REPLAY_VALID] = "valid: our own lateness has p99 <= 1 ms",
		[REPLAY_DOUBTFUL] = "doubtful: our own lateness has a p99 over 1 ms (still at most 10 ms)",
		[REPLAY_INVALID] = "NOT valid: our own lateness has a p99 over 10 ms",
	};
	bytes_printf(out, "  %s\n", verdicts[summary->validity]);
}

static void write_tokens(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	if (summary->prompt_real) {
		bytes_printf(out,
		             "\nTokens: prompts asked %llu, real %llu (%.2f x; %.2f bytes a token%s); outputs asked %llu, real "
		             "%llu (%.2f x)\n",
		             (unsigned long long)summary->prompt_asked, (unsigned long long)summary->prompt_real,
		             (double)summary->prompt_real / (double)summary->prompt_asked, inputs->result->bytes_per_token,
		             summary->warm_up ? ", learned in the warm-up" : "", (unsigned long long)summary->output_asked,
		             (unsigned long long)summary->output_real,
		             (double)summary->output_real / (double)max_ll(1, (long long)summary->output_asked));
	} else {
		bytes_append_text(out, "\nTokens: the answers tell no usage\n");
	}
	if (summary->predictions)
		bytes_printf(
			out, "Predictions of the first token: %llu, actual over predicted p50 %.2f, p95 %.2f; mean error %.0f %%\n",
			(unsigned long long)summary->predictions, summary->prediction_p50, summary->prediction_p95,
			100 * summary->prediction_error);
}

static void write_groups(const struct replay_summary *summary, struct bytes *out)
{
	if (!summary->group_count)
		return;
	bytes_printf(out, "\n%-28s%9s%9s%9s%9s%9s%11s%11s%11s\n", "Groups", "requests", "answered", "refused", "failed",
	             "met %", "TTFT p50", "TTFT p95", "E2E p95");
	for (size_t i = 0; i < summary->group_count; i++) {
		const struct replay_group *group = &summary->groups[i];
		bytes_printf(out, "  %-7s%-19.19s%9llu%9llu%9llu%9llu%9.1f", group->kind, group->name,
		             (unsigned long long)group->requests, (unsigned long long)group->answered,
		             (unsigned long long)group->refused, (unsigned long long)group->failed,
		             group->eligible ? 100 * (double)group->met / (double)group->eligible : 0);
		write_time(out, group->ttft.ns[PERCENTILE_p50]);
		write_time(out, group->ttft.ns[PERCENTILE_p95]);
		write_time(out, group->e2e.ns[PERCENTILE_p95]);
		bytes_append_byte(out, '\n');
	}
}

static void write_left_out(const struct replay_inputs *inputs, struct bytes *out)
{
	uint64_t retrievals = 0;
	for (size_t i = 0; i < inputs->workload->count; i++)
		retrievals += inputs->workload->rows[i].passages > 0;
	if (retrievals && !inputs->settings->has_retrieval)
		bytes_printf(out, "\nLeft out: the retrieval calls of %llu requests (--retrieval-url sends them)\n",
		             (unsigned long long)retrievals);
}

void replay_write_text(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	replay_write_verdict(inputs, summary, out);
	bytes_append_byte(out, '\n');
	write_goals(inputs, summary, out);
	write_load(inputs, summary, out);
	write_outcomes(summary, out);
	write_times(summary, out);
	write_tokens(inputs, summary, out);
	write_groups(summary, out);
	if (inputs->consequences.len) {
		bytes_append_literal(out, "\nThe gateway says\n");
		bytes_append_span(out, inputs->consequences);
	}
	write_left_out(inputs, out);
}
