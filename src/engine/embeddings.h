/* The thread that computes embeddings: requests in the order of their deadlines, then of their arrival; inputs of one or several requests in
 * one batch. Knows no model: what computes is given. */
#ifndef PENSTOCK_ENGINE_EMBEDDINGS_H
#define PENSTOCK_ENGINE_EMBEDDINGS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"
#include "io/loop.h"
#include "policy/step_model.h"

struct embeddings;

struct embedding_input {
	int32_t *tokens; /* never empty */
	uint32_t count;
	float *vector; /* out */
};

/* One request's inputs, between embeddings_add and embeddings_collect the thread's, but for `cancelled`. */
struct embedding_job {
	struct embedding_input *inputs;
	uint32_t input_count; /* at least 1 */
	int64_t deadline_ns;  /* begun too late it ends with ERROR_TIMEOUT; NS_NEVER = none */
	void *owner;
	atomic_bool cancelled; /* set at any time: it ends with ERROR_CANCELLED before its next turn */

	struct heap_node node;
	uint32_t taken;    /* inputs that are in a batch or computed */
	uint32_t computed; /* inputs */
	struct embedding_job *next_done;

	enum error error;
	int64_t started_ns; /* its first batch began; 0 = none did */
	int64_t finished_ns;
};

/* What computes. */
struct embedding_computer {
	enum error (*compute)(void *owner, const struct embedding_input *const *inputs, uint32_t count);
	void *owner;
	uint32_t batch_tokens; /* more only for an input that is longer by itself */
	uint32_t batch_inputs;
};

struct embeddings_load {
	uint32_t running; /* requests with inputs in the current batch */
	uint32_t waiting;
	uint64_t backlog_tokens; /* not yet in a batch */
	uint64_t batches;        /* this and the next since the start */
	uint64_t tokens;
	struct step_model model;
	double usual_context; /* cells that a token attends to */
};

/* on_news(owner) runs on the loop when requests have ended. ERROR_MEMORY, ERROR_LIMIT. */
enum error embeddings_start(const struct embedding_computer *computer, struct loop *loop, void (*on_news)(void *owner),
                            void *owner, struct embeddings **out);
/* Waits for the batch in work. Jobs that have not ended stay with their owners. NULL is fine. */
void embeddings_stop(struct embeddings **embeddings);
/* ERROR_MEMORY: not added. */
enum error embeddings_add(struct embeddings *embeddings, struct embedding_job *job);
/* A request that has ended; NULL when there is none. */
struct embedding_job *embeddings_collect(struct embeddings *embeddings);
void embeddings_load(struct embeddings *embeddings, struct embeddings_load *out);

#endif
