/* One client request: what each stage has found out, in the stages' order. A field is written by the stage it stands under (and read by later
 * ones), unless a comment says otherwise. Belongs to its loop's thread. */
#ifndef PENSTOCK_STAGES_REQUEST_H
#define PENSTOCK_STAGES_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "config/config.h"
#include "http/http_server.h"
#include "io/loop.h"
#include "observe/trace.h"
#include "policy/control.h"
#include "stages/trim.h"
#include "stages/upstream.h"

struct prefix_blocks;
struct services;

enum stage {
#define STAGE(name, waits_for, may_answer) STAGE_##name,
#include "stages/stages.def"
#undef STAGE
	STAGE_COUNT
};

enum outcome {
#define OUTCOME(name, status, code, retry, account, message) OUTCOME_##name,
#include "stages/outcomes.def"
#undef OUTCOME
	OUTCOME_COUNT
};

/* Why a waiting stage is entered again; a set, they can coincide. */
enum wake {
	WAKE_READY = 1,     /* what it waited for */
	WAKE_TIMEOUT = 2,   /* its deadline */
	WAKE_CANCELLED = 4, /* the client left */
	WAKE_SHUTDOWN = 8   /* the drain is over */
};

enum endpoint { ENDPOINT_CHAT, ENDPOINT_COMPLETION, ENDPOINT_EMBEDDING, ENDPOINT_MODELS };

struct request {
	/* The pipeline's. */
	struct services *services; /* borrowed: the loop's */
	uint64_t ref;              /* names it across threads */
	enum stage stage;
	unsigned wakes;           /* set of enum wake, not yet seen by the stage */
	unsigned woken;           /* those the stage was entered with */
	bool is_running;          /* a stage is on the stack */
	unsigned delayed;         /* test builds: set of stages whose delay has begun */
	int64_t delayed_until_ns; /* test builds: the end of the current one */
	int64_t stage_since_ns;
	int64_t stage_ns[STAGE_COUNT]; /* spent so far, but for the current one's */
	struct timer timer;            /* the waiting stage's deadline */
	bool has_deadline;             /* the stage has set it since it was entered */
	struct timer keep_alive;       /* the next comment on a stream that waits for its first token */
	struct arena arena;
	struct config *config; /* a reference of its own: a reload does not change it under way */
	struct trace_handle trace;
	int64_t begin_ns;

	/* head */
	struct http_exchange *exchange; /* NULL once ended */
	struct span id;
	struct span trace_id;    /* 32 hex digits, ours or the client's */
	struct span traceparent; /* what goes upstream: the trace, with a span of ours */
	enum endpoint endpoint;

	/* authenticate */
	const struct key_config *key; /* NULL: nobody needs one */

	/* parse */
	struct api_request api;

	/* shape */
	uint32_t prompt_tokens_estimate;
	uint32_t output_tokens_max;  /* 0 = not capped here */
	uint32_t output_tokens_high; /* nine of ten of the route's answers are shorter */
	uint32_t output_tokens_expected;
	bool is_repeat;   /* the client asks again what failed */
	uint32_t rung;    /* of its route's ladder */
	struct trim trim; /* what is not passed on */

	/* route */
	const struct route_config *route;
	uint32_t route_label;         /* index in the metrics' route domain; 0 = none */
	uint32_t pool;                /* index in config->pools */
	struct prefix_blocks *blocks; /* of its prompt, in the arena; NULL where no replica is chosen by them */

	/* admit, dispatch (written when control's order comes) */
	struct order order;
	uint32_t ticket;           /* CONTROL_TICKET_NONE while it has none */
	int64_t predicted_ns;      /* time to first token, as expected; -1 = none was made */
	int64_t predicted_wait_ns; /* of it, until it is sent; -1 = none was made */
	int64_t deadline_ns;       /* of the first token */
	bool is_dispatched;
	int64_t dispatched_ns; /* first */
	bool is_new_unit;      /* finish: a cost is counted by */
	bool has_checks;       /* its answer is held back until it has passed them */
	uint32_t replica;

	/* forward, relay */
	struct upstream upstream;
	int64_t first_token_ns;   /* from begin; -1 = none came */
	const char *failed_check; /* of its promise; "" = it could not be looked at; NULL = none */
	bool is_paused;           /* upstream is not read, because the client does not read */
	int64_t paused_since_ns;
	int64_t paused_ns; /* so far, but for the current pause */
	uint64_t client_bytes;

	/* whoever answers */
	enum outcome outcome;
	int status;             /* 0 = nothing was answered */
	int64_t retry_after_ns; /* as told to the client; -1 = it was not */
};

/* What differs between the endpoints that reach a model. */
struct endpoint_row {
	enum api_endpoint api;
	const char *path;  /* here and at the replica */
	const char *field; /* what its prompt stands in */
	bool has_output;   /* tokens are generated */
};

const struct endpoint_row *endpoint_row(enum endpoint endpoint);
/* The prompt as it stands in the body. */
struct span request_prompt(const struct request *request);

/* Registers a new request for an exchange. NULL when memory is full. */
struct request *request_new(struct services *services, struct http_exchange *exchange);
/* Ends its life: everything else must have been given back. */
void request_free(struct request *request);
/* The request of that name on this loop; NULL when it has ended. */
struct request *request_find(struct services *services, uint64_t ref);
/* The loop's time (monotonic ns): fresh when the request was woken and whenever a stage was entered. */
int64_t request_now_ns(const struct request *request);
/* Which loop a name belongs to. */
unsigned request_ref_loop(uint64_t ref);

const char *stage_text(enum stage stage);
/* All stages' names, and all outcomes': label values. Static. */
const char *const *stage_texts(void);
const char *const *outcome_texts(void);

#endif
