#include "stages/rung.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/macros.h"
#include "config/config_promise.h"
#include "stages/request.h"
#include "stages/services.h"

uint32_t rung_now(const struct request *request, const struct route_config *route)
{
	const struct config *config = request->config;
	uint32_t rung = atomic_load_explicit(&request->services->rungs[route - config->routes], memory_order_relaxed);
	return (uint32_t)min_ll(rung, (long long)route->promise_ladder.count);
}

/* The config was checked: every rung can be read. */
static struct config_rung read_rung(const struct route_config *route, uint32_t place)
{
	struct config_rung rung;
	return config_rung_read(route->promise_ladder.items[place], &rung) == OK ? rung : (struct config_rung){ 0 };
}

uint32_t rung_output_max(const struct route_config *route, uint32_t rung)
{
	uint32_t most = 0;
	for (uint32_t i = 0; i < rung; i++) {
		struct config_rung step = read_rung(route, i);
		if (step.kind == CONFIG_RUNG_OUTPUT && step.tokens)
			most = most ? (uint32_t)min_ll(most, step.tokens) : step.tokens;
	}
	return most;
}

uint32_t rung_tier(const struct route_config *route, uint32_t rung)
{
	uint32_t tier = 0;
	for (uint32_t i = (uint32_t)route->promise_ladder.count; i-- > 0;) {
		struct config_rung step = read_rung(route, i);
		if (step.kind != CONFIG_RUNG_TIER)
			continue;
		if (i < rung)
			return config_tier(route, step.tier);
		tier = (uint32_t)route->tiers.count - 1;
	}
	return tier;
}

const char *rung_text(const struct route_config *route, uint32_t rung, char text[RUNG_TEXT_BYTES])
{
	if (rung == 0)
		return "none";
	struct config_rung step = read_rung(route, rung - 1);
	if (step.kind == CONFIG_RUNG_TRY_AGAIN)
		return "try-again";
	if (step.kind == CONFIG_RUNG_TIER)
		snprintf(text, RUNG_TEXT_BYTES, "tier-%.40s", step.tier);
	else
		snprintf(text, RUNG_TEXT_BYTES, "output-%u", step.tokens);
	return text;
}
