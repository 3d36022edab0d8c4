/* A config's life: read from a file or text, shared by references, freed with the last. */
#include "config/config.h"

#include <stdlib.h>

#include "base/file.h"
#include "config/config_read.h"

/* A file of a mebibyte makes at most this much of nodes and paths. */
#define TREE_BYTES_MAX (256u << 20)
#define CONFIG_BYTES_MAX (256u << 20)

static const struct config_place start_of_file = { 1, 1 };

enum error config_load(const char *path, struct config **out, struct bytes *faults)
{
	*out = NULL;
	struct bytes text = { 0 };
	enum error error = file_read(path, CONFIG_FILE_BYTES_MAX + 1, &text);
	if (error != OK)
		bytes_printf(faults, "%s: cannot be read: %s\n", path, error_text(error));
	else
		error = config_parse(text.data, text.len, path, out, faults);
	bytes_fini(&text);
	return error;
}

enum error config_parse(const char *text, size_t len, const char *name, struct config **out, struct bytes *faults)
{
	*out = NULL;
	struct config_faults list = { .file = name, .out = faults };
	if (len > CONFIG_FILE_BYTES_MAX) {
		config_fault(&list, start_of_file, "", "the file is larger than %u KiB", CONFIG_FILE_BYTES_MAX >> 10);
		return ERROR_LIMIT;
	}
	struct config *config = calloc(1, sizeof(*config));
	if (config == NULL)
		return ERROR_MEMORY;
	atomic_init(&config->references, 1);
	arena_init(&config->arena, CONFIG_BYTES_MAX);
	struct arena nodes;
	arena_init(&nodes, TREE_BYTES_MAX);
	const struct config_node *root;
	enum error error = config_tree_read(text == NULL ? "" : text, len, &nodes, &list, &root);
	if (error == OK)
		error = config_read(config, root, &list);
	if (error == OK)
		config_check(config, root, &list);
	if (error == OK && list.count > 0)
		error = ERROR_SYNTAX;
	arena_fini(&nodes);
	config_faults_end(&list);
	if (error == OK)
		*out = config;
	else
		config_unref(&config);
	return error;
}

struct config *config_ref(struct config *config)
{
	atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
	return config;
}

void config_unref(struct config **config)
{
	struct config *last = *config;
	*config = NULL;
	if (last == NULL || atomic_fetch_sub_explicit(&last->references, 1, memory_order_acq_rel) != 1)
		return;
	arena_fini(&last->arena);
	free(last);
}

const struct pool_config *config_pool(const struct config *config, struct span name)
{
	for (size_t i = 0; i < config->pool_count; i++) {
		if (span_is(name, config->pools[i].name))
			return &config->pools[i];
	}
	return NULL;
}

const struct route_config *config_route(const struct config *config, struct span name)
{
	for (size_t i = 0; i < config->route_count; i++) {
		if (span_is(name, config->routes[i].name))
			return &config->routes[i];
	}
	return NULL;
}
