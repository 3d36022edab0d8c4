/* Requests go where the beginning of their prompt is cached, as long as that is sooner: one index for all loops, of what was sent where (policy/prefix_index). */
#ifndef PENSTOCK_STAGES_AFFINITY_H
#define PENSTOCK_STAGES_AFFINITY_H

#include <stdint.h>

#include "base/error.h"

struct affinity;
struct request;

enum error affinity_new(struct affinity **out);
void affinity_free(struct affinity **affinity);
/* Looks the request's prompt up: a bit for each replica of its pool that has its beginning (0 = none), and about how many tokens. Only where there is a
 * choice. */
uint64_t affinity_find(struct request *request, uint32_t *tokens);
/* It was sent to request->replica. */
void affinity_note(struct request *request);

#endif
