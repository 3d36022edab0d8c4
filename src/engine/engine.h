/* What a model can do for the worker: two implementations, llama.c and (test builds) scripted.c.
 *
 * prepare and release may run on any thread; decode, sample and forget only on the step thread (steps.c). */
#ifndef PENSTOCK_ENGINE_ENGINE_H
#define PENSTOCK_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct engine;
struct generation;
struct pool_config; /* config/config.h: the engine.* keys are its settings */

/* What was opened. */
struct engine_facts {
	char model_name[128];
	uint32_t context_tokens; /* cells in all */
	uint32_t request_tokens; /* prompt + output of one request, at most */
	uint32_t sequences;
	uint32_t step_tokens_max;
	uint32_t chunk_tokens; /* see batch_limits */
	uint32_t vocabulary;   /* token ids are below this */
	bool has_chat_template;
};

struct token_logprob {
	int32_t token;
	float logprob;
};

/* One sampled token. */
struct sampled_token {
	int32_t token;
	bool is_end;      /* the model ended its answer; no text */
	struct span text; /* its bytes, perhaps part of a character; valid until the next sample */
};

/* A row of a step: `count` tokens of one sequence from `position` on; logits are wanted for the last when `samples`. */
struct step_row {
	const struct generation *generation; /* its `cancelled` may be set at any time */
	int32_t sequence;
	int32_t position;
	const int32_t *tokens;
	uint32_t count;
	bool samples;
	int32_t output; /* out: index for sample, when `samples` */
};

/* Progress of loading, [0, 1]; returns false to give up. */
typedef bool engine_progress(void *owner, float ratio);

struct engine_ops {
	const char *name;
	/* Blocks until the model is ready to decode. On error *fault holds a sentence: what is wrong with what file, and what to do. */
	enum error (*open)(const struct pool_config *settings, engine_progress *progress, void *owner, struct engine **out,
	                   struct bytes *fault);
	void (*close)(struct engine **engine);
	/* A real decode of a few tokens, so that the first request finds warm caches. */
	enum error (*warm_up)(struct engine *engine);
	/* Template, tokens, sampler, stops: fills generation's prompt. ERROR_SYNTAX: the client's fault, with a sentence. */
	enum error (*prepare)(struct engine *engine, struct generation *generation, struct bytes *fault);
	/* Frees what prepare made. */
	void (*release)(struct engine *engine, struct generation *generation);
	/* One step. OK; ERROR_BUSY: no room in the cache, nothing changed; ERROR_CANCELLED: nobody wanted it any more (every row's generation is
	 * cancelled); ERROR_INTERNAL: the step failed. */
	enum error (*decode)(struct engine *engine, struct step_row *rows, uint32_t count);
	/* Takes the next token for a row of the last step. tops: the generation's wish, filled (count = top_logprobs + 1, the token first). */
	enum error (*sample)(struct engine *engine, struct generation *generation, int32_t output,
	                     struct sampled_token *out, struct token_logprob *tops, uint32_t top_count);
	/* Drops a sequence from the cache. */
	void (*forget)(struct engine *engine, int32_t sequence);
	/* The text of any token (for logprobs); appended to out. Any thread. */
	void (*token_text)(struct engine *engine, int32_t token, struct bytes *out);
};

/* Implementations embed this first. */
struct engine {
	const struct engine_ops *ops;
	struct engine_facts facts;
};

extern const struct engine_ops llama_engine_ops;
#ifdef PENSTOCK_TEST_HOOKS
extern const struct engine_ops scripted_engine_ops;
#endif

#endif
