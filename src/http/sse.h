/* Server-sent events, framed incrementally: any split of the bytes over reads gives the same events.
 *
 * The framer never changes bytes; it says where events end and what their fields are, so that a relay passes them on as they came.
 * Follows the WHATWG event stream grammar: LF, CR or CRLF line ends, a BOM at the start, comments. An event ends with its whole
 * blank line, CRLF included; only where the line before ended in a CR alone is a CR enough, and a stray LF goes to the next event. */
#ifndef PENSTOCK_HTTP_SSE_H
#define PENSTOCK_HTTP_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

/* All fields are the framer's own. */
struct sse {
	struct bytes raw;  /* the bytes of the unfinished event, as they came */
	struct bytes data; /* data lines of a finished event, joined by LF; used only when there are several */
	size_t limit;      /* bytes one event may have */
	size_t
		content; /* where the event's first line starts in raw: behind a BOM, or an LF that belongs to the event before */
	size_t line_start; /* where the unfinished line starts in raw */
	bool started;      /* an event ended already: no BOM is due */
	bool cr_pending;   /* raw ends in a CR that ended a line; an LF may follow */
	bool cr_alone;     /* the line before ended in a CR alone */
	bool lf_due;       /* the event before ended in a CR alone: an LF may follow */
	bool completed;    /* raw holds a finished event, handed out by the call before */
	bool failed;       /* an event was over the limit */
};

/* One event; spans are valid until the next call on the same framer. */
struct sse_event {
	struct span raw;  /* every byte of it, the blank line included: what a relay writes */
	struct span name; /* the "event:" field; empty = message */
	struct span data; /* empty for an event of comments only */
	bool is_comment;  /* no data and no event field: comments, an id, or a blank line more than needed */
};

/* limit_bytes: an event over it ends the stream with ERROR_LIMIT. */
void sse_init(struct sse *sse, size_t limit_bytes);
void sse_fini(struct sse *sse);
/* Takes bytes from (*data, *len), moving both on, until an event is complete (returns OK and *complete = true; call again with the
 * rest) or all are taken (*complete = false). ERROR_LIMIT, ERROR_MEMORY: the stream is over, later calls fail alike. */
enum error sse_feed(struct sse *sse, const char **data, size_t *len, bool *complete, struct sse_event *event);
/* Bytes of an event that has begun and not ended: not 0 at the end of a stream means that it was cut. A stray line end counts 0. */
size_t sse_pending(const struct sse *sse);

#endif
