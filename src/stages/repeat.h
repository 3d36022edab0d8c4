/* A client that asks again what has just failed: its SDK's second try, or its user's. Such a request goes behind first attempts of its class, so that a
 * failure does not feed on its own retries.
 *
 * Recognised by a retry count in its headers, or by the Idempotency-Key or the body of a request that failed within the last half minute on this loop. */
#ifndef PENSTOCK_STAGES_REPEAT_H
#define PENSTOCK_STAGES_REPEAT_H

#include <stdbool.h>
#include <stdint.h>

struct request;

#define REPEAT_SLOTS 1024

/* Of a loop; zeroed = nothing has failed. */
struct repeats {
	struct {
		uint64_t hash;
		int64_t at_ns;
	} slots[REPEAT_SLOTS];
	int64_t last_ns; /* the newest; 0 = none */
};

bool repeat_is(const struct request *request);
/* The request ended without an answer. */
void repeat_note(struct request *request);

#endif
