/* What a model can do for the worker: two implementations, llama.c and (test builds) scripted.c.
 *
 * The KV cache has lanes. Prompts are computed in one, streams decode in the two others: `short` gives each sequence cells of its own, so that
 * attention never looks at another's; `long` is one room for those that outgrow them. Each lane belongs to one thread (prompts.c, streams.c), and
 * with it every operation that names it; prepare, release and token_text may run on any thread. */
#ifndef PENSTOCK_ENGINE_ENGINE_H
#define PENSTOCK_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct engine;
struct generation;
struct kv_state;
struct pool_config; /* config/config.h: the engine.* keys are its settings */

enum engine_lane { LANE_PROMPTS, LANE_SHORT, LANE_LONG, LANES };

/* Sequences of LANE_PROMPTS: prompts that are in work at once. */
#define ENGINE_PROMPTS_MAX 8

/* What was opened. */
struct engine_facts {
	char model_name[128];
	uint32_t context_tokens;  /* cells of LANE_LONG, and of LANE_PROMPTS */
	uint32_t short_tokens;    /* cells of each sequence of LANE_SHORT; 0 = there is no such lane */
	uint32_t request_tokens;  /* prompt + output of one request, at most */
	uint32_t sequences;       /* of LANE_SHORT, and of LANE_LONG */
	uint32_t step_tokens_max; /* of a prompt step */
	uint32_t vocabulary;      /* token ids are below this */
	uint64_t identity;        /* of model, library and layout: states of one engine fit another with the same */
	bool has_chat_template;
	bool keeps_whole; /* a state can't be cut: recurrent models */
};

struct token_logprob {
	int32_t token;
	float logprob;
};

/* One sampled token. */
struct sampled_token {
	int32_t token;
	bool is_end;      /* the model ended its answer; no text */
	struct span text; /* its bytes, perhaps part of a character; valid until the lane's next sample */
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
	/* One step. OK; ERROR_BUSY: no room in the cache, nothing changed; ERROR_CANCELLED: given up because engine->goes_on said so, and the rows'
	 * cells are as before; ERROR_INTERNAL: the step failed. */
	enum error (*decode)(struct engine *engine, enum engine_lane lane, struct step_row *rows, uint32_t count);
	/* Takes the next token for a row of the lane's last step. tops: the generation's wish, filled (count = top_logprobs + 1, the token first). */
	enum error (*sample)(struct engine *engine, enum engine_lane lane, struct generation *generation, int32_t output,
	                     struct sampled_token *out, struct token_logprob *tops, uint32_t top_count);
	/* Drops a sequence's cells from position `from` on. ERROR_UNSUPPORTED: this model forgets all or nothing (and has forgotten all). */
	enum error (*forget)(struct engine *engine, enum engine_lane lane, int32_t sequence, uint32_t from);
	/* LANE_PROMPTS: gives sequence `to` the first `count` cells of `from`, which keeps them; nothing is copied. */
	void (*share)(struct engine *engine, int32_t from, int32_t to, uint32_t count);
	/* The state of a sequence's cells, `tokens` of them; NULL without memory. */
	struct kv_state *(*save)(struct engine *engine, enum engine_lane lane, int32_t sequence, uint32_t tokens);
	/* Fills an empty sequence with the first `count` cells of a state. ERROR_BUSY: no room. ERROR_MEMORY, ERROR_INTERNAL: it can't be used. */
	enum error (*restore)(struct engine *engine, enum engine_lane lane, int32_t sequence, const struct kv_state *state,
	                      uint32_t count);
	/* The text of any token (for logprobs); appended to out. Any thread. */
	void (*token_text)(struct engine *engine, int32_t token, struct bytes *out);
};

/* Implementations embed this first. */
struct engine {
	const struct engine_ops *ops;
	struct engine_facts facts;
	/* Asked many times during a step, on the lane's thread; may hold it up for some milliseconds. false: nobody wants this step any more. NULL: all
	 * steps go on. */
	bool (*goes_on)(void *owner, enum engine_lane lane);
	void *owner; /* of goes_on */
};

extern const struct engine_ops llama_engine_ops;
#ifdef PENSTOCK_TEST_HOOKS
extern const struct engine_ops scripted_engine_ops;
#endif

#endif
