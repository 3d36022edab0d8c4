#include "config/config_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/macros.h"
#include "config/config_table.h"
#include "config/config_value.h"

#define ENGINE_PREFIX "engine."

struct config_pool_builder {
	struct pool_config pool;
	struct arena arena;
};

static bool is_engine_row(const struct config_row *row)
{
	return row->section == CONFIG_POOL && config_row_is_known(row) &&
	       span_starts_with(span_of(row->path), SPAN(ENGINE_PREFIX));
}

static void *field_of(struct pool_config *pool, const struct config_row *row)
{
	return (char *)pool + row->offset;
}

enum error config_pool_builder_new(const char *name, struct config_pool_builder **out)
{
	struct config_pool_builder *builder = calloc(1, sizeof(*builder));
	if (!builder)
		return ERROR_MEMORY;
	struct bytes why = { 0 };
	enum error error = OK;
	arena_init(&builder->arena, 0);
	builder->pool.name = name;
	for (size_t i = 0; i < config_row_count && !error; i++) {
		const struct config_row *row = &config_rows[i];
		struct span initial = span_of(row->initial ? row->initial : "");
		if (is_engine_row(row))
			error = config_value_read(row, initial, initial, &builder->arena, field_of(&builder->pool, row), &why);
	}
	bytes_fini(&why);
	if (error)
		config_pool_builder_free(&builder);
	*out = builder;
	return error;
}

void config_pool_builder_free(struct config_pool_builder **builder)
{
	if (!*builder)
		return;
	arena_fini(&(*builder)->arena);
	free(*builder);
	*builder = NULL;
}

enum error config_pool_builder_set(struct config_pool_builder *builder, struct span argument, struct bytes *why)
{
	size_t equals = span_find(argument, '=');
	struct span key = { argument.at, equals };
	if (equals == argument.len) {
		bytes_printf(why, "'%.*s' is not of the form engine.KEY=VALUE", (int)argument.len, argument.at);
		return ERROR_SYNTAX;
	}
	struct span value = { argument.at + equals + 1, argument.len - equals - 1 };
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		if (!is_engine_row(row) || !span_is(key, row->path))
			continue;
		bytes_printf(why, "%s: ", row->path);
		return config_value_read(row, value, value, &builder->arena, field_of(&builder->pool, row), why);
	}
	bytes_printf(why, "unknown key '%.*s'", (int)key.len, key.at);
	return ERROR_NOT_FOUND;
}

const struct pool_config *config_pool_builder_pool(const struct config_pool_builder *builder)
{
	return &builder->pool;
}

static void write_value(const struct config_row *row, const void *field, struct bytes *out)
{
	switch (row->type) {
	case CONFIG_STRING:
		bytes_append_text(out, *(const char *const *)field);
		break;
	case CONFIG_BOOLEAN:
		bytes_append_text(out, *(const bool *)field ? "true" : "false");
		break;
	case CONFIG_NUMBER:
	case CONFIG_SHARE:
		json_write_double(out, *(const double *)field);
		break;
	case CONFIG_CHOICE: {
		struct span choices = span_of(row->choices);
		for (int skip = *(const int *)field; skip > 0; skip--) {
			size_t bar = span_find(choices, '|') + 1;
			choices = (struct span){ choices.at + bar, choices.len - bar };
		}
		bytes_append(out, choices.at, span_find(choices, '|'));
		break;
	}
	case CONFIG_INTEGER:
	case CONFIG_DURATION:
	case CONFIG_SIZE: {
		int64_t number = *(const int64_t *)field;
		if (row->automatic && number == CONFIG_AUTO)
			bytes_append_text(out, "auto");
		else
			config_value_write(out, row, number);
		break;
	}
	case CONFIG_STRING_LIST: {
		const struct string_list *list = field;
		for (size_t i = 0; i < list->count; i++)
			bytes_printf(out, i ? " %s" : "%s", list->items[i]);
		break;
	}
	}
}

void config_pool_write_arguments(const struct pool_config *pool, struct bytes *out)
{
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		if (!is_engine_row(row))
			continue;
		bytes_printf(out, "%s=", row->path);
		write_value(row, (const char *)pool + row->offset, out);
		bytes_append_byte(out, '\0');
	}
}

bool config_pool_is_upstream(const struct pool_config *pool)
{
	return pool->upstream_urls.count > 0;
}

uint32_t config_pool_replicas(const struct pool_config *pool)
{
	if (config_pool_is_upstream(pool))
		return (uint32_t)pool->upstream_urls.count;
	return (uint32_t)max_ll(pool->replicas_max, pool->replicas_min);
}

/* Whether the values of all rows of a section that `is_meant` are the same. */
static bool same_values(enum config_section section, bool (*is_meant)(const struct config_row *row), const void *a,
                        const void *b)
{
	struct bytes text_a = { 0 };
	struct bytes text_b = { 0 };
	bool same = true;
	for (size_t i = 0; i < config_row_count && same; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->section != section || !is_meant(row))
			continue;
		bytes_clear(&text_a);
		bytes_clear(&text_b);
		write_value(row, (const char *)a + row->offset, &text_a);
		write_value(row, (const char *)b + row->offset, &text_b);
		same = bytes_ok(&text_a) && bytes_ok(&text_b) && span_equal(bytes_span(&text_a), bytes_span(&text_b));
	}
	bytes_fini(&text_a);
	bytes_fini(&text_b);
	return same;
}

static bool is_any(const struct config_row *row)
{
	(void)row;
	return true;
}

bool config_pool_same(const struct pool_config *a, const struct pool_config *b)
{
	return strcmp(a->name, b->name) == 0 && same_values(CONFIG_POOL, is_any, a, b);
}

static bool is_of_control(const struct config_row *row)
{
	struct span path = span_of(row->path);
	return span_starts_with(path, SPAN("promise.")) || span_is(path, "tiers") || span_is(path, "shape.requests") ||
	       span_is(path, "shape.tokens") || span_is(path, "shape.repeats");
}

bool config_route_same_promise(const struct route_config *a, const struct route_config *b)
{
	return same_values(CONFIG_ROUTE, is_of_control, a, b);
}
