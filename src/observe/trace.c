#include "observe/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"

static const char *const formats[] = {
#define TRACE_EVENT(name, format) format,
#include "observe/events.def"
#undef TRACE_EVENT
};

static const char *const event_names[] = {
#define TRACE_EVENT(name, format) #name,
#include "observe/events.def"
#undef TRACE_EVENT
};

struct noted_event {
	int64_t at_ns; /* since the request's begin */
	int64_t a;
	int64_t b;
	uint8_t kind;
};

struct record {
	uint32_t sequence; /* 0 = never used */
	bool is_open;
	char id[TRACE_ID_BYTES];
	int64_t begin_ns;
	int64_t wall_ns;
	int64_t total_ns;
	int64_t stage_ns[TRACE_STAGES_MAX];
	struct noted_event events[TRACE_EVENTS_MAX];
	uint32_t event_count; /* noted ones, kept or not */
	struct bytes facts;   /* the part of the JSON that trace_end knows */
};

struct trace {
	time_t second; /* of second_text; guarded by lock, as the rest */
	char second_text[24];
	pthread_mutex_t lock;
	struct record *records; /* ring; pages of unused ones cost nothing */
	uint32_t capacity;
	uint32_t next;
	uint32_t sequence;
	const char *const *stage_names;
	uint32_t stage_count;
};

enum error trace_new(uint32_t capacity, const char *const *stage_names, uint32_t stage_count, struct trace **out)
{
	MUST(stage_count <= TRACE_STAGES_MAX);
	struct trace *trace = calloc(1, sizeof(*trace));
	if (!trace)
		return ERROR_MEMORY;
	pthread_mutex_init(&trace->lock, NULL);
	trace->records = calloc(capacity, sizeof(*trace->records));
	trace->capacity = capacity;
	trace->stage_names = stage_names;
	trace->stage_count = stage_count;
	enum error error = trace->records ? OK : ERROR_MEMORY;
	if (error)
		trace_free(&trace);
	*out = trace;
	return error;
}

void trace_free(struct trace **trace_slot)
{
	struct trace *trace = *trace_slot;
	if (!trace)
		return;
	*trace_slot = NULL;
	for (uint32_t i = 0; trace->records && i < trace->capacity; i++)
		bytes_fini(&trace->records[i].facts);
	free(trace->records);
	pthread_mutex_destroy(&trace->lock);
	free(trace);
}

/* NULL when the ring came round. The lock is held. */
static struct record *record_of(struct trace *trace, struct trace_handle handle)
{
	struct record *record = &trace->records[handle.slot];
	return handle.sequence && record->sequence == handle.sequence ? record : NULL;
}

struct trace_handle trace_begin(struct trace *trace, struct span id, int64_t begin_ns, int64_t wall_ns)
{
	pthread_mutex_lock(&trace->lock);
	struct trace_handle handle = { .slot = trace->next };
	struct record *record = &trace->records[trace->next];
	struct bytes facts = record->facts;
	bytes_clear(&facts);
	trace->next = (trace->next + 1) % trace->capacity;
	if (++trace->sequence == 0)
		trace->sequence = 1;
	handle.sequence = trace->sequence;
	memset(record, 0, sizeof(*record));
	record->facts = facts;
	record->sequence = handle.sequence;
	record->is_open = true;
	record->begin_ns = begin_ns;
	record->wall_ns = wall_ns;
	size_t len = id.len < sizeof(record->id) ? id.len : sizeof(record->id) - 1;
	memcpy(record->id, id.at ? id.at : "", len);
	record->id[len] = '\0';
	pthread_mutex_unlock(&trace->lock);
	return handle;
}

void trace_event(struct trace *trace, struct trace_handle handle, enum trace_event_kind kind, int64_t now_ns, int64_t a,
                 int64_t b)
{
	pthread_mutex_lock(&trace->lock);
	struct record *record = record_of(trace, handle);
	if (record) {
		if (record->event_count < TRACE_EVENTS_MAX)
			record->events[record->event_count] =
				(struct noted_event){ now_ns - record->begin_ns, a, b, (uint8_t)kind };
		record->event_count++;
	}
	pthread_mutex_unlock(&trace->lock);
}

void trace_stage(struct trace *trace, struct trace_handle handle, uint32_t stage, int64_t spent_ns)
{
	pthread_mutex_lock(&trace->lock);
	struct record *record = record_of(trace, handle);
	if (record && stage < trace->stage_count)
		record->stage_ns[stage] += spent_ns;
	pthread_mutex_unlock(&trace->lock);
}

int64_t trace_stage_ns(struct trace *trace, struct trace_handle handle, uint32_t stage)
{
	pthread_mutex_lock(&trace->lock);
	struct record *record = record_of(trace, handle);
	int64_t spent_ns = record && stage < trace->stage_count ? record->stage_ns[stage] : 0;
	pthread_mutex_unlock(&trace->lock);
	return spent_ns;
}

/* ---- writing ---- */

static void write_name(struct bytes *out, const char *name)
{
	bytes_append_literal(out, ",\"");
	bytes_append_text(out, name);
	bytes_append_literal(out, "\":");
}

static void write_text(struct bytes *out, const char *name, const char *text)
{
	if (!text)
		return;
	write_name(out, name);
	json_write_string(out, span_of(text));
}

static void write_span(struct bytes *out, const char *name, struct span text)
{
	if (!text.len)
		return;
	write_name(out, name);
	json_write_string(out, text);
}

static void write_count(struct bytes *out, const char *name, int64_t count)
{
	if (count < 0)
		return;
	write_name(out, name);
	bytes_append_number(out, count);
}

static void write_ms(struct bytes *out, const char *name, int64_t duration_ns)
{
	if (duration_ns < 0)
		return;
	write_name(out, name);
	bytes_append_ms(out, duration_ns);
}

static void write_facts(const struct trace_facts *facts, struct bytes *out)
{
	write_text(out, "outcome", facts->outcome);
	write_count(out, "status", facts->status);
	write_span(out, "route", facts->route);
	write_text(out, "pool", facts->pool);
	write_text(out, "replica", facts->replica);
	write_text(out, "tenant", facts->tenant);
	write_text(out, "class", facts->class);
	write_text(out, "rung", facts->rung);
	write_span(out, "traceparent", facts->traceparent);
	bytes_printf(out, ",\"streamed\":%s", facts->streamed ? "true" : "false");
	if (facts->is_repeat)
		bytes_append_literal(out, ",\"repeat\":true");
	if (facts->attempts > 1)
		write_count(out, "attempts", facts->attempts);
	write_ms(out, "retry_after_ms", facts->retry_after_ns);
	if (facts->paused_ns)
		write_ms(out, "paused_ms", facts->paused_ns);
	write_count(out, "prompt_tokens", facts->prompt_tokens);
	write_count(out, "cached_tokens", facts->cached_tokens);
	write_count(out, "output_tokens", facts->output_tokens);
	write_ms(out, "first_token_ms", facts->first_token_ns);
	write_ms(out, "predicted_first_token_ms", facts->predicted_ns);
	write_ms(out, "predicted_wait_ms", facts->predicted_wait_ns);
	if (facts->engine.known)
		bytes_printf(
			out, ",\"engine\":{\"tokenize_ms\":%.3f,\"queue_ms\":%.3f,\"prefill_ms\":%.3f,\"decode_ms\":%.3f}",
			(double)facts->engine.tokenize_ns / (double)NS_PER_MS, (double)facts->engine.queue_ns / (double)NS_PER_MS,
			(double)facts->engine.prefill_ns / (double)NS_PER_MS, (double)facts->engine.decode_ns / (double)NS_PER_MS);
}

/* The text of a second is made once: records of a busy loop share it. */
static void write_begin(struct trace *trace, const struct record *record, struct bytes *out)
{
	time_t second = (time_t)(record->wall_ns / NS_PER_S);
	if (second != trace->second) {
		struct tm parts;
		gmtime_r(&second, &parts);
		strftime(trace->second_text, sizeof(trace->second_text), "%Y-%m-%dT%H:%M:%S", &parts);
		trace->second = second;
	}
	int64_t ms = record->wall_ns / NS_PER_MS % 1000;
	const char digits[4] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10) };
	bytes_append_literal(out, "{\"time\":\"");
	bytes_append_text(out, trace->second_text);
	bytes_append(out, digits, sizeof(digits));
	bytes_append_literal(out, "Z\",\"request\":");
	json_write_string(out, span_of(record->id));
}

static void write_stages(const struct trace *trace, const struct record *record, struct bytes *out)
{
	const char *comma = "";
	bytes_append_text(out, ",\"stages_ms\":{");
	for (uint32_t i = 0; i < trace->stage_count; i++) {
		if (!record->stage_ns[i])
			continue;
		bytes_append_text(out, comma);
		bytes_append_byte(out, '"');
		bytes_append_text(out, trace->stage_names[i]);
		bytes_append_literal(out, "\":");
		bytes_append_ms(out, record->stage_ns[i]);
		comma = ",";
	}
	bytes_append_byte(out, '}');
}

static void write_events(const struct record *record, struct bytes *out)
{
	uint32_t kept = record->event_count < TRACE_EVENTS_MAX ? record->event_count : TRACE_EVENTS_MAX;
	bytes_append_text(out, ",\"events\":[");
	for (uint32_t i = 0; i < kept; i++) {
		const struct noted_event *event = &record->events[i];
		struct bytes text = { 0 };
		bytes_printf(out, "%s{\"at_ms\":%.3f,\"event\":\"%s\",\"text\":", i ? "," : "",
		             (double)event->at_ns / (double)NS_PER_MS, event_names[event->kind]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		/* Every format is a row of events.def with at most two %lld. */
		bytes_printf(&text, formats[event->kind], (long long)event->a, (long long)event->b);
#pragma GCC diagnostic pop
		json_write_string(out, bytes_span(&text));
		bytes_append_byte(out, '}');
		bytes_fini(&text);
	}
	bytes_append_byte(out, ']');
	if (record->event_count > kept)
		bytes_printf(out, ",\"events_dropped\":%u", record->event_count - kept);
}

/* The lock is held. */
static void write_line(struct trace *trace, const struct record *record, struct bytes *out)
{
	write_begin(trace, record, out);
	write_ms(out, "total_ms", record->total_ns);
	bytes_append_span(out, bytes_span(&record->facts));
	write_stages(trace, record, out);
	bytes_append_byte(out, '}');
}

void trace_end(struct trace *trace, struct trace_handle handle, int64_t now_ns, const struct trace_facts *facts,
               struct bytes *log_line)
{
	pthread_mutex_lock(&trace->lock);
	struct record *record = record_of(trace, handle);
	if (record) {
		record->is_open = false;
		record->total_ns = now_ns - record->begin_ns;
		write_facts(facts, &record->facts);
		write_line(trace, record, log_line);
	}
	pthread_mutex_unlock(&trace->lock);
}

bool trace_find(struct trace *trace, struct span id, struct bytes *out)
{
	struct record *found = NULL;
	if (id.len > TRACE_ID_BYTES - 1)
		id.len = TRACE_ID_BYTES - 1;
	pthread_mutex_lock(&trace->lock);
	for (uint32_t i = 0; i < trace->capacity; i++) {
		struct record *record = &trace->records[i];
		if (record->sequence && span_is(id, record->id) && (!found || record->sequence > found->sequence))
			found = record;
	}
	if (found) {
		int64_t total_ns = found->is_open ? clock_now_ns() - found->begin_ns : found->total_ns;
		write_begin(trace, found, out);
		bytes_printf(out, ",\"open\":%s", found->is_open ? "true" : "false");
		write_ms(out, "total_ms", total_ns);
		bytes_append_span(out, bytes_span(&found->facts));
		write_stages(trace, found, out);
		write_events(found, out);
		bytes_append_byte(out, '}');
	}
	pthread_mutex_unlock(&trace->lock);
	return found != NULL;
}

static bool is_finished(const struct record *record)
{
	return record->sequence && !record->is_open;
}

size_t trace_finished(struct trace *trace, int64_t *begins_ns, size_t most)
{
	size_t count = 0;
	pthread_mutex_lock(&trace->lock);
	for (uint32_t i = 0; i < trace->capacity && count < most; i++) {
		if (is_finished(&trace->records[i]))
			begins_ns[count++] = trace->records[i].wall_ns;
	}
	pthread_mutex_unlock(&trace->lock);
	return count;
}

void trace_write_since(struct trace *trace, int64_t begin_ns, struct bytes *out)
{
	for (uint32_t i = 0; i < trace->capacity; i++) {
		pthread_mutex_lock(&trace->lock);
		const struct record *record = &trace->records[i];
		if (is_finished(record) && record->wall_ns >= begin_ns) {
			write_line(trace, record, out);
			bytes_append_byte(out, '\n');
		}
		pthread_mutex_unlock(&trace->lock);
	}
}
