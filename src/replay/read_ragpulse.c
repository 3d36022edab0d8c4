/* RAGPulse: prompts put together from a system prompt, retrieved passages, web results, history and the question, each part with an id. How
 * long a part is stands in a table beside the trace (chunks.csv); without it the parts share the prompt evenly. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "replay/csv.h"
#include "replay/quantity.h"
#include "replay/read_jsonl.h"

/* In the order in which a prompt has them: what is stable comes first. */
static const char *const components[] = { "sys_prompt", "passages", "web_search", "history", "user_input" };

/* Sizes by id; a table of a trace has tens of thousands. */
struct chunk {
	uint64_t id; /* of component and number: the numbers alone needn't differ between components */
	uint32_t tokens;
};

struct chunks {
	struct chunk *list; /* owned, by id */
	size_t count;
	size_t capacity;
};

static uint64_t chunk_id(const char *component, uint64_t number)
{
	return workload_hash(span_of(component)) ^ (number * UINT64_C(0x9e3779b97f4a7c15));
}

static int by_id(const void *left, const void *right)
{
	const uint64_t a = ((const struct chunk *)left)->id;
	const uint64_t b = ((const struct chunk *)right)->id;
	return (a > b) - (a < b);
}

static enum error add_chunk(struct chunks *chunks, struct chunk chunk)
{
	if (chunks->count == chunks->capacity) {
		size_t capacity = chunks->capacity ? chunks->capacity * 2 : 1024;
		struct chunk *larger = realloc(chunks->list, capacity * sizeof(*larger));
		if (!larger)
			return ERROR_MEMORY;
		chunks->list = larger;
		chunks->capacity = capacity;
	}
	chunks->list[chunks->count++] = chunk;
	return OK;
}

/* component,id,token_length */
static enum error read_chunks(struct lines *lines, struct chunks *chunks)
{
	struct span line;
	struct span fields[CSV_FIELDS_MAX];
	if (!lines_next(lines, &line))
		return lines_status(lines);
	size_t count = csv_split(line, fields);
	const int component = csv_column(fields, count, "component");
	const int id = csv_column(fields, count, "id");
	const int tokens = csv_column(fields, count, "token_length");
	const int last = (int)max_ll(max_ll(component, id), tokens);
	if (component < 0 || id < 0 || tokens < 0)
		return ERROR_SYNTAX;
	enum error error = OK;
	while (!error && lines_next(lines, &line)) {
		uint64_t number;
		uint64_t length;
		char name[32];
		if ((int)csv_split(line, fields) <= last || fields[component].len >= sizeof(name) ||
		    span_to_u64(fields[id], UINT64_MAX, &number) || span_to_u64(fields[tokens], 100000000, &length))
			continue;
		memcpy(name, fields[component].at, fields[component].len);
		name[fields[component].len] = '\0';
		error = add_chunk(chunks, (struct chunk){ chunk_id(name, number), (uint32_t)length });
	}
	qsort(chunks->list, chunks->count, sizeof(*chunks->list), by_id);
	return error ? error : lines_status(lines);
}

/* chunks.csv[.gz] in the trace's folder, or what was named. */
static enum error load_chunks(const struct reader_settings *settings, struct chunks *chunks, struct bytes *fault)
{
	static const char *const names[] = { "chunks.csv", "chunks.csv.gz" };
	struct lines *lines = NULL;
	enum error error = settings->companion ? lines_open(settings->companion, &lines) : OK;
	if (error) {
		bytes_printf(fault, "%s can't be opened: %s", settings->companion, error_text(error));
		return error;
	}
	const char *slash = settings->path ? strrchr(settings->path, '/') : NULL;
	const int folder_len = slash ? (int)(slash - settings->path) + 1 : 0;
	for (size_t i = 0; !lines && settings->path && i < COUNT_OF(names); i++) {
		struct bytes path = { 0 };
		bytes_printf(&path, "%.*s%s", folder_len, settings->path, names[i]);
		if (lines_open(bytes_text(&path), &lines))
			lines = NULL;
		bytes_fini(&path);
	}
	error = lines ? read_chunks(lines, chunks) : OK;
	if (error)
		bytes_append_text(fault, "the table of its parts needs the columns component, id and token_length");
	lines_close(&lines);
	return error;
}

static uint32_t chunk_tokens(const struct chunks *chunks, uint64_t id)
{
	const struct chunk wanted = { .id = id };
	const struct chunk *found =
		chunks->count ? bsearch(&wanted, chunks->list, chunks->count, sizeof(wanted), by_id) : NULL;
	return found ? found->tokens : 0;
}

static uint32_t count_parts(const struct json *json)
{
	uint32_t count = 0;
	for (size_t i = 0; i < COUNT_OF(components); i++) {
		const uint32_t list = json_get(json, JSON_ROOT, components[i]);
		if (list != JSON_NONE && json_type(json, list) == JSON_ARRAY)
			count += json->nodes[list].count;
	}
	return count;
}

/* The parts of one component; *left is what the prompt still has room for. */
static enum error add_parts(const struct json *json, const char *component, const struct chunks *chunks, uint32_t even,
                            uint32_t *left, struct workload *workload)
{
	const uint32_t list = json_get(json, JSON_ROOT, component);
	if (list == JSON_NONE || json_type(json, list) != JSON_ARRAY)
		return OK;
	enum error error = OK;
	for (uint32_t node = json_first(json, list); node != JSON_NONE && *left && !error;
	     node = json_next(json, list, node)) {
		int64_t number;
		if (json_int64(json, node, &number))
			continue;
		const uint64_t id = chunk_id(component, (uint64_t)number);
		uint32_t tokens = chunk_tokens(chunks, id);
		tokens = (uint32_t)min_ll(tokens ? tokens : even, *left);
		*left -= tokens;
		error = workload_add_piece(workload, id, tokens);
	}
	return error;
}

static enum error ragpulse_row(const struct json *json, const void *context, struct workload *workload)
{
	const struct chunks *chunks = context;
	struct workload_row row = { 0 };
	if (!jsonl_time(json, "timestamp_s", 1e9, &row.at_ns)) {
		workload_drop(workload, DROP_NO_TIME);
		return OK;
	}
	if (!jsonl_count(json, JSON_ROOT, "input_length", &row.prompt_tokens) ||
	    !jsonl_count(json, JSON_ROOT, "output_length", &row.output_tokens)) {
		workload_drop(workload, DROP_BAD_TOKENS);
		return OK;
	}
	const uint32_t session = json_get(json, JSON_ROOT, "session");
	if (session != JSON_NONE && json_type(json, session) != JSON_NULL)
		row.session = workload_hash(json_raw(json, session));
	const uint32_t passages = json_get(json, JSON_ROOT, "passages");
	if (passages != JSON_NONE && json_type(json, passages) == JSON_ARRAY)
		row.passages = json->nodes[passages].count;
	const uint32_t parts = count_parts(json);
	const uint32_t even = parts ? (uint32_t)max_ll(row.prompt_tokens / parts, 1) : 0;
	uint32_t left = row.prompt_tokens;
	enum error error = OK;
	for (size_t i = 0; i < COUNT_OF(components) && !error; i++)
		error = add_parts(json, components[i], chunks, even, &left, workload);
	return error ? error : workload_add(workload, row);
}

bool ragpulse_looks(struct span first_line)
{
	static const char *const names[] = { "timestamp_s", "input_length", "output_length", NULL };
	return jsonl_has(first_line, names);
}

enum error ragpulse_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                         struct bytes *fault)
{
	struct chunks chunks = { 0 };
	enum error error = load_chunks(settings, &chunks, fault);
	if (!error && chunks.count == 0)
		workload_note(
			workload,
			"no table of the prompts' parts (chunks.csv) stands beside the trace: parts share a prompt evenly");
	if (!error)
		error = jsonl_read(lines, ragpulse_row, &chunks, workload);
	free(chunks.list);
	return error;
}
