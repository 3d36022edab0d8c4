#include "replay/read_jsonl.h"

#include <math.h>

#define DEPTH_MAX 8
#define TIME_NS_MAX (100.0 * 366 * 86400e9)

enum error jsonl_read(struct lines *lines, jsonl_row *row, const void *context, struct workload *workload)
{
	struct json json = { 0 };
	struct span line;
	enum error error = OK;
	while (!error && lines_next(lines, &line)) {
		if (span_trim(line).len == 0)
			continue;
		workload->read_rows++;
		enum error syntax = json_parse(&json, line.at, line.len, DEPTH_MAX, NULL);
		if (syntax == ERROR_MEMORY)
			error = syntax;
		else if (syntax || json_type(&json, JSON_ROOT) != JSON_OBJECT)
			workload_drop(workload, DROP_SYNTAX);
		else
			error = row(&json, context, workload);
	}
	json_fini(&json);
	return error;
}

bool jsonl_has(struct span line, const char *const *names)
{
	struct json json = { 0 };
	bool has = json_parse(&json, line.at, line.len, DEPTH_MAX, NULL) == OK;
	for (; has && *names; names++)
		has = json_get(&json, JSON_ROOT, *names) != JSON_NONE;
	json_fini(&json);
	return has;
}

bool jsonl_count(const struct json *json, uint32_t node, const char *name, uint32_t *out)
{
	const uint32_t value = json_get(json, node, name);
	double number;
	if (value == JSON_NONE || json_double(json, value, &number) || number < 0 || number > 1e8)
		return false;
	*out = (uint32_t)number;
	return true;
}

bool jsonl_time(const struct json *json, const char *name, double unit_ns, int64_t *out_ns)
{
	const uint32_t value = json_get(json, JSON_ROOT, name);
	double number;
	if (value == JSON_NONE || json_double(json, value, &number) || fabs(number * unit_ns) > TIME_NS_MAX)
		return false;
	*out_ns = llround(number * unit_ns);
	return true;
}

struct span jsonl_text(const struct json *json, const char *name)
{
	const uint32_t value = json_get(json, JSON_ROOT, name);
	if (value == JSON_NONE || json_type(json, value) != JSON_STRING)
		return (struct span){ 0 };
	const struct span raw = json_raw(json, value);
	return (struct span){ raw.at + 1, raw.len - 2 };
}
