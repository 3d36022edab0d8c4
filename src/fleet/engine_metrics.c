#include "fleet/engine_metrics.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

/* Longest number that is read; Prometheus writes at most 24 characters. */
#define NUMBER_BYTES 40

static const struct {
	const char *name;
	size_t offset;
	bool is_largest; /* over the labels; else their sum */
} rows[] = {
	{ "vllm:num_requests_running", offsetof(struct engine_metrics, running), false },
	{ "vllm:num_requests_waiting", offsetof(struct engine_metrics, waiting), false },
	{ "vllm:kv_cache_usage_perc", offsetof(struct engine_metrics, cells_used), true },
	{ "vllm:gpu_cache_usage_perc", offsetof(struct engine_metrics, cells_used), true }, /* before 0.9 */
	{ "sglang:num_running_reqs", offsetof(struct engine_metrics, running), false },
	{ "sglang:num_queue_reqs", offsetof(struct engine_metrics, waiting), false },
	{ "sglang:token_usage", offsetof(struct engine_metrics, cells_used), true },
	{ "llamacpp:requests_processing", offsetof(struct engine_metrics, running), false },
	{ "llamacpp:requests_deferred", offsetof(struct engine_metrics, waiting), false },
};

/* name{labels} value [timestamp]. Labels may hold any byte but a line end, a brace inside quotes included. */
static bool cut_sample(struct span line, struct span *name, struct span *value)
{
	size_t end = 0;
	while (end < line.len && line.at[end] != '{' && line.at[end] != ' ')
		end++;
	*name = (struct span){ line.at, end };
	if (end < line.len && line.at[end] == '{') {
		bool is_quoted = false;
		for (end++; end < line.len && (is_quoted || line.at[end] != '}'); end++) {
			if (line.at[end] == '\\' && is_quoted)
				end++;
			else if (line.at[end] == '"')
				is_quoted = !is_quoted;
		}
		end++;
	}
	if (end >= line.len)
		return false;
	*value = span_trim((struct span){ line.at + end, line.len - end });
	value->len = span_find(*value, ' ');
	return name->len && value->len;
}

static bool read_number(struct span text, double *out)
{
	char copy[NUMBER_BYTES];
	char *end;
	if (text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	*out = strtod(copy, &end);
	return *end == '\0' && isfinite(*out) && *out >= 0;
}

static bool take_line(struct span line, struct engine_metrics *out)
{
	struct span name;
	struct span value;
	double number;
	if (line.len == 0 || line.at[0] == '#' || !cut_sample(line, &name, &value) || !read_number(value, &number))
		return false;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!span_is(name, rows[i].name))
			continue;
		double *field = (double *)(void *)((char *)out + rows[i].offset);
		if (*field < 0)
			*field = number;
		else
			*field = rows[i].is_largest ? fmax(*field, number) : *field + number;
		return true;
	}
	return false;
}

bool engine_metrics_read(struct span text, struct engine_metrics *out)
{
	bool has_any = false;
	*out = (struct engine_metrics){ -1, -1, -1 };
	while (text.len) {
		size_t end = span_find(text, '\n');
		has_any |= take_line((struct span){ text.at, end }, out);
		size_t gone = end < text.len ? end + 1 : end;
		text = (struct span){ text.at + gone, text.len - gone };
	}
	return has_any;
}
