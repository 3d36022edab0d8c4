/* Writes a generation's output as OpenAI's responses: chunks of a stream, or one object. The loop's; no I/O. */
#ifndef PENSTOCK_ENGINE_ANSWER_H
#define PENSTOCK_ENGINE_ANSWER_H

#include "base/bytes.h"
#include "engine/generation.h"

struct answer;

/* id: unique; model: the name shown in the body; created_s: Unix seconds. All copied. The generation is borrowed until answer_free. */
enum error answer_new(struct engine *engine, struct generation *generation, const char *id, const char *model,
                      int64_t created_s, struct answer **out);
void answer_free(struct answer **answer);
/* Takes more output. A stream appends its events to *out; else it is kept. */
void answer_add(struct answer *answer, const struct generation_output *output, struct bytes *out);
/* The end: a stream's last events (finish, usage where asked, timings, [DONE]), or the whole body. */
void answer_finish(struct answer *answer, enum finish_reason reason, const struct generation_times *times,
                   struct bytes *out);
/* {"prompt_tokens":..,"cached_tokens":..,"output_tokens":..,"preemptions":..,"tokenize_ns":..,"queue_ns":..,"prefill_ns":..,"decode_ns":..}: what a stream
 * carries in its "penstock" event, and any other answer in its x-penstock-timings header. */
void answer_write_timings(const struct answer *answer, const struct generation_times *times, struct bytes *out);

#endif
