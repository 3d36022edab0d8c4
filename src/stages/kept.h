/* Whether a request that has ended kept what its route promises: the counters behind every statement about promises. */
#ifndef PENSTOCK_STAGES_KEPT_H
#define PENSTOCK_STAGES_KEPT_H

#include <stdbool.h>
#include <stdint.h>

struct request;

/* Adds to promise_requests_total and promise_met_total. Not counted: what failed by the client's own fault or went over its rates, and clients that left before
 * their time was up. Everything else that was not answered is a miss, refusals first. */
void kept_count(const struct request *request, int64_t now_ns);

#endif
