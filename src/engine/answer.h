/* Writes a generation's output as OpenAI's responses: chunks of a stream, or one object. The loop's; no I/O. */
#ifndef PENSTOCK_ENGINE_ANSWER_H
#define PENSTOCK_ENGINE_ANSWER_H

#include "base/bytes.h"
#include "engine/generation.h"

struct answer;

/* What all choices of one response have in common. */
struct answer_facts {
	char id[64];       /* unique */
	char model[128];   /* the name shown in the body */
	int64_t created_s; /* Unix seconds */
};

/* Choice `index` of a response. The generation is borrowed until answer_free, the facts are copied. */
enum error answer_new(struct engine *engine, struct generation *generation, const struct answer_facts *facts,
                      uint32_t index, struct answer **out);
void answer_free(struct answer **answer);
/* Takes more output. A stream appends its events to *out; else it is kept. */
void answer_add(struct answer *answer, const struct generation_output *output, struct bytes *out);
/* No more comes for this choice: a stream appends its last event; else it is kept. */
void answer_close(struct answer *answer, enum finish_reason reason, struct bytes *out);
/* All `count` >= 1 choices are closed: a stream's last events (usage where asked, timings, [DONE]), or the whole body. */
void answer_finish(struct answer *const *answers, uint32_t count, const struct generation_times *times,
                   struct bytes *out);
/* {"prompt_tokens":..,"cached_tokens":..,"output_tokens":..,"preemptions":..,"tokenize_ns":..,"queue_ns":..,"prefill_ns":..,"decode_ns":..}: what
 * a stream carries in its "penstock" event, and any other answer in its x-penstock-timings header. The prompt counts once, the output of all
 * choices; cached: of the first choice's prompt. */
void answer_write_timings(struct answer *const *answers, uint32_t count, const struct generation_times *times,
                          struct bytes *out);

#endif
