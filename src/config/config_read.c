/* Walks the table over the tree, section by section: first what the file has and the table doesn't, then every row.
 *
 * A faulty value leaves its field at the default, so that the checks that follow see a whole config. */
#include "config/config_read.h"

#include <string.h>

#include "config/config_table.h"
#include "config/config_value.h"

struct reader {
	struct config *config;
	struct config_faults *faults;
};

/* What a fault calls the node. */
static const char *kind_text(const struct config_node *node)
{
	if (node->is_null)
		return "nothing";
	switch (node->kind) {
	case CONFIG_NODE_SEQUENCE:
		return "a list";
	case CONFIG_NODE_MAPPING:
		return "a mapping";
	default:
		return "one value";
	}
}

/* Whether the node is of that kind; else a fault says so. `wanted` names the kind and what belongs there. */
static bool expect_kind(struct reader *reader, const struct config_node *node, enum config_node_kind kind,
                        const char *wanted)
{
	if (node->kind == kind && !node->is_null)
		return true;
	if (node->kind != CONFIG_NODE_REFUSED)
		config_fault(reader->faults, node->place, node->path, "must be %s, not %s", wanted, kind_text(node));
	return false;
}

static void unknown_key(struct reader *reader, const struct config_node *entry, enum config_section section,
                        const char *prefix)
{
	struct config_guess guess;
	config_guess_init(&guess, span_of(entry->key));
	config_guess_keys(&guess, section, prefix);
	if (guess.best[0] == '\0')
		config_fault(reader->faults, entry->key_place, entry->path, "unknown key");
	else
		config_fault(reader->faults, entry->key_place, entry->path, "unknown key (did you mean %s?)", guess.best);
}

/* `prefix` is "" or a group with its last dot. Recursion goes as deep as the table's groups do, whatever the file holds. */
static void check_keys(struct reader *reader, const struct config_node *node, enum config_section section,
                       const char *prefix)
{
	for (const struct config_node *entry = node->first; entry != NULL; entry = entry->next) {
		const bool is_section =
			section == CONFIG_ROOT && prefix[0] == '\0' &&
			(strcmp(entry->key, "keys") == 0 || strcmp(entry->key, "pools") == 0 || strcmp(entry->key, "routes") == 0);
		if (is_section)
			continue;
		struct bytes path = { 0 };
		bytes_printf(&path, "%s%s", prefix, entry->key);
		/* A dot inside a key would otherwise reach into a group. */
		const bool is_one_part = strchr(entry->key, '.') == NULL;
		if (is_one_part && config_row_find(section, bytes_text(&path)) != NULL) {
			/* read_row reads it */
		} else if (is_one_part && config_path_is_group(section, bytes_text(&path))) {
			bytes_append_byte(&path, '.');
			if (expect_kind(reader, entry, CONFIG_NODE_MAPPING, "a mapping of keys"))
				check_keys(reader, entry, section, bytes_text(&path));
		} else {
			unknown_key(reader, entry, section, prefix);
		}
		bytes_fini(&path);
	}
}

/* The node at "a.b" below `node`, NULL when there is none. */
static const struct config_node *find_path(const struct config_node *node, const char *path)
{
	char part[64];
	while (node != NULL) {
		const size_t len = strcspn(path, ".");
		if (len >= sizeof(part))
			return NULL;
		memcpy(part, path, len);
		part[len] = '\0';
		node = config_tree_get(node, part);
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	return node;
}

/* One scalar into *field; false when a fault was recorded (the field then holds nothing of use). */
static enum error read_scalar(struct reader *reader, const struct config_row *row, const struct config_node *node,
                              void *field, bool *is_good)
{
	*is_good = false;
	if (!expect_kind(reader, node, CONFIG_NODE_SCALAR, "one value"))
		return OK;
	struct bytes text = { 0 };
	struct bytes why = { 0 };
	enum error error = config_value_expand(node->text, &text, &why);
	const struct span value = bytes_span(&text);
	const bool is_text = row->type == CONFIG_STRING || row->type == CONFIG_STRING_LIST;
	if (error == OK && is_text && value.len == 0) {
		bytes_append_text(&why, "must not be empty");
		error = ERROR_SYNTAX;
	}
	if (error == OK)
		error = config_value_read(row, value, node->text, &reader->config->arena, field, &why);
	*is_good = error == OK;
	if (error == ERROR_SYNTAX) {
		config_fault(reader->faults, node->place, node->path, "%s", bytes_text(&why));
		error = OK;
	}
	bytes_fini(&text);
	bytes_fini(&why);
	return error;
}

/* An entry of a list, where a mapping of one key may stand for the text "key=value". */
static enum error read_item(struct reader *reader, const struct config_row *row, const struct config_node *node,
                            const char **item, bool *is_good)
{
	if (!row->pairs || node->kind != CONFIG_NODE_MAPPING || node->count != 1)
		return read_scalar(reader, row, node, item, is_good);
	const char *value;
	enum error error = read_scalar(reader, row, node->first, &value, is_good);
	if (error != OK || !*is_good)
		return error;
	struct bytes text = { 0 };
	bytes_printf(&text, "%s=%s", node->first->key, value);
	*item = bytes_ok(&text) ? arena_copy_text(&reader->config->arena, bytes_span(&text)) : NULL;
	bytes_fini(&text);
	return *item == NULL ? ERROR_MEMORY : OK;
}

/* A list, or one value as a list of one. */
static enum error read_list(struct reader *reader, const struct config_row *row, const struct config_node *node,
                            struct string_list *list, bool *is_good)
{
	const bool is_one = node->kind != CONFIG_NODE_SEQUENCE;
	*is_good = false;
	if (!is_one && node->count == 0) {
		config_fault(reader->faults, node->place, node->path, "needs at least one entry");
		return OK;
	}
	const size_t count = is_one ? 1 : node->count;
	const char **items = arena_alloc(&reader->config->arena, count * sizeof(*items));
	if (items == NULL)
		return ERROR_MEMORY;
	bool all_good = true;
	const struct config_node *item = is_one ? node : node->first;
	for (size_t i = 0; i < count; i++, item = item->next) {
		bool item_is_good;
		const enum error error = read_item(reader, row, item, &items[i], &item_is_good);
		if (error != OK)
			return error;
		all_good = all_good && item_is_good;
	}
	*list = (struct string_list){ items, count };
	*is_good = all_good;
	return OK;
}

/* The row's default; "" or an empty list where there is none. node: where a default that cannot be had is reported, may be NULL. */
static enum error set_default(struct reader *reader, const struct config_row *row, const struct config_node *node,
                              void *field)
{
	const char *initial = row->initial == NULL ? "" : row->initial;
	const char **items = NULL;
	void *value = field;
	if (row->type == CONFIG_STRING_LIST) {
		*(struct string_list *)field = (struct string_list){ NULL, 0 };
		if (initial[0] == '\0')
			return OK;
		items = arena_alloc(&reader->config->arena, sizeof(*items));
		if (items == NULL)
			return ERROR_MEMORY;
		value = items;
	}
	struct bytes why = { 0 };
	enum error error = config_value_read(row, span_of(initial), span_of(initial), &reader->config->arena, value, &why);
	if (error == OK && items != NULL)
		*(struct string_list *)field = (struct string_list){ items, 1 };
	if (error == ERROR_SYNTAX) {
		/* A default that stands in for a faulty value: one fault is enough. */
		if (node != NULL)
			config_fault(reader->faults, node->place, row->path, "the default %s", bytes_text(&why));
		error = OK;
	}
	bytes_fini(&why);
	return error;
}

static enum error read_row(struct reader *reader, const struct config_row *row, const struct config_node *section,
                           void *into)
{
	void *field = (char *)into + row->offset;
	const struct config_node *node = config_row_is_known(row) ? find_path(section, row->path) : NULL;
	bool is_good = false;
	if (node != NULL) {
		const enum error error = row->type == CONFIG_STRING_LIST ? read_list(reader, row, node, field, &is_good)
		                                                         : read_scalar(reader, row, node, field, &is_good);
		if (error != OK)
			return error;
	} else if (row->required) {
		config_fault(reader->faults, section->place, section->path, "%s is missing: %s", row->path, row->help);
	}
	return is_good ? OK : set_default(reader, row, node == NULL ? section : NULL, field);
}

/* One section from its mapping into its struct. */
static enum error read_section(struct reader *reader, enum config_section section, const struct config_node *node,
                               void *into)
{
	check_keys(reader, node, section, "");
	for (size_t i = 0; i < config_row_count; i++) {
		if (config_rows[i].section != section)
			continue;
		const enum error error = read_row(reader, &config_rows[i], node, into);
		if (error != OK)
			return error;
	}
	return OK;
}

/* A name ends up in metrics, logs and URLs. Model names have slashes and colons: Qwen/Qwen3-32B, llama3:8b. */
static void check_name(struct reader *reader, const struct config_node *entry)
{
	const struct span name = span_of(entry->key);
	bool is_good = name.len > 0 && name.len <= 128;
	for (size_t i = 0; i < name.len; i++) {
		const char byte = name.at[i];
		is_good = is_good && ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		                      (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("._-/:@+", byte) != NULL));
	}
	if (!is_good)
		config_fault(reader->faults, entry->key_place, entry->path,
		             "is not a good name: use up to 128 letters, digits and . _ - / : @ +");
}

/* The three sections that repeat: where their entries go, and what they are. */
struct repeated {
	const char *key;
	enum config_section section;
	enum config_node_kind kind;
	size_t size;        /* of one entry's struct */
	size_t line_offset; /* of its line */
	size_t name_offset; /* of its name, for a mapping */
	const char *wanted;
};

static const struct repeated repeated_sections[] = {
	{ "keys", CONFIG_KEY, CONFIG_NODE_SEQUENCE, sizeof(struct key_config), offsetof(struct key_config, line), 0,
	  "a list of keys" },
	{ "pools", CONFIG_POOL, CONFIG_NODE_MAPPING, sizeof(struct pool_config), offsetof(struct pool_config, line),
	  offsetof(struct pool_config, name), "a mapping from names to pools" },
	{ "routes", CONFIG_ROUTE, CONFIG_NODE_MAPPING, sizeof(struct route_config), offsetof(struct route_config, line),
	  offsetof(struct route_config, name), "a mapping from names to routes" },
};

static enum error read_repeated(struct reader *reader, const struct repeated *what, const struct config_node *root,
                                void *out_entries, size_t *out_count)
{
	const struct config_node *node = config_tree_get(root, what->key);
	if (node == NULL || !expect_kind(reader, node, what->kind, what->wanted) || node->count == 0)
		return OK;
	char *entries = arena_alloc(&reader->config->arena, node->count * what->size);
	if (entries == NULL)
		return ERROR_MEMORY;
	size_t count = 0;
	for (const struct config_node *entry = node->first; entry != NULL; entry = entry->next) {
		if (what->kind == CONFIG_NODE_MAPPING)
			check_name(reader, entry);
		if (!expect_kind(reader, entry, CONFIG_NODE_MAPPING, "a mapping of keys"))
			continue;
		char *into = entries + count * what->size;
		*(unsigned *)(void *)(into + what->line_offset) =
			what->kind == CONFIG_NODE_MAPPING ? entry->key_place.line : entry->place.line;
		if (what->kind == CONFIG_NODE_MAPPING) {
			const char *name = arena_copy_text(&reader->config->arena, span_of(entry->key));
			if (name == NULL)
				return ERROR_MEMORY;
			*(const char **)(void *)(into + what->name_offset) = name;
		}
		const enum error error = read_section(reader, what->section, entry, into);
		if (error != OK)
			return error;
		count++;
	}
	memcpy(out_entries, &entries, sizeof(entries));
	*out_count = count;
	return OK;
}

enum error config_read(struct config *config, const struct config_node *root, struct config_faults *faults)
{
	struct reader reader = { config, faults };
	if (root == NULL) {
		config_fault(faults, (struct config_place){ 1, 1 }, "", "the file is empty: it needs `pools` and `routes`");
		return OK;
	}
	if (!expect_kind(&reader, root, CONFIG_NODE_MAPPING, "a mapping of keys"))
		return OK;
	enum error error = read_section(&reader, CONFIG_ROOT, root, config);
	if (error == OK)
		error = read_repeated(&reader, &repeated_sections[0], root, &config->keys, &config->key_count);
	if (error == OK)
		error = read_repeated(&reader, &repeated_sections[1], root, &config->pools, &config->pool_count);
	if (error == OK)
		error = read_repeated(&reader, &repeated_sections[2], root, &config->routes, &config->route_count);
	return error;
}
