#include "why/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"

#define DEPTH_MAX 8
#define TIME_BYTES 20
#define MS_MAX 1e12
#define COUNT_MAX 1e9

void records_fini(struct records *records)
{
	free(records->items);
	free(records->texts);
	arena_fini(&records->arena);
	*records = (struct records){ 0 };
}

const char *records_text(struct records *records, struct span text)
{
	for (size_t i = records->text_count; i > 0; i--) {
		if (span_is(text, records->texts[i - 1]))
			return records->texts[i - 1];
	}
	if (records->text_count == records->text_capacity) {
		size_t capacity = records->text_capacity ? 2 * records->text_capacity : 64;
		const char **texts = realloc(records->texts, capacity * sizeof(*texts));
		if (!texts)
			return NULL;
		records->texts = texts;
		records->text_capacity = capacity;
	}
	const char *copy = arena_copy_text(&records->arena, text);
	if (copy)
		records->texts[records->text_count++] = copy;
	return copy;
}

static double number_of(const struct json *json, uint32_t node, const char *name, double otherwise)
{
	double value;
	uint32_t found = json_get(json, node, name);
	return found != JSON_NONE && json_double(json, found, &value) == OK ? value : otherwise;
}

/* Bounded: a log may be anybody's. A time of a thousand years is none. */
static float ms_of(const struct json *json, uint32_t node, const char *name, double otherwise)
{
	return (float)fmin(fmax(number_of(json, node, name, otherwise), -1), MS_MAX);
}

static int count_of(const struct json *json, const char *name, int otherwise)
{
	return (int)fmin(fmax(number_of(json, JSON_ROOT, name, otherwise), -1), COUNT_MAX);
}

static bool is_true(const struct json *json, const char *name)
{
	uint32_t found = json_get(json, JSON_ROOT, name);
	return found != JSON_NONE && json_type(json, found) == JSON_TRUE;
}

/* Log texts need no decoding to be compared; what has escapes stays as it is written. */
static struct span raw_text(const struct json *json, const char *name)
{
	uint32_t found = json_get(json, JSON_ROOT, name);
	if (found == JSON_NONE || json_type(json, found) != JSON_STRING)
		return (struct span){ 0 };
	struct span raw = json_raw(json, found);
	return (struct span){ raw.at + 1, raw.len - 2 };
}

static bool read_text(struct records *records, const struct json *json, const char *name, const char **out)
{
	struct span text = raw_text(json, name);
	*out = text.len ? records_text(records, text) : "";
	return *out != NULL;
}

/* 2026-11-25T13:40:09.776Z */
static bool read_time(struct span text, double *out_ms)
{
	char copy[TIME_BYTES];
	struct tm parts = { 0 };
	if (text.len < TIME_BYTES - 1)
		return false;
	memcpy(copy, text.at, TIME_BYTES - 1);
	copy[TIME_BYTES - 1] = '\0';
	const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &parts);
	if (!end || *end)
		return false;
	*out_ms = (double)timegm(&parts) * 1000;
	double unit = 100;
	for (size_t i = TIME_BYTES;
	     text.at[TIME_BYTES - 1] == '.' && i < text.len && text.at[i] >= '0' && text.at[i] <= '9'; i++) {
		*out_ms += (text.at[i] - '0') * unit;
		unit /= 10;
	}
	return true;
}

static bool read_stages(struct records *records, const struct json *json, struct record *record)
{
	uint32_t stages = json_get(json, JSON_ROOT, "stages_ms");
	if (stages == JSON_NONE || json_type(json, stages) != JSON_OBJECT)
		return false;
	for (uint32_t key = json_first(json, stages); key != JSON_NONE;) {
		uint32_t value = json_next(json, stages, key);
		struct span raw = json_raw(json, key);
		struct span name = { raw.at + 1, raw.len - 2 };
		double ms;
		size_t i = 0;
		while (i < records->stage_count && !span_is(name, records->stages[i]))
			i++;
		if (i == records->stage_count && i < RECORD_STAGES_MAX) {
			const char *text = records_text(records, name);
			if (!text)
				return false;
			records->stages[records->stage_count++] = text;
		}
		if (i < RECORD_STAGES_MAX && json_double(json, value, &ms) == OK)
			record->stages_ms[i] = (float)fmin(fmax(ms, 0), MS_MAX);
		key = json_next(json, stages, value);
	}
	return true;
}

static void read_engine(const struct json *json, struct record *record)
{
	uint32_t engine = json_get(json, JSON_ROOT, "engine");
	if (engine == JSON_NONE || json_type(json, engine) != JSON_OBJECT)
		return;
	record->has_engine = true;
	record->tokenize_ms = ms_of(json, engine, "tokenize_ms", 0);
	record->engine_queue_ms = ms_of(json, engine, "queue_ms", 0);
	record->prefill_ms = ms_of(json, engine, "prefill_ms", 0);
	record->decode_ms = ms_of(json, engine, "decode_ms", 0);
}

static bool read_record(struct records *records, const struct json *json, struct record *record)
{
	*record = (struct record){
		.total_ms = ms_of(json, JSON_ROOT, "total_ms", -1),
		.first_token_ms = ms_of(json, JSON_ROOT, "first_token_ms", -1),
		.paused_ms = ms_of(json, JSON_ROOT, "paused_ms", 0),
		.retry_after_ms = ms_of(json, JSON_ROOT, "retry_after_ms", -1),
		.status = count_of(json, "status", 0),
		.attempts = count_of(json, "attempts", 1),
		.prompt_tokens = count_of(json, "prompt_tokens", -1),
		.cached_tokens = count_of(json, "cached_tokens", 0),
		.output_tokens = count_of(json, "output_tokens", -1),
		.streamed = is_true(json, "streamed"),
		.repeat = is_true(json, "repeat"),
	};
	struct span id = raw_text(json, "request");
	record->id = arena_copy_text(&records->arena, id.len ? id : SPAN(""));
	bool is_good = record->id && record->total_ms >= 0 && read_time(raw_text(json, "time"), &record->begin_ms);
	is_good =
		is_good && read_text(records, json, "route", &record->route) && read_text(records, json, "pool", &record->pool);
	is_good = is_good && read_text(records, json, "replica", &record->replica) &&
	          read_text(records, json, "rung", &record->rung);
	is_good = is_good && read_text(records, json, "outcome", &record->outcome) && *record->outcome;
	read_engine(json, record);
	return is_good && read_stages(records, json, record);
}

enum error records_add_line(struct records *records, struct span line)
{
	struct json json = { 0 };
	struct record record;
	if (!span_trim(line).len)
		return OK;
	if (records->count == records->capacity) {
		size_t capacity = records->capacity ? 2 * records->capacity : 256;
		struct record *items = realloc(records->items, capacity * sizeof(*items));
		if (!items)
			return ERROR_MEMORY;
		records->items = items;
		records->capacity = capacity;
	}
	enum error error = json_parse(&json, line.at, line.len, DEPTH_MAX, NULL);
	if (error == OK && json_type(&json, JSON_ROOT) == JSON_OBJECT && read_record(records, &json, &record))
		records->items[records->count++] = record;
	else
		records->skipped++;
	json_fini(&json);
	return error == ERROR_MEMORY ? error : OK;
}

enum error records_add_text(struct records *records, struct span text)
{
	enum error error = OK;
	while (text.len && !error) {
		size_t end = span_find(text, '\n');
		error = records_add_line(records, (struct span){ text.at, end });
		size_t gone = end < text.len ? end + 1 : end;
		text = (struct span){ text.at + gone, text.len - gone };
	}
	return error;
}

static int by_begin(const void *a, const void *b)
{
	const struct record *first = a;
	const struct record *second = b;
	return (first->begin_ms > second->begin_ms) - (first->begin_ms < second->begin_ms);
}

void records_sort(struct records *records, double since_ms)
{
	double last_ms = 0;
	size_t kept = 0;
	for (size_t i = 0; i < records->count; i++) {
		double end_ms = records->items[i].begin_ms + (double)records->items[i].total_ms;
		last_ms = end_ms > last_ms ? end_ms : last_ms;
	}
	for (size_t i = 0; i < records->count; i++) {
		double end_ms = records->items[i].begin_ms + (double)records->items[i].total_ms;
		if (since_ms <= 0 || end_ms >= last_ms - since_ms)
			records->items[kept++] = records->items[i];
	}
	records->count = kept;
	if (kept)
		qsort(records->items, kept, sizeof(*records->items), by_begin);
}

size_t records_stage(const struct records *records, const char *name)
{
	for (size_t i = 0; i < records->stage_count; i++) {
		if (strcmp(records->stages[i], name) == 0)
			return i;
	}
	return RECORD_STAGES_MAX;
}
