/* What becomes of promises: once a second the loops' counters are gathered into windows, which say whether each promise is kept, and what its consequences are.
 * Runs on loop 0. */
#ifndef PENSTOCK_GATEWAY_PROMISES_H
#define PENSTOCK_GATEWAY_PROMISES_H

#include "base/bytes.h"
#include "base/error.h"

struct gateway;
struct promises;

/* Begins to look. ERROR_MEMORY. */
enum error promises_new(struct gateway *gateway, struct promises **out);
void promises_free(struct promises **promises);
/* Gauges for a scrape. */
void promises_set_gauges(struct promises *promises);
/* GET /promises: JSON, a row a route, with its promise, state, rung and consequences. */
void promises_write(struct promises *promises, struct bytes *out);

#endif
