/* What the rung that a route's ladder stands on means for its requests. Control moves it (ORDER_RUNG); a request takes it once, when it is shaped. */
#ifndef PENSTOCK_STAGES_RUNG_H
#define PENSTOCK_STAGES_RUNG_H

#include <stdint.h>

#include "config/config.h"

struct request;
struct span;

#define RUNG_TEXT_BYTES 64

/* Rung of the route now: the first so many entries of promise.ladder are in effect. */
uint32_t rung_now(const struct request *request, const struct route_config *route);
/* Most tokens of an answer on that rung; 0 = as many as ever. */
uint32_t rung_output_max(const struct route_config *route, uint32_t rung);
/* Which of the route's tiers answers on that rung. A ladder that leads to cheaper tiers begins at the strongest, the last; without one the first answers. */
uint32_t rung_tier(const struct route_config *route, uint32_t rung);
/* "none", "output-256", "tier-small", "try-again": the last one in effect. Returns `text`, or a static one. */
const char *rung_text(const struct route_config *route, uint32_t rung, char text[RUNG_TEXT_BYTES]);

#endif
