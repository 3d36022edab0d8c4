#include "replay/goal.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "replay/quantity.h"

static const char *const measure_names[] = { "ttft", "tpot", "e2e" };

static enum error parse_part(struct span part, struct goal_part *out)
{
	const struct span whole_name = { part.at, span_find(part, '=') };
	struct span name = quantity_split(&part, '=');
	const struct span measure = quantity_split(&name, '_');
	double percent;
	if (name.len < 2 || name.at[0] != 'p' || quantity_number((struct span){ name.at + 1, name.len - 1 }, &percent) ||
	    percent <= 0 || percent > 100 || whole_name.len >= sizeof(out->name))
		return ERROR_SYNTAX;
	if (quantity_duration(part, &out->limit_ns) || out->limit_ns <= 0)
		return ERROR_SYNTAX;
	out->share = percent / 100;
	memcpy(out->name, whole_name.at, whole_name.len);
	out->name[whole_name.len] = '\0';
	for (size_t i = 0; i < COUNT_OF(measure_names); i++) {
		if (!span_is(measure, measure_names[i]))
			continue;
		out->measure = (enum goal_measure)i;
		return OK;
	}
	return ERROR_SYNTAX;
}

enum error goal_parse(struct span text, struct goal *out, struct bytes *fault)
{
	*out = (struct goal){ 0 };
	while (text.len) {
		const struct span part = quantity_split(&text, ',');
		if (out->count == GOAL_PARTS_MAX || parse_part(part, &out->parts[out->count])) {
			bytes_printf(fault, "a promise is written as ttft_p95=800ms,tpot_p95=80ms,e2e_p95=30s, not \"%.*s\"",
			             (int)min_ll((long long)part.len, 60), part.len ? part.at : "");
			return ERROR_SYNTAX;
		}
		out->count++;
	}
	return OK;
}

int64_t record_ttft_ns(const struct replay_record *record)
{
	return record->first_token_ns < 0 ? -1 : record->first_token_ns - record->intended_ns;
}

int64_t record_tpot_ns(const struct replay_record *record)
{
	if (record->outcome != OUTCOME_OK || record->first_token_ns < 0 || record->output_tokens < 2)
		return -1;
	return (record->end_ns - record->first_token_ns) / (int64_t)(record->output_tokens - 1);
}

int64_t record_e2e_ns(const struct replay_record *record)
{
	return record->outcome != OUTCOME_OK ? -1 : record->end_ns - record->intended_ns;
}

int64_t record_measure_ns(const struct replay_record *record, enum goal_measure measure)
{
	switch (measure) {
	case GOAL_TTFT:
		return record_ttft_ns(record);
	case GOAL_TPOT:
		return record_tpot_ns(record);
	case GOAL_E2E:
		break;
	}
	return record_e2e_ns(record);
}

bool record_is_eligible(const struct replay_record *record)
{
	return record->is_counted && record->is_ended && outcome_kind(record->outcome) != OUTCOME_KIND_OWN;
}

bool goal_part_is_met(const struct goal_part *part, const struct replay_record *record)
{
	return record->outcome == OUTCOME_OK && record_measure_ns(record, part->measure) <= part->limit_ns;
}

bool goal_is_met(const struct goal *goal, const struct replay_record *record)
{
	bool is_met = record->outcome == OUTCOME_OK;
	for (size_t i = 0; i < goal->count && is_met; i++)
		is_met = goal_part_is_met(&goal->parts[i], record);
	return is_met;
}
