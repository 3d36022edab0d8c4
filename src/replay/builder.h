/* The thread that builds requests ahead of the schedule, in a window of bounded memory. One thread builds, one takes. */
#ifndef PENSTOCK_REPLAY_BUILDER_H
#define PENSTOCK_REPLAY_BUILDER_H

#include "replay/body.h"

struct builder;

/* settings and workload are borrowed until builder_free. From row `gate` on it waits for builder_open_gate: the bytes of a token are learned
 * until then. ERROR_MEMORY, ERROR_LIMIT (no thread). */
enum error builder_new(const struct body_settings *settings, const struct workload *workload, size_t gate,
                       struct builder **out);
/* Stops the thread and frees what nobody took. Sets *builder to NULL; NULL is fine. */
void builder_free(struct builder **builder);
/* Builds the rest with this ratio; 0 keeps the settings'. Once. */
void builder_open_gate(struct builder *builder, double bytes_per_token);
/* Waits until the window is full, or all up to the gate is built: before the first send. */
void builder_wait_full(struct builder *builder);
/* The next row's request, in order; false: it isn't built yet. The caller owns it. */
bool builder_take(struct builder *builder, struct body *out);
/* Memory ran out while building: nothing more will come. */
bool builder_failed(const struct builder *builder);

#endif
