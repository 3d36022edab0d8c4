/* The last requests of a loop, one record each: stages, events and times, while they run and after.
 *
 * A ring of fixed records; a new request takes the oldest one's place. Written by its loop, read by whoever looks up an id, under a lock that is
 * nearly always free. */
#ifndef PENSTOCK_OBSERVE_TRACE_H
#define PENSTOCK_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define TRACE_STAGES_MAX 24
#define TRACE_EVENTS_MAX 24
#define TRACE_ID_BYTES 128

enum trace_event_kind {
#define TRACE_EVENT(name, format) TRACE_##name,
#include "observe/events.def"
#undef TRACE_EVENT
	TRACE_EVENT_KINDS
};

/* What an engine told about its own part, ns; all 0 when it told nothing. */
struct trace_engine {
	bool known;
	int64_t tokenize_ns;
	int64_t queue_ns;
	int64_t prefill_ns;
	int64_t decode_ns;
};

/* Whatever is known about a request at its end; texts are borrowed for the call. */
struct trace_facts {
	struct span route;
	const char *pool; /* NULL = never got that far; so the next */
	const char *replica;
	const char *tenant;
	const char *outcome;
	struct span traceparent;
	int status; /* 0 = nothing was answered */
	bool streamed;
	bool is_repeat; /* its client asks again */
	const char *class;
	const char *rung;       /* of the degrade ladder; NULL = none */
	int64_t attempts;       /* at replicas; 0 = never got that far */
	int64_t retry_after_ns; /* told to a refused client; -1 = none was */
	int64_t paused_ns;      /* the client did not read */
	int64_t prompt_tokens;  /* -1 = unknown */
	int64_t cached_tokens;
	int64_t output_tokens;
	int64_t first_token_ns; /* from the first byte; -1 = none came */
	int64_t predicted_ns;   /* -1 = no prediction was made; so the next */
	int64_t predicted_wait_ns;
	struct trace_engine engine;
};

struct trace;

/* Names a record: stale ones (the ring came round) are ignored. */
struct trace_handle {
	uint32_t slot;
	uint32_t sequence; /* 0 = none */
};

/* stage_names: borrowed for the life of the trace, at most TRACE_STAGES_MAX. */
enum error trace_new(uint32_t capacity, const char *const *stage_names, uint32_t stage_count, struct trace **out);
void trace_free(struct trace **trace);

/* begin_ns monotonic, wall_ns for people. id is cut to TRACE_ID_BYTES - 1. */
struct trace_handle trace_begin(struct trace *trace, struct span id, int64_t begin_ns, int64_t wall_ns);
/* More than TRACE_EVENTS_MAX are counted, not kept. */
void trace_event(struct trace *trace, struct trace_handle handle, enum trace_event_kind kind, int64_t now_ns, int64_t a,
                 int64_t b);
/* Adds to the time of a stage. */
void trace_stage(struct trace *trace, struct trace_handle handle, uint32_t stage, int64_t spent_ns);
/* Closes the record, and appends its access log line (one JSON object) to *log_line. */
void trace_end(struct trace *trace, struct trace_handle handle, int64_t now_ns, const struct trace_facts *facts,
               struct bytes *log_line);
/* Time spent in a stage so far, ns; 0 for a stale handle. */
int64_t trace_stage_ns(struct trace *trace, struct trace_handle handle, uint32_t stage);
/* Appends the newest record of that id (cut as in trace_begin) as a JSON object; false when there is none. Any thread. */
bool trace_find(struct trace *trace, struct span id, struct bytes *out);
/* Writes the begin (wall time, ns) of every finished record, at most `most`; returns how many. Any thread. */
size_t trace_finished(struct trace *trace, int64_t *begins_ns, size_t most);
/* Appends the access log lines of the finished records that began at or after begin_ns (wall time), each with its line end, in no order. Any thread:
 * the lock is held for one record at a time. */
void trace_write_since(struct trace *trace, int64_t begin_ns, struct bytes *out);

#endif
