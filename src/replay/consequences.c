#include "replay/consequences.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "watch/admin_client.h"

#define ASK_NS (5 * NS_PER_S)
#define DEPTH 16

static double number_of(const struct json *json, uint32_t node, const char *name)
{
	double value = 0;
	uint32_t member = json_get(json, node, name);
	return member != JSON_NONE && json_double(json, member, &value) == OK ? value : 0;
}

static struct span text_of(const struct json *json, uint32_t node, const char *name, struct arena *arena)
{
	struct span text = { 0 };
	uint32_t member = json_get(json, node, name);
	if (member == JSON_NONE || json_string(json, member, arena, &text) != OK)
		return SPAN("?");
	return text;
}

/* ttft 97.3 % of 412 within 4000 ms (95.0 needed: kept) */
static void write_indicators(const struct json *json, uint32_t route, struct arena *arena, struct bytes *out)
{
	uint32_t indicators = json_get(json, route, "indicators");
	if (indicators == JSON_NONE)
		return;
	for (uint32_t name = json_first(json, indicators); name != JSON_NONE;) {
		uint32_t row = json_next(json, indicators, name);
		struct span label = { 0 };
		if (json_string(json, name, arena, &label) == OK) {
			bytes_printf(out, "  %-7.*s %6.2f %% of %.0f", (int)label.len, label.at,
			             100 * number_of(json, row, "attainment"), number_of(json, row, "requests"));
			if (number_of(json, row, "target_ms") > 0)
				bytes_printf(out, " within %.0f ms", number_of(json, row, "target_ms"));
			struct span state = text_of(json, row, "state", arena);
			bytes_printf(out, "; %.1f %% wanted: %.*s\n", 100 * number_of(json, row, "needed"), (int)state.len,
			             state.at);
		}
		name = json_next(json, indicators, row);
	}
}

static void write_route(const struct json *json, uint32_t route, struct arena *arena, struct bytes *out)
{
	struct span name = text_of(json, route, "route", arena);
	struct span kind = text_of(json, route, "kind", arena);
	struct span state = text_of(json, route, "state", arena);
	struct span rung = text_of(json, route, "rung_name", arena);
	uint32_t cost = json_get(json, route, "cost");
	struct span currency = text_of(json, cost, "currency", arena);
	struct span per = text_of(json, cost, "per", arena);
	if (span_is(kind, "none"))
		return;
	bytes_printf(out, "%.*s: a promise of %.*s, %.*s over the last %.0f s; rung %.*s after %.0f moves\n", (int)name.len,
	             name.at, (int)kind.len, kind.at, (int)state.len, state.at, number_of(json, route, "window_s"),
	             (int)rung.len, rung.at, number_of(json, route, "rung_moves"));
	write_indicators(json, route, arena, out);
	bytes_printf(out, "  cost    %.6f %.*s a %.*s (marginal), %.0f of them, %.0f tokens of answers\n",
	             number_of(json, cost, "unit"), (int)currency.len, currency.at, (int)per.len, per.at,
	             number_of(json, cost, "units"), number_of(json, route, "output_tokens"));
	uint32_t checks = json_get(json, json_get(json, route, "indicators"), "checks");
	if (checks == JSON_NONE)
		bytes_append_text(out, "  quality not measured: the route has no checks\n");
}

enum error consequences_write(struct span promises, struct bytes *text)
{
	struct json json = { 0 };
	struct arena arena;
	enum error error = json_parse(&json, promises.at, promises.len, DEPTH, NULL);
	arena_init(&arena, 0);
	uint32_t list = error ? JSON_NONE : json_get(&json, JSON_ROOT, "promises");
	if (!error && (list == JSON_NONE || json_type(&json, list) != JSON_ARRAY))
		error = ERROR_SYNTAX;
	for (uint32_t route = error ? JSON_NONE : json_first(&json, list); route != JSON_NONE;
	     route = json_next(&json, list, route))
		write_route(&json, route, &arena, text);
	arena_fini(&arena);
	json_fini(&json);
	return error;
}

enum error consequences_ask(const char *admin, struct bytes *text, struct bytes *json)
{
	struct admin_client *client = NULL;
	struct bytes fault = { 0 };
	int status = 0;
	enum error error = admin_client_new(admin, NULL, &client, &fault);
	if (!error)
		error = admin_get(client, "/promises", ASK_NS, &status, json);
	if (!error && status != 200)
		error = ERROR_NOT_FOUND;
	if (!error)
		error = consequences_write(bytes_span(json), text);
	if (error)
		bytes_clear(json);
	admin_client_free(&client);
	bytes_fini(&fault);
	return error;
}
