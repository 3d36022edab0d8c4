/* Finished requests as the access log and GET /requests?last=N tell them, read into numbers. */
#ifndef PENSTOCK_WHY_RECORD_H
#define PENSTOCK_WHY_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

/* Further stages of a log are left out; names that no stage of this version has are kept. */
#define RECORD_STAGES_MAX 24

/* Times in ms; -1 where the log does not tell. Texts are shared: equal ones have the same address. */
struct record {
	double begin_ms; /* since 1970 */
	float total_ms;
	float first_token_ms;
	float paused_ms; /* the client did not read */
	float retry_after_ms;
	float stages_ms[RECORD_STAGES_MAX];
	bool has_engine; /* and so the next four */
	float tokenize_ms;
	float engine_queue_ms;
	float prefill_ms;
	float decode_ms;
	int status;
	int attempts;
	int prompt_tokens;
	int cached_tokens;
	int output_tokens;
	bool streamed;
	bool repeat;
	const char *id; /* "" where the log does not tell; so the next ones */
	const char *route;
	const char *pool;
	const char *replica;
	const char *outcome;
	const char *rung;
};

struct records {
	struct record *items; /* owned; in the order of their lines, sorted by records_sort */
	size_t count;
	size_t capacity;
	size_t skipped; /* lines that are no records */
	const char *stages[RECORD_STAGES_MAX];
	size_t stage_count;
	struct arena arena;
	const char **texts; /* owned: those that are shared */
	size_t text_count;
	size_t text_capacity;
};

/* Zeroed memory is an empty set. */
void records_fini(struct records *records);
/* A line of the access log; one of another kind is counted in .skipped. ERROR_MEMORY. */
enum error records_add_line(struct records *records, struct span line);
/* Every line of a text. ERROR_MEMORY. */
enum error records_add_text(struct records *records, struct span text);
/* Orders them by their begin, and forgets those that ended more than since_ms before the last one's end; 0 keeps all. */
void records_sort(struct records *records, double since_ms);
/* The number of a stage, or RECORD_STAGES_MAX where no record has it. */
size_t records_stage(const struct records *records, const char *name);
/* One text for all equal ones; NULL when memory is full. */
const char *records_text(struct records *records, struct span text);

#endif
