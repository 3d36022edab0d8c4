/* A request's conversation with a replica: one attempt after another, each sent once, read as events, kept until the client has room. The stages forward and
 * relay share it.
 *
 * What is sent and what its answers mean differs by dialect: our own engine's, OpenAI's, Anthropic's. Each is a row of functions in a file of its own. */
#ifndef PENSTOCK_STAGES_UPSTREAM_H
#define PENSTOCK_STAGES_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/json.h"
#include "http/http_client.h"
#include "http/sse.h"
#include "observe/trace.h"
#include "policy/health.h"

struct request;
struct upstream;

struct dialect {
	/* Fills upstream->head and ->sent: what goes out. */
	void (*write_request)(struct request *request);
	/* Takes one event of a 200's stream: notes what it says, and appends what is the client's to upstream->out. */
	void (*take_event)(struct request *request, const struct sse_event *event);
	/* A 200's whole body is in upstream->out: notes what it says, may rewrite it. NULL: whole bodies come as events, too. */
	void (*take_whole)(struct request *request);
	/* The stream came to an end by its framing; NULL: only what take_event noted counts. */
	void (*take_end)(struct request *request);
	/* The body of what is no 200 is in upstream->refusal: may bring it into OpenAI's shape. NULL: it has it. */
	void (*take_refusal)(struct request *request);
};

extern const struct dialect dialect_engine;    /* dialect_engine.c */
extern const struct dialect dialect_openai;    /* dialect_openai.c */
extern const struct dialect dialect_anthropic; /* dialect_anthropic.c */

struct upstream {
	const struct dialect *dialect;
	struct http_call *call;   /* NULL before, and after its end */
	struct bytes head;        /* of our request; the call borrows it */
	struct http_request sent; /* spans of head, the client's body and splices */
	struct bytes splices;     /* what was put between the client's bytes, or a body of our own */
	unsigned attempts;        /* begun */
	bool is_started;          /* the current attempt */
	/* Of the current attempt's answer. */
	int status;     /* 0 = no head yet */
	bool is_events; /* text/event-stream */
	bool is_other;  /* a content type or encoding that is no answer */
	struct sse sse;
	struct json json;       /* of the event that is looked at */
	struct bytes out;       /* for the client: events as they came, or the whole body */
	struct bytes refusal;   /* what it said instead: a body that is no 200's, or an error event's data */
	int64_t retry_after_ns; /* as it asked for; 0 = it did not */
	bool has_content;       /* an event of the answer has come */
	bool has_first_token;   /* the engine said so, or content did */
	bool has_finish_reason;
	bool is_done; /* the answer came to its own end */
	bool has_error_event;
	enum failure error_failure; /* what the event says: FAILURE_SERVER, unless the dialect knows better */
	bool is_broken;             /* what came is no answer */
	bool has_ended;             /* the call is over; error says how */
	enum error error;
	enum failure failure;  /* why the last attempt failed */
	uint32_t events;       /* content events so far: about a token each */
	int64_t prompt_tokens; /* exact; -1 = not told; so the next two */
	int64_t cached_tokens;
	int64_t output_tokens;
	struct trace_engine engine;
	void *state; /* the dialect's own, for the attempt; in the request's arena */
};

void upstream_init(struct upstream *upstream);
/* Cancels what still runs and frees everything. */
void upstream_fini(struct upstream *upstream);
/* Begins an attempt at the request's replica; from then on the request is woken (WAKE_READY) whenever something has changed. ERROR_MEMORY. */
enum error upstream_start(struct request *request);
/* Ends the current attempt; what it said stays to be looked at until the next one. */
void upstream_abandon(struct upstream *upstream);
/* Why the current attempt can't bring an answer; FAILURE_NONE while it still can, or when the answer is the client's fault. */
enum failure upstream_failure(const struct upstream *upstream);

/* ---- for the dialects ---- */

/* Content came: the first is the first token. */
void upstream_note_content(struct request *request);
/* The first token is on its way, though nothing for the client is here yet. */
/* The client gets its first token now: with the engine's first, or when what was held back is let go. */
void upstream_note_client_token(struct request *request);
void upstream_note_first_token(struct request *request);
/* The event says that the answer failed (as a failure of the server; error_failure may be set behind it); its data is kept. */
void upstream_note_error(struct request *request, struct span data);
/* The integer member of that name; -1 when there is none. */
int64_t upstream_number(const struct json *json, uint32_t node, const char *name);
/* The client's headers that the pool passes on (upstream.forward_headers). */
void upstream_write_forwarded(const struct request *request, struct bytes *head);

#endif
