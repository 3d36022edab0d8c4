/* What is remembered of each request. Times in ns from the run's start; -1 where the thing did not happen. */
#ifndef PENSTOCK_REPLAY_RECORD_H
#define PENSTOCK_REPLAY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
enum replay_outcome {
#define OUTCOME(name, kind, text) OUTCOME_##name,
#include "replay/outcomes.def"
#undef OUTCOME
	OUTCOME_COUNT
};
/* clang-format on */

enum outcome_kind { OUTCOME_KIND_GOOD, OUTCOME_KIND_REFUSAL, OUTCOME_KIND_FAILURE, OUTCOME_KIND_OWN };

struct replay_record {
	int64_t intended_ns; /* when the schedule says: latencies count from here */
	int64_t eligible_ns; /* later than intended where a closed session, a retrieval or a retry held it back */
	int64_t sent_ns;     /* of the first attempt */
	int64_t first_byte_ns;
	int64_t first_token_ns; /* the first content: the role's event is none */
	int64_t end_ns;
	int64_t retry_after_ns; /* what the last refusal said; -1 = nothing */
	int64_t predicted_ns;   /* x-penstock-predicted-ms */
	int64_t retrieval_ns;   /* what the retrieval call took; -1 = there was none */
	uint32_t prompt_asked;
	uint32_t output_asked;
	uint32_t prompt_tokens; /* as the answer's usage says; 0 = it didn't */
	uint32_t output_tokens; /* likewise, else the content events */
	uint32_t text_bytes;    /* of the prompt */
	uint32_t tenant;
	uint32_t class;
	uint16_t status; /* of the last attempt; 0 = none came */
	uint8_t outcome;
	uint8_t retries;
	uint8_t rung;    /* of the run's rung names; 0 = none */
	bool is_counted; /* not warm-up */
	bool is_ended;
};

const char *outcome_text(enum replay_outcome outcome);
/* "OK", "REFUSED", ... */
const char *outcome_name(enum replay_outcome outcome);
enum outcome_kind outcome_kind(enum replay_outcome outcome);

#endif
