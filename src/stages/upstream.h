/* A request's conversation with a replica: sent once, read as events, kept until the client has room. The stages forward and relay share it.
 *
 * The built-in engine always answers in server-sent events: a stream's chunks as they are, or a whole answer as one event. */
#ifndef PENSTOCK_STAGES_UPSTREAM_H
#define PENSTOCK_STAGES_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "http/http_client.h"
#include "http/sse.h"
#include "observe/trace.h"

struct request;

struct upstream {
	struct http_call *call; /* NULL before, and after its end */
	struct bytes head;      /* of our request; the call borrows it */
	bool is_started;
	int status;     /* of the answer; 0 = no head yet */
	bool is_events; /* text/event-stream */
	struct sse sse;
	struct bytes out;     /* for the client: events as they came, or the whole body */
	bool has_content;     /* an event of the answer has come */
	bool has_first_token; /* the engine said so, or content did */
	bool is_done;         /* the answer came to its own end */
	bool has_error_event;
	bool has_ended; /* the call is over; error says how */
	enum error error;
	uint32_t events;       /* content events so far: about a token each */
	int64_t prompt_tokens; /* exact; -1 = not told; so the next two */
	int64_t cached_tokens;
	int64_t output_tokens;
	struct trace_engine engine;
};

void upstream_init(struct upstream *upstream);
/* Cancels what still runs and frees everything. */
void upstream_fini(struct upstream *upstream);
/* Sends the request to its replica; from then on the request is woken (WAKE_READY) whenever something has changed. */
enum error upstream_start(struct request *request);

#endif
