/* An embeddings request's way through the worker: prepared on a pool thread, computed by the embeddings' thread, written on a pool thread. Private
 * to engine/; worker_jobs.c owns the exchange. */
#ifndef PENSTOCK_ENGINE_WORKER_EMBEDDINGS_H
#define PENSTOCK_ENGINE_WORKER_EMBEDDINGS_H

#include "engine/worker_jobs.h"

struct embedding_call;

/* What the request's headers say. */
struct embedding_wish {
	int64_t deadline_ns;
	uint32_t prompt_cap; /* tokens; 0 = none */
	bool wants_events;   /* the answer as server-sent events, for a gateway */
};

/* Reads the exchange's body and answers it, unless the client has left by then; over(job) is called in a later turn, when the call is no more. NULL
 * without memory; nothing has happened then. */
struct embedding_call *embedding_call_start(struct worker *worker, struct http_exchange *exchange,
                                            const struct embedding_wish *wish, void (*over)(struct job *job),
                                            struct job *job);
/* The client has left: the exchange is not touched any more, and what is not yet computed is dropped. */
void embedding_call_leave(struct embedding_call *call);
/* The embeddings' thread has stopped: the call ends without an answer, when no pool thread has it any more. */
void embedding_call_free(struct embedding_call **call);
/* Fills what a load report says about embeddings. */
void embeddings_report(struct embeddings *embeddings, struct load_report *load);

#endif
