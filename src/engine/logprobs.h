/* Log probabilities in OpenAI's two shapes. */
#ifndef PENSTOCK_ENGINE_LOGPROBS_H
#define PENSTOCK_ENGINE_LOGPROBS_H

#include "base/bytes.h"
#include "engine/engine.h"

/* entries: packed struct generation_logprob. Chat: {"content":[{token, logprob, bytes, top_logprobs}],"refusal":null}; completions:
 * {"tokens","token_logprobs","top_logprobs","text_offset"} with offsets counted in bytes from *text_offset, which moves past the entries: text
 * that is held back must not shift the offsets of what follows. */
void logprobs_write(struct engine *engine, struct span entries, bool is_chat, uint32_t *text_offset, struct bytes *out);

#endif
