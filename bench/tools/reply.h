/* Reads one HTTP answer as it comes and holds it against what the stub makes. Used by load.c alone. */
#ifndef PENSTOCK_BENCH_REPLY_H
#define PENSTOCK_BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answers.h"
#include "base/histogram.h"

enum reply_state {
	REPLY_OPEN,
	REPLY_COMPLETE,
	REPLY_BAD, /* why: reply.fault */
};

/* What is expected, and where the times go. */
struct reply_plan {
	const struct answers *answers;
	bool is_stream, has_usage;
	bool is_exact;                                      /* else only the status and the framing count */
	struct histogram relay, first_event, first_content; /* first_event is the role's */
	uint64_t events, comments;
};

struct reply {
	enum { REPLY_HEAD, REPLY_SIZE, REPLY_DATA, REPLY_DATA_END, REPLY_TRAILER, REPLY_LENGTH } place;
	int status;
	bool is_chunked, will_close;
	uint64_t left;       /* of the body, or of this chunk */
	uint32_t next_event; /* of a stream */
	size_t body_bytes;   /* of another answer, so far */
	uint64_t asked_ns;
	const char *fault; /* static */
	/* A head, a line of the framing, or an event that isn't whole yet. */
	char *held; /* owned, kept from one answer to the next */
	size_t held_bytes, held_capacity;
	char *text; /* owned: the part of an event */
	size_t text_bytes, text_capacity;
};

/* Gets ready for the next answer; the buffers stay. asked_ns: since when its first event is waited for. */
void reply_begin(struct reply *reply, uint64_t asked_ns);
void reply_fini(struct reply *reply);
/* Takes what was read at now. */
enum reply_state reply_take(struct reply *reply, struct reply_plan *plan, const char *bytes, size_t count,
                            uint64_t now);

#endif
