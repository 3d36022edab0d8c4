/* Mooncake's traces: prompts as lists of blocks of 512 tokens, equal ids meaning equal text. */
#include "base/clock.h"
#include "replay/read_jsonl.h"

/* FAST'25 release: "hash_ids: one id per 512-token prefix block". */
#define BLOCK_TOKENS 512

bool mooncake_looks(struct span first_line)
{
	static const char *const names[] = { "timestamp", "input_length", "output_length", NULL };
	return jsonl_has(first_line, names);
}

/* The blocks of a row, up to its length: the last one may be partly filled. */
static enum error add_blocks(const struct json *json, uint32_t tokens, struct workload *workload)
{
	const uint32_t ids = json_get(json, JSON_ROOT, "hash_ids");
	if (ids == JSON_NONE || json_type(json, ids) != JSON_ARRAY)
		return OK;
	enum error error = OK;
	for (uint32_t node = json_first(json, ids); node != JSON_NONE && tokens && !error;
	     node = json_next(json, ids, node)) {
		int64_t id;
		if (json_int64(json, node, &id))
			break;
		const uint32_t size = tokens < BLOCK_TOKENS ? tokens : BLOCK_TOKENS;
		error = workload_add_piece(workload, (uint64_t)id, size);
		tokens -= size;
	}
	return error;
}

static enum error mooncake_row(const struct json *json, const void *context, struct workload *workload)
{
	(void)context;
	struct workload_row row = { 0 };
	if (!jsonl_time(json, "timestamp", 1e6, &row.at_ns)) {
		workload_drop(workload, DROP_NO_TIME);
		return OK;
	}
	if (!jsonl_count(json, JSON_ROOT, "input_length", &row.prompt_tokens) ||
	    !jsonl_count(json, JSON_ROOT, "output_length", &row.output_tokens)) {
		workload_drop(workload, DROP_BAD_TOKENS);
		return OK;
	}
	enum error error = add_blocks(json, row.prompt_tokens, workload);
	return error ? error : workload_add(workload, row);
}

enum error mooncake_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                         struct bytes *fault)
{
	(void)fault;
	enum error error = jsonl_read(lines, mooncake_row, NULL, workload);
	if (error)
		return error;
	workload_sort(workload);
	workload_spread_grid(workload, settings->seed);
	return OK;
}
