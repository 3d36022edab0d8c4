/* One request inside the worker, from its bytes to its last token.
 *
 * Several threads see it, one after the other: the loop makes it, a pool thread prepares it, the prompts' thread computes its prompt, the streams'
 * thread decodes it; then the loop frees it. Fields below say whose they are. `cancelled` is the only one that crosses at any time; ready output
 * crosses under the lock of steps.h. */
#ifndef PENSTOCK_ENGINE_GENERATION_H
#define PENSTOCK_ENGINE_GENERATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "engine/chat.h"
#include "engine/engine.h"

#define GENERATION_STOPS_MAX (API_STOPS_MAX + 4)

enum finish_reason { FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_ERROR, FINISH_CANCELLED };

/* Monotonic ns; 0 = not reached. */
struct generation_times {
	int64_t arrived_ns;  /* body complete */
	int64_t prepared_ns; /* tokenised */
	int64_t started_ns;  /* its first prompt chunk went into a step */
	int64_t first_token_ns;
	int64_t finished_ns;
};

struct generation_logprob {
	struct token_logprob chosen;
	uint32_t top_count;
	struct token_logprob tops[API_TOP_LOGPROBS_MAX];
};

/* What the step thread has ready for the loop; moved out whole, under the lock. */
struct generation_output {
	struct bytes text;      /* complete characters only, stop strings cut off */
	struct bytes logprobs;  /* struct generation_logprob, packed */
	uint32_t tokens;        /* generated since the last take */
	uint32_t cached_tokens; /* of the prompt, taken from a cached prefix: told once */
	uint32_t preemptions;   /* since the last take */
	enum finish_reason finish;
	enum error failure; /* with FINISH_ERROR */
};

struct generation {
	/* Set by the loop before prepare, constant afterwards. */
	struct arena arena;
	struct bytes body; /* owned; request's spans point into it */
	struct api_request request;
	int64_t deadline_ns;     /* first token wanted by then; NS_NEVER when not told */
	int64_t expected_tokens; /* output that the gateway expects; 0 = not told */
	uint32_t output_cap;     /* tokens, whatever the request asks for; 0 = none */
	uint32_t prompt_cap;     /* a longer prompt is refused; 0 = none */
	uint64_t arrival;        /* unique, increasing */
	uint32_t class;          /* 0 = the highest; the lowest is preempted first */
	uint64_t salt;           /* whose prefixes it may share */
	void *owner;             /* the loop's side of it */

	/* Set by prepare, constant afterwards. */
	int32_t *prompt; /* owned */
	uint32_t prompt_count;
	uint32_t output_max;                     /* tokens */
	struct chat_prompt *chat;                /* NULL for plain completions; the loop parses with it */
	void *sampler;                           /* the implementation's */
	struct span stops[GENERATION_STOPS_MAX]; /* borrowed from request or chat */
	size_t stop_count;

	/* Of the thread that has it: the prompts', then the streams'. */
	struct generation *next; /* its lists */
	enum engine_lane lane;   /* the place that it has, LANE_SHORT or LANE_LONG; LANE_PROMPTS = none (places.h) */
	uint32_t reserved;       /* cells of the place */
	int32_t sequence;        /* in the lane where it is computed; -1 = none */
	uint32_t cached;         /* tokens whose cells it has, in its sequence or in `state` */
	struct kv_state *state;  /* owned; between two lanes */
	int32_t *output_tokens;  /* owned; shape (output_max,), so that it can be computed again */
	uint32_t output_count;
	int64_t token_ns;     /* of the last one; 0 = none, or it was preempted since */
	struct bytes pending; /* text that may still become a stop string or half a character */

	/* Guarded by the lock of steps.h. */
	struct generation *next_news;
	bool has_news;
	struct generation_output ready;
	struct generation_times times;

	atomic_bool cancelled; /* set by the loop at any time: drop it at the next step */
};

/* Takes over body (left empty). ERROR_MEMORY. */
enum error generation_new(struct bytes *body, struct generation **out);
/* What the loop sets before prepare, for another answer to the same request; not the owner, not the arrival. */
void generation_copy_wishes(struct generation *generation, const struct generation *from);

/* Prompt and output so far. */
static inline uint32_t generation_total_tokens(const struct generation *generation)
{
	return generation->prompt_count + generation->output_count;
}

/* Prompt tokens still to compute; 0 while decoding (the last output token is fed by the decode itself). */
static inline uint32_t generation_prefill_left(const struct generation *generation)
{
	uint32_t left = generation_total_tokens(generation) - generation->cached;
	return left == 1 && generation->output_count ? 0 : left;
}

/* Also releases what prepare made. */
void generation_free(struct engine *engine, struct generation **generation);
/* The prompt is known: checks its size and makes room for the answer. request_tokens: what one request may have in all; output_default: for
 * requests that name no limit. ERROR_RANGE, ERROR_LIMIT with a sentence for the client; ERROR_MEMORY. */
enum error generation_size_output(struct generation *generation, uint32_t request_tokens, int64_t output_default,
                                  struct bytes *fault);
/* Adds a token's text; returns true when a stop string is complete (the rest is dropped). Moves what is safe to show to `ready`. Under
 * the lock. */
bool generation_add_text(struct generation *generation, struct span text);
/* Moves everything to `ready`: the answer is over. */
void generation_flush_text(struct generation *generation);

#endif
