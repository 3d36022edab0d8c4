/* Which tier answers a conversation: the one that answered its first turn, whatever the ladder says meanwhile, or its tone would change in the middle. A
 * conversation is known by its beginning, up to the first answer. A table that forgets: who falls out of it is routed as new. Any thread. */
#ifndef PENSTOCK_STAGES_CONVERSATION_H
#define PENSTOCK_STAGES_CONVERSATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct conversations;
struct request;

enum error conversations_new(struct conversations **out);
void conversations_free(struct conversations **conversations);
/* The tier of a chat's earlier turns, or `tier`, which it has from now, where none is known. */
uint32_t conversation_tier(const struct request *request, uint32_t tier);

/* Whether the unit that a request's cost is counted by was not seen lately: what x-penstock-unit or metadata.unit names, or else, of chats, the
 * conversation. Noted as seen. */
bool conversation_is_new_unit(const struct request *request);

#endif
