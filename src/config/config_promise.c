/* Promises that could not be kept, or that contradict themselves, are found when the file is read. */
#include "config/config_promise.h"

#include <regex.h>
#include <string.h>

#include "base/bytes.h"
#include "config/config_read.h"

#define OUTPUT_MAX (1 << 20)

/* ---- texts ---- */

/* What follows "name=" in the text; NULL when it does not begin so. */
static const char *value_of(const char *text, const char *name)
{
	size_t len = strlen(name);
	return strncmp(text, name, len) == 0 && text[len] == '=' ? text + len + 1 : NULL;
}

enum error config_rung_read(const char *text, struct config_rung *out)
{
	const char *tokens = value_of(text, "max_output");
	const char *tier = value_of(text, "tier");
	uint64_t number = 0;
	*out = (struct config_rung){ .kind = CONFIG_RUNG_TRY_AGAIN };
	if (strcmp(text, "try_again") == 0)
		return OK;
	if (tier) {
		*out = (struct config_rung){ .kind = CONFIG_RUNG_TIER, .tier = tier };
		return OK;
	}
	if (!tokens || span_to_u64(span_of(tokens), OUTPUT_MAX, &number) != OK || number == 0)
		return ERROR_SYNTAX;
	*out = (struct config_rung){ .kind = CONFIG_RUNG_OUTPUT, .tokens = (uint32_t)number };
	return OK;
}

enum error config_answer_check_read(const char *text, struct config_answer_check *out)
{
	*out = (struct config_answer_check){ .kind = CONFIG_CHECK_REGEX, .pattern = value_of(text, "regex") };
	if (out->pattern)
		return *out->pattern ? OK : ERROR_SYNTAX;
	out->kind = strcmp(text, "json") == 0 ? CONFIG_CHECK_JSON : CONFIG_CHECK_CITE;
	return out->kind == CONFIG_CHECK_JSON || strcmp(text, "cite") == 0 ? OK : ERROR_SYNTAX;
}

uint32_t config_tier(const struct route_config *route, const char *tier)
{
	uint32_t place = 0;
	while (place < route->tiers.count && strcmp(route->tiers.items[place], tier) != 0)
		place++;
	return place;
}

/* ---- checks ---- */

struct checker {
	const struct config *config;
	const struct route_config *route;
	const struct config_node *node; /* of promise */
	struct config_faults *faults;
};

static void complain(const struct checker *checker, const char *key, const char *what)
{
	const struct config_node *node = config_tree_get(checker->node, key);
	if (!node)
		node = checker->node;
	config_fault(checker->faults, node->place, node->path, "%s", what);
}

static void check_rung(const struct checker *checker, size_t index)
{
	const struct route_config *route = checker->route;
	struct config_rung rung;
	if (config_rung_read(route->promise_ladder.items[index], &rung) != OK)
		complain(checker, "ladder",
		         "has a rung that is none: write {max_output: 256}, {tier: a pool of the route} or try_again");
	else if (rung.kind == CONFIG_RUNG_TRY_AGAIN && index + 1 < route->promise_ladder.count)
		complain(checker, "ladder", "has rungs after try_again: it is the last one");
	else if (rung.kind == CONFIG_RUNG_TIER && config_tier(route, rung.tier) + 1 >= route->tiers.count)
		complain(checker, "ladder",
		         "names a tier that is not one of the route's cheaper ones: a rung leads from the strongest, the last "
		         "of `tiers`, to one before it");
	else if (rung.kind != CONFIG_RUNG_TRY_AGAIN && route->promise_kind == PROMISE_KIND_QUALITY)
		complain(checker, "ladder",
		         "gives up quality, which is what is promised: a promise of quality may only have try_again");
}

static void check_answer_check(const struct checker *checker, size_t index)
{
	struct config_answer_check check;
	regex_t regex;
	if (config_answer_check_read(checker->route->promise_checks.items[index], &check) != OK) {
		complain(checker, "checks", "has a check that is none: write json, cite or {regex: PATTERN}");
		return;
	}
	if (check.kind != CONFIG_CHECK_REGEX)
		return;
	if (regcomp(&regex, check.pattern, REG_EXTENDED | REG_NOSUB) != 0)
		complain(checker, "checks", "has a regex that is no POSIX extended regular expression");
	else
		regfree(&regex);
}

static bool has_price(const struct pool_config *pool)
{
	return pool->price_hour > 0 || pool->price_input > 0 || pool->price_output > 0;
}

static void check_cost(const struct checker *checker)
{
	const struct route_config *route = checker->route;
	if (route->promise_ceiling <= 0)
		complain(checker, "ceiling", "promise.ceiling is missing: what a unit may cost, as 0.02");
	for (size_t i = 0; i < route->tiers.count; i++) {
		const struct pool_config *pool = config_pool(checker->config, span_of(route->tiers.items[i]));
		if (!pool)
			continue; /* has its fault */
		if (!has_price(pool))
			config_fault(checker->faults, checker->node->place, checker->node->path,
			             "the pool %s has no price, so nobody knows what a request costs there: give it price.hour, or "
			             "price.input and price.output",
			             pool->name);
		else if (strcmp(pool->price_currency, route->promise_currency) != 0)
			config_fault(checker->faults, checker->node->place, checker->node->path,
			             "is in %s, but the price of the pool %s is in %s", route->promise_currency, pool->name,
			             pool->price_currency);
	}
}

static void check_kind(const struct checker *checker)
{
	const struct route_config *route = checker->route;
	bool has_time = route->promise_ttft_p95 || route->promise_tpot_p95 || route->promise_e2e_p95;
	switch (route->promise_kind) {
	case PROMISE_KIND_NONE:
		/* One that is there says none, or has its fault. */
		if (!config_tree_get(checker->node, "kind"))
			complain(checker, "kind", "promise.kind is missing: latency, quality or cost");
		return;
	case PROMISE_KIND_LATENCY:
		if (!has_time)
			complain(checker, "kind", "promises no time: give ttft_p95, tpot_p95 or e2e_p95, as 800ms");
		return;
	case PROMISE_KIND_QUALITY:
		if (!route->promise_checks.count && !*route->promise_gate)
			complain(checker, "kind", "promises nothing that can be measured: give checks, a gate, or both");
		if (route->shape_trim != SHAPE_TRIM_NONE)
			complain(checker, "kind",
			         "forbids shape.trim: an answer to half of a conversation is not what is promised");
		return;
	default:
		check_cost(checker);
	}
}

void config_check_promise(const struct config *config, const struct route_config *route, const struct config_node *node,
                          struct config_faults *faults)
{
	const struct checker checker = { config, route, config_tree_get(node, "promise"), faults };
	if (!checker.node || checker.node->kind != CONFIG_NODE_MAPPING)
		return;
	check_kind(&checker);
	if (route->promise_ladder.count > CONFIG_RUNGS_MAX)
		complain(&checker, "ladder", "has more than 8 rungs");
	if (route->promise_checks.count > CONFIG_CHECKS_MAX)
		complain(&checker, "checks", "has more than 8 checks");
	for (size_t i = 0; i < route->promise_ladder.count && i < CONFIG_RUNGS_MAX; i++)
		check_rung(&checker, i);
	for (size_t i = 0; i < route->promise_checks.count && i < CONFIG_CHECKS_MAX; i++)
		check_answer_check(&checker, i);
}
