/* Open addressing over session ids; the table is made once, with room for every row. */
#include <stdlib.h>

#include "replay/run_parts.h"

struct slot {
	uint64_t session; /* 0 = free */
	bool is_busy;
	int64_t slip_ns;        /* of the last one that was sent */
	struct exchange *first; /* waiting */
	struct exchange *last;
};

struct sessions {
	struct slot *slots; /* owned */
	size_t mask;
};

enum error sessions_new(const struct workload *workload, struct sessions **out)
{
	size_t size = 64;
	while (size < workload->count * 2)
		size *= 2;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ERROR_MEMORY;
	(*out)->mask = size - 1;
	(*out)->slots = calloc(size, sizeof(*(*out)->slots));
	if (!(*out)->slots) {
		sessions_free(out);
		return ERROR_MEMORY;
	}
	return OK;
}

void sessions_free(struct sessions **slot)
{
	if (!*slot)
		return;
	free((*slot)->slots);
	free(*slot);
	*slot = NULL;
}

static struct slot *find_slot(struct sessions *sessions, uint64_t session)
{
	size_t at = (session * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & sessions->mask;
	while (sessions->slots[at].session && sessions->slots[at].session != session)
		at = (at + 1) & sessions->mask;
	sessions->slots[at].session = session;
	return &sessions->slots[at];
}

bool sessions_enter(struct sessions *sessions, uint64_t session, struct exchange *exchange, int64_t *slip_ns)
{
	struct slot *slot = find_slot(sessions, session);
	if (!slot->is_busy) {
		slot->is_busy = true;
		*slip_ns = slot->slip_ns;
		return true;
	}
	exchange->next = NULL;
	if (slot->last)
		slot->last->next = exchange;
	else
		slot->first = exchange;
	slot->last = exchange;
	return false;
}

struct exchange *sessions_leave(struct sessions *sessions, uint64_t session, int64_t slip_ns)
{
	struct slot *slot = find_slot(sessions, session);
	slot->slip_ns = slip_ns;
	struct exchange *exchange = slot->first;
	slot->is_busy = exchange != NULL;
	if (exchange) {
		slot->first = exchange->next;
		slot->last = slot->first ? slot->last : NULL;
		exchange->next = NULL;
	}
	return exchange;
}
