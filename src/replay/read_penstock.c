/* Penstock's own access log, as src/observe/trace.c writes it: replays last night. Lines of the log that are no request's are counted as such;
 * a request whose sizes nobody learned (it was refused) takes those of another, so that the load that was offered is offered again. */
#include <stdlib.h>

#include "base/random.h"
#include "replay/quantity.h"
#include "replay/read_jsonl.h"

#define UNKNOWN UINT32_MAX

bool penstock_looks(struct span first_line)
{
	static const char *const log[] = { "time", "level", NULL };
	static const char *const request[] = { "time", "request", NULL };
	return jsonl_has(first_line, request) || jsonl_has(first_line, log);
}

static enum error penstock_row(const struct json *json, const void *context, struct workload *workload)
{
	(void)context;
	struct workload_row row = { .prompt_tokens = UNKNOWN, .output_tokens = UNKNOWN };
	uint32_t status = 0;
	if (json_get(json, JSON_ROOT, "request") == JSON_NONE || json_get(json, JSON_ROOT, "total_ms") == JSON_NONE) {
		workload_drop(workload, DROP_NOT_REQUEST);
		return OK;
	}
	if (quantity_timestamp(jsonl_text(json, "time"), &row.at_ns)) {
		workload_drop(workload, DROP_NO_TIME);
		return OK;
	}
	jsonl_count(json, JSON_ROOT, "status", &status);
	/* Over its quota or in a full house (429) a client was load all the same. */
	if (status >= 400 && status < 500 && status != 429) {
		workload_drop(workload, DROP_OWN_FAULT);
		return OK;
	}
	if (jsonl_text(json, "route").len == 0) {
		workload_drop(workload, DROP_NOT_CHAT);
		return OK;
	}
	jsonl_count(json, JSON_ROOT, "prompt_tokens", &row.prompt_tokens);
	jsonl_count(json, JSON_ROOT, "output_tokens", &row.output_tokens);
	enum error error = workload_label(workload, jsonl_text(json, "tenant"), &row.tenant);
	if (!error)
		error = workload_label(workload, jsonl_text(json, "class"), &row.class);
	return error ? error : workload_add(workload, row);
}

/* Rows of unknown size take that of a random row whose size is known. */
static void fill_unknown(struct workload *workload, uint64_t seed)
{
	struct random random;
	random_seed(&random, seed);
	size_t *known = calloc(workload->count + 1, sizeof(*known));
	size_t known_count = 0;
	uint64_t filled = 0;
	for (size_t i = 0; known && i < workload->count; i++) {
		if (workload->rows[i].prompt_tokens != UNKNOWN && workload->rows[i].output_tokens != UNKNOWN)
			known[known_count++] = i;
	}
	for (size_t i = 0; i < workload->count; i++) {
		struct workload_row *row = &workload->rows[i];
		if (row->prompt_tokens != UNKNOWN && row->output_tokens != UNKNOWN)
			continue;
		struct workload_row like = { .prompt_tokens = 1, .output_tokens = 1 };
		if (known_count)
			like = workload->rows[known[random_below(&random, known_count)]];
		row->prompt_tokens = row->prompt_tokens == UNKNOWN ? like.prompt_tokens : row->prompt_tokens;
		row->output_tokens = row->output_tokens == UNKNOWN ? like.output_tokens : row->output_tokens;
		filled++;
	}
	if (filled)
		workload_note(
			workload,
			"%llu requests of the log have no sizes (they were refused or cut): each took those of another one",
			(unsigned long long)filled);
	free(known);
}

enum error penstock_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                         struct bytes *fault)
{
	(void)fault;
	enum error error = jsonl_read(lines, penstock_row, NULL, workload);
	if (!error)
		fill_unknown(workload, settings->seed);
	return error;
}
