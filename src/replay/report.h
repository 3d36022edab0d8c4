/* What a run came to: figures first, then the pages that show them. The summary is computed from the records alone. */
#ifndef PENSTOCK_REPLAY_REPORT_H
#define PENSTOCK_REPLAY_REPORT_H

#include <stdio.h>

#include "replay/run.h"

/* clang-format off */
enum replay_percentile {
#define PERCENTILE(name, share) PERCENTILE_##name,
#include "replay/percentiles.def"
#undef PERCENTILE
	PERCENTILE_COUNT
};
enum replay_measure {
#define MEASURE(name, of, text) MEASURE_##name,
#include "replay/measures.def"
#undef MEASURE
	MEASURE_COUNT
};
/* clang-format on */

struct replay_distribution {
	uint64_t count;
	int64_t mean_ns;
	int64_t ns[PERCENTILE_COUNT]; /* by enum replay_percentile; 0 where count is 0 */
};

enum replay_validity { REPLAY_VALID, REPLAY_DOUBTFUL, REPLAY_INVALID };

struct replay_goal_summary {
	uint64_t met;
	double attainment; /* of the eligible, 0..1 */
	bool is_kept;
};

/* Requests of one tenant, class or rung. */
struct replay_group {
	const char *kind; /* "tenant", "class", "rung" */
	const char *name; /* borrowed from the workload or the result */
	uint64_t requests;
	uint64_t answered;
	uint64_t refused;
	uint64_t failed;
	uint64_t eligible;
	uint64_t met;
	struct replay_distribution ttft;
	struct replay_distribution e2e;
};

struct replay_summary {
	uint64_t requests; /* counted: sent after the warm-up */
	uint64_t warm_up;  /* sent before */
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t refused;
	uint64_t failed;
	uint64_t eligible;
	uint64_t met; /* the whole promise */
	uint64_t retried;
	uint64_t retries;
	uint64_t first_tokens_beyond; /* answered without a token that a user sees */
	double seconds;               /* of the schedule, from the warm-up's end to the last intended send; at least 1e-3 */
	double offered_rps;
	double served_rps; /* answers over the time to the last of them */
	double goodput_rps;
	struct replay_distribution measures[MEASURE_COUNT];
	struct replay_distribution itl; /* gaps between content events */
	struct replay_goal_summary goals[GOAL_PARTS_MAX];
	bool is_kept; /* every part; true where none was asked for */
	enum replay_validity validity;
	uint64_t prompt_asked; /* tokens, of requests whose usage was told; so the next */
	uint64_t prompt_real;
	uint64_t output_asked;
	uint64_t output_real;
	uint64_t predictions;  /* answers that told one, and had a first token */
	double prediction_p50; /* actual over predicted TTFT */
	double prediction_p95;
	double prediction_error;     /* mean of |actual - predicted| / actual */
	struct replay_group *groups; /* owned */
	size_t group_count;
};

struct replay_inputs {
	const struct run_settings *settings;
	const struct workload *workload;
	const struct run_result *result;
	const char *trace;  /* as it was named */
	const char *target; /* likewise */
	const char *promise;
	double speed;
	double scale;
	struct span consequences; /* what the gateway says of its promises, lines of text; empty = it was not asked */
	struct span promises;     /* the same, as it came: JSON */
};

/* ERROR_MEMORY. */
enum error replay_summarize(const struct replay_inputs *inputs, struct replay_summary *out);
void replay_summary_fini(struct replay_summary *summary);
const char *replay_measure_text(enum replay_measure measure);
const char *replay_measure_name(enum replay_measure measure);
const char *replay_percentile_name(enum replay_percentile percentile);
/* The program's exit status: 0 kept (or nothing promised, and a valid run), else 1. */
int replay_status(const struct replay_inputs *inputs, const struct replay_summary *summary);
/* One sentence: kept or not, and why the run says so. */
void replay_write_verdict(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out);

/* The pages. */
void replay_write_text(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out);
void replay_write_json(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out);
void replay_write_html(const struct replay_inputs *inputs, const struct replay_summary *summary, struct bytes *out);
/* One JSON object a line for each request that was sent. */
void replay_write_requests(const struct replay_inputs *inputs, FILE *out);

#endif
