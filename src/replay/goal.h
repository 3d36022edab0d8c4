/* What was promised, as the command line says it: ttft_p95=800ms,tpot_p95=80ms,e2e_p95=30s. "p95 <= X" holds when at least 95 % of the eligible
 * requests were at or under X; a refused or failed one is over it. */
#ifndef PENSTOCK_REPLAY_GOAL_H
#define PENSTOCK_REPLAY_GOAL_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"
#include "replay/record.h"

#define GOAL_PARTS_MAX 8

enum goal_measure { GOAL_TTFT, GOAL_TPOT, GOAL_E2E };

struct goal_part {
	enum goal_measure measure;
	double share; /* 0.95 */
	int64_t limit_ns;
	char name[16]; /* ttft_p95 */
};

struct goal {
	struct goal_part parts[GOAL_PARTS_MAX];
	size_t count;
};

/* ERROR_SYNTAX with a sentence in *fault. */
enum error goal_parse(struct span text, struct goal *out, struct bytes *fault);
/* Latency of a request from its intended send; -1 where it has none. tpot: from the first token on, over the tokens after it. */
int64_t record_ttft_ns(const struct replay_record *record);
int64_t record_tpot_ns(const struct replay_record *record);
int64_t record_e2e_ns(const struct replay_record *record);
int64_t record_measure_ns(const struct replay_record *record, enum goal_measure measure);
/* Does the request count for the promise at all? */
bool record_is_eligible(const struct replay_record *record);
/* An answer of one token has no tpot: it can't be over it. */
bool goal_part_is_met(const struct goal_part *part, const struct replay_record *record);
/* All parts; with none, any good answer. */
bool goal_is_met(const struct goal *goal, const struct replay_record *record);

#endif
