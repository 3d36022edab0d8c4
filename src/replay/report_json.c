/* The report for machines. Times are in milliseconds, rates per second; what is not known is left out. */
#include "base/json.h"
#include "replay/report.h"

static void write_key(struct bytes *out, const char *name)
{
	if (out->len && out->data[out->len - 1] != '{' && out->data[out->len - 1] != '[')
		bytes_append_byte(out, ',');
	json_write_string(out, span_of(name));
	bytes_append_byte(out, ':');
}

static void write_text(struct bytes *out, const char *name, const char *text)
{
	write_key(out, name);
	json_write_string(out, span_of(text));
}

static void write_count(struct bytes *out, const char *name, uint64_t count)
{
	write_key(out, name);
	bytes_append_number(out, (int64_t)count);
}

static void write_number(struct bytes *out, const char *name, double number)
{
	write_key(out, name);
	json_write_double(out, number);
}

static void write_flag(struct bytes *out, const char *name, bool flag)
{
	write_key(out, name);
	bytes_append_text(out, flag ? "true" : "false");
}

static void write_ms(struct bytes *out, const char *name, int64_t ns)
{
	if (ns < 0)
		return;
	write_key(out, name);
	bytes_append_ms(out, ns);
}

static void write_distribution(struct bytes *out, const char *name, const struct replay_distribution *distribution)
{
	write_key(out, name);
	bytes_append_byte(out, '{');
	write_count(out, "count", distribution->count);
	for (size_t i = 0; i < PERCENTILE_COUNT && distribution->count; i++)
		write_ms(out, replay_percentile_name(i), distribution->ns[i]);
	if (distribution->mean_ns)
		write_ms(out, "mean", distribution->mean_ns);
	bytes_append_byte(out, '}');
}

static void write_promise(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	const struct goal *goal = &inputs->settings->goal;
	if (!goal->count)
		return;
	write_key(out, "promise");
	bytes_append_byte(out, '{');
	write_flag(out, "kept", summary->is_kept);
	write_count(out, "eligible", summary->eligible);
	write_count(out, "met", summary->met);
	write_key(out, "parts");
	bytes_append_byte(out, '[');
	for (size_t i = 0; i < goal->count; i++) {
		bytes_append_text(out, i ? ",{" : "{");
		write_text(out, "name", goal->parts[i].name);
		write_ms(out, "limit_ms", goal->parts[i].limit_ns);
		write_number(out, "wanted", goal->parts[i].share);
		write_number(out, "attainment", summary->goals[i].attainment);
		write_flag(out, "kept", summary->goals[i].is_kept);
		bytes_append_byte(out, '}');
	}
	bytes_append_text(out, "]}");
}

static void write_workload(const struct replay_inputs *inputs, struct bytes *out)
{
	const struct workload *workload = inputs->workload;
	write_key(out, "trace");
	bytes_append_byte(out, '{');
	write_text(out, "name", inputs->trace);
	write_text(out, "format", workload->format);
	write_count(out, "rows_read", workload->read_rows);
	write_count(out, "copied", workload->copied);
	write_count(out, "to_send", workload->count);
	write_count(out, "raised", workload->raised);
	write_flag(out, "was_unsorted", workload->was_unsorted);
	write_key(out, "dropped");
	bytes_append_byte(out, '{');
	for (size_t i = 0; i < DROP_COUNT; i++) {
		if (workload->dropped[i])
			write_count(out, drop_text(i), workload->dropped[i]);
	}
	bytes_append_byte(out, '}');
	write_text(out, "notes", workload->notes.len ? bytes_text((struct bytes *)&workload->notes) : "");
	bytes_append_byte(out, '}');
}

static void write_groups(const struct replay_summary *summary, struct bytes *out)
{
	write_key(out, "groups");
	bytes_append_byte(out, '[');
	for (size_t i = 0; i < summary->group_count; i++) {
		const struct replay_group *group = &summary->groups[i];
		bytes_append_text(out, i ? ",{" : "{");
		write_text(out, "kind", group->kind);
		write_text(out, "name", group->name);
		write_count(out, "requests", group->requests);
		write_count(out, "answered", group->answered);
		write_count(out, "refused", group->refused);
		write_count(out, "failed", group->failed);
		write_count(out, "eligible", group->eligible);
		write_count(out, "met", group->met);
		write_distribution(out, "ttft_ms", &group->ttft);
		write_distribution(out, "e2e_ms", &group->e2e);
		bytes_append_byte(out, '}');
	}
	bytes_append_byte(out, ']');
}

static void write_counts(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	write_count(out, "sent", inputs->result->sent);
	write_count(out, "warm_up", summary->warm_up);
	write_count(out, "requests", summary->requests);
	write_count(out, "refused", summary->refused);
	write_count(out, "failed", summary->failed);
	write_count(out, "retried", summary->retried);
	write_count(out, "retries", summary->retries);
	write_key(out, "outcomes");
	bytes_append_byte(out, '{');
	for (size_t i = 0; i < OUTCOME_COUNT; i++)
		write_count(out, outcome_name(i), summary->outcomes[i]);
	bytes_append_byte(out, '}');
	write_number(out, "elapsed_s", (double)inputs->result->elapsed_ns / 1e9);
	write_number(out, "offered_rps", summary->offered_rps);
	write_number(out, "served_rps", summary->served_rps);
	write_number(out, "goodput_rps", summary->goodput_rps);
}

static void write_tokens(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	write_key(out, "tokens");
	bytes_append_byte(out, '{');
	write_count(out, "prompt_asked", summary->prompt_asked);
	write_count(out, "prompt_real", summary->prompt_real);
	write_count(out, "output_asked", summary->output_asked);
	write_count(out, "output_real", summary->output_real);
	write_number(out, "bytes_per_token", inputs->result->bytes_per_token);
	bytes_append_byte(out, '}');
	if (!summary->predictions)
		return;
	write_key(out, "prediction");
	bytes_append_byte(out, '{');
	write_count(out, "count", summary->predictions);
	write_number(out, "actual_over_predicted_p50", summary->prediction_p50);
	write_number(out, "actual_over_predicted_p95", summary->prediction_p95);
	write_number(out, "mean_error", summary->prediction_error);
	bytes_append_byte(out, '}');
}

void replay_write_json(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out)
{
	static const char *const stops[] = { [RUN_WHOLE] = "whole",
		                                 [RUN_HOPELESS] = "hopeless",
		                                 [RUN_GUARD] = "guard",
		                                 [RUN_INTERRUPTED] = "interrupted",
		                                 [RUN_BROKEN] = "broken" };
	static const char *const validities[] = {
		[REPLAY_VALID] = "valid", [REPLAY_DOUBTFUL] = "doubtful", [REPLAY_INVALID] = "invalid"
	};
	bytes_append_byte(out, '{');
	write_text(out, "program", "penstock replay " PENSTOCK_VERSION);
	write_text(out, "target", inputs->target);
	write_text(out, "model", inputs->settings->body.model);
	write_number(out, "speed", inputs->speed);
	write_number(out, "scale", inputs->scale);
	write_count(out, "seed", inputs->settings->body.seed);
	write_text(out, "stop", stops[inputs->result->stop]);
	write_text(out, "why", inputs->result->why);
	write_text(out, "validity", validities[summary->validity]);
	write_count(out, "status", (uint64_t)replay_status(inputs, summary));
	write_promise(inputs, summary, out);
	if (inputs->promises.len) {
		write_key(out, "gateway");
		bytes_append_span(out, span_trim(inputs->promises));
	}
	write_workload(inputs, out);
	write_counts(inputs, summary, out);
	write_key(out, "ms");
	bytes_append_byte(out, '{');
	for (size_t i = 0; i < MEASURE_COUNT; i++)
		write_distribution(out, replay_measure_name(i), &summary->measures[i]);
	write_distribution(out, "itl", &summary->itl);
	bytes_append_byte(out, '}');
	write_tokens(inputs, summary, out);
	write_groups(summary, out);
	bytes_append_literal(out, "}\n");
}

static void write_request(const struct replay_inputs *inputs, size_t row, struct bytes *out)
{
	const struct replay_record *record = &inputs->result->records[row];
	bytes_append_byte(out, '{');
	write_count(out, "row", row);
	write_flag(out, "counted", record->is_counted);
	write_ms(out, "intended_ms", record->intended_ns);
	write_ms(out, "sent_ms", record->sent_ns);
	write_ms(out, "first_byte_ms", record->first_byte_ns);
	write_ms(out, "first_token_ms", record->first_token_ns);
	write_ms(out, "end_ms", record->end_ns);
	write_text(out, "outcome", outcome_name(record->outcome));
	write_count(out, "status", record->status);
	write_count(out, "retries", record->retries);
	write_count(out, "prompt_asked", record->prompt_asked);
	write_count(out, "prompt_tokens", record->prompt_tokens);
	write_count(out, "output_asked", record->output_asked);
	write_count(out, "output_tokens", record->output_tokens);
	if (record->tenant)
		write_text(out, "tenant", inputs->workload->labels[record->tenant]);
	if (record->class)
		write_text(out, "class", inputs->workload->labels[record->class]);
	if (record->rung)
		write_text(out, "rung", inputs->result->rungs[record->rung]);
	write_ms(out, "retry_after_ms", record->retry_after_ns);
	write_ms(out, "predicted_ms", record->predicted_ns);
	write_ms(out, "retrieval_ms", record->retrieval_ns);
	bytes_append_literal(out, "}\n");
}

void replay_write_requests(const struct replay_inputs *inputs, FILE *file)
{
	struct bytes line = { 0 };
	for (size_t i = 0; i < inputs->result->sent; i++) {
		bytes_clear(&line);
		write_request(inputs, i, &line);
		fwrite(line.data, 1, line.len, file);
	}
	bytes_fini(&line);
}
