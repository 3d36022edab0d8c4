/* The worker writes, the fleet reads; both walk load_report.def. */
#include "api/load_report.h"

#include <stdio.h>

#include "base/json.h"
#include "base/macros.h"

static const char *const state_texts[] = { "starting", "loading", "warming", "ready", "failed", "stopped" };

const char *engine_state_text(enum engine_state state)
{
	return state < ENGINE_STATES ? state_texts[state] : "unknown";
}

void load_report_write(struct bytes *out, const struct load_report *report)
{
	bytes_printf(out, "{\"state\":\"%s\",\"percent\":%llu,\"model\":", engine_state_text(report->state),
	             (unsigned long long)report->percent);
	json_write_string(out, span_of(report->model));
	if (report->state == ENGINE_FAILED) {
		bytes_append_text(out, ",\"fault\":");
		json_write_string(out, span_of(report->fault));
	}
#define LOAD(name, help) bytes_printf(out, ",\"" #name "\":%llu", (unsigned long long)report->name);
#include "api/load_report.def"
#undef LOAD
	bytes_append_text(out, "}");
}

static uint64_t read_number(const struct json *json, const char *name)
{
	int64_t value = 0;
	uint32_t node = json_get(json, JSON_ROOT, name);
	return node != JSON_NONE && json_int64(json, node, &value) == OK && value > 0 ? (uint64_t)value : 0;
}

static void read_text(const struct json *json, const char *name, struct arena *arena, char *out, size_t out_size)
{
	struct span text;
	uint32_t node = json_get(json, JSON_ROOT, name);
	out[0] = '\0';
	if (node != JSON_NONE && json_string(json, node, arena, &text) == OK)
		snprintf(out, out_size, "%.*s", (int)text.len, text.at);
}

static enum error read_state(const struct json *json, enum engine_state *out)
{
	uint32_t node = json_get(json, JSON_ROOT, "state");
	struct span raw = node == JSON_NONE ? (struct span){ 0 } : json_raw(json, node);
	for (size_t i = 0; i < COUNT_OF(state_texts); i++) {
		struct span text = span_of(state_texts[i]);
		if (raw.len == text.len + 2 && span_equal((struct span){ raw.at + 1, text.len }, text)) {
			*out = (enum engine_state)i;
			return OK;
		}
	}
	return ERROR_SYNTAX;
}

enum error load_report_read(struct span text, struct load_report *out)
{
	struct json json = { 0 };
	struct arena arena;
	arena_init(&arena, 0);
	*out = (struct load_report){ 0 };
	enum error error = json_parse(&json, text.at, text.len, 4, NULL);
	if (!error)
		error = read_state(&json, &out->state);
	if (!error) {
		out->percent = read_number(&json, "percent");
		read_text(&json, "model", &arena, out->model, sizeof(out->model));
		read_text(&json, "fault", &arena, out->fault, sizeof(out->fault));
#define LOAD(name, help) out->name = read_number(&json, #name);
#include "api/load_report.def"
#undef LOAD
	}
	json_fini(&json);
	arena_fini(&arena);
	return error;
}
