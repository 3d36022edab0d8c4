/* Checks that a promise of quality holds an answer to before its client sees any of it. */
#ifndef PENSTOCK_STAGES_CHECKS_H
#define PENSTOCK_STAGES_CHECKS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "config/config.h"

/* Longest answer that is held back; a longer one fails. */
#define CHECKS_BYTES_MAX (8u << 20)

/* Whether the route has any. */
bool checks_are_promised(const struct route_config *route);
/* The words of an answer as it came from an engine: a whole JSON body, or server-sent events; of several choices, one after the other. Appended to *text.
 * ERROR_SYNTAX: it is neither; ERROR_MEMORY. */
enum error checks_text_of(struct span answer, bool is_stream, struct bytes *text);
/* The first of the route's checks that the text does not pass; NULL: it passes all. Borrowed from the config. */
const char *checks_failed(const struct route_config *route, struct span text);

#endif
