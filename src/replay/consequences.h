/* What the gateway itself says of its promises at the end of a run: kept or not, on which rung, at what cost and quality. */
#ifndef PENSTOCK_REPLAY_CONSEQUENCES_H
#define PENSTOCK_REPLAY_CONSEQUENCES_H

#include "base/bytes.h"
#include "base/error.h"

/* Asks the admin side for /promises and appends a line or two a route to *text, and the JSON as it came to *json. ERROR_NOT_FOUND where there is no such page (an
 * engine, another gateway), or why it can't be had; nothing is appended then. */
enum error consequences_ask(const char *admin, struct bytes *text, struct bytes *json);
/* The lines for one answer of /promises; for consequences_ask and tests. ERROR_SYNTAX. */
enum error consequences_write(struct span promises, struct bytes *text);

#endif
