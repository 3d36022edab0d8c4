/* What the texts of a route's promise mean: its ladder and its checks. */
#ifndef PENSTOCK_CONFIG_CONFIG_PROMISE_H
#define PENSTOCK_CONFIG_CONFIG_PROMISE_H

#include <stdint.h>

#include "base/error.h"
#include "config/config.h"

#define CONFIG_RUNGS_MAX 8
#define CONFIG_CHECKS_MAX 8

enum config_rung_kind { CONFIG_RUNG_OUTPUT, CONFIG_RUNG_TIER, CONFIG_RUNG_TRY_AGAIN };

struct config_rung {
	enum config_rung_kind kind;
	uint32_t tokens;  /* OUTPUT */
	const char *tier; /* TIER: borrowed from the text */
};

/* An entry of promise.ladder: "max_output=256", "tier=small", "try_again". ERROR_SYNTAX. */
enum error config_rung_read(const char *text, struct config_rung *out);

enum config_check_kind { CONFIG_CHECK_JSON, CONFIG_CHECK_CITE, CONFIG_CHECK_REGEX };

struct config_answer_check {
	enum config_check_kind kind;
	const char *pattern; /* REGEX: borrowed from the text */
};

/* An entry of promise.checks: "json", "cite", "regex=PATTERN". ERROR_SYNTAX; the pattern is not looked at. */
enum error config_answer_check_read(const char *text, struct config_answer_check *out);

/* Place of the tier in the route's list, or its count when it is not there. */
uint32_t config_tier(const struct route_config *route, const char *tier);

#endif
