/* From libyaml's events to nodes. One loop with a stack of open nodes; nothing recurses on the input.
 *
 * The events, and not libyaml's own document, because they show what a document hides: anchors, tags and duplicates. */
#include "config/config_tree.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct builder {
	struct arena *arena;
	struct config_faults *faults;
	struct config_node *root;
	struct config_node *open[CONFIG_NESTING_MAX]; /* the innermost last */
	unsigned depth;
	const char *key; /* of the entry whose value comes next; NULL: a key comes next */
	struct config_place key_place;
	bool key_is_refused; /* its value is read, but not kept */
	unsigned documents;
};

static struct config_place place_of(yaml_mark_t mark)
{
	return (struct config_place){ (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

static struct config_node *innermost(const struct builder *builder)
{
	return builder->depth == 0 ? NULL : builder->open[builder->depth - 1];
}

static const char *path_of_child(struct builder *builder, const struct config_node *parent, const char *key)
{
	struct bytes path = { 0 };
	if (key == NULL)
		bytes_printf(&path, "%s[%zu]", parent->path, parent->count);
	else if (parent->path[0] == '\0')
		bytes_append_text(&path, key);
	else
		bytes_printf(&path, "%s.%s", parent->path, key);
	const char *copy = bytes_ok(&path) ? arena_copy_text(builder->arena, bytes_span(&path)) : NULL;
	bytes_fini(&path);
	return copy;
}

/* Makes the event's node and hangs it into the innermost open one. */
static enum error add_node(struct builder *builder, enum config_node_kind kind, yaml_mark_t mark,
                           struct config_node **out)
{
	struct config_node *parent = innermost(builder);
	struct config_node *node = arena_alloc(builder->arena, sizeof(*node));
	if (node == NULL)
		return ERROR_MEMORY;
	node->kind = kind;
	node->place = place_of(mark);
	node->path = parent == NULL ? "" : path_of_child(builder, parent, builder->key);
	if (node->path == NULL)
		return ERROR_MEMORY;
	*out = node;
	if (parent == NULL) {
		if (builder->root == NULL)
			builder->root = node;
		return OK;
	}
	node->key = builder->key;
	node->key_place = builder->key_place;
	builder->key = NULL;
	if (builder->key_is_refused) {
		builder->key_is_refused = false;
		return OK;
	}
	if (parent->count == CONFIG_ENTRIES_MAX) {
		config_fault(builder->faults, node->place, parent->path, "has more than %d entries", CONFIG_ENTRIES_MAX);
		return ERROR_SYNTAX;
	}
	if (parent->last == NULL)
		parent->first = node;
	else
		parent->last->next = node;
	parent->last = node;
	parent->count++;
	return OK;
}

static enum error take_key(struct builder *builder, const yaml_event_t *event)
{
	const struct config_node *parent = innermost(builder);
	const struct span text = { (const char *)event->data.scalar.value, event->data.scalar.length };
	const struct config_place place = place_of(event->start_mark);
	if (span_find(text, '\0') < text.len) {
		config_fault(builder->faults, place, parent->path, "a key holds a NUL byte");
		return ERROR_SYNTAX;
	}
	/* Every path below repeats it. */
	if (text.len > CONFIG_KEY_BYTES_MAX) {
		config_fault(builder->faults, place, parent->path, "a key has more than %d bytes", CONFIG_KEY_BYTES_MAX);
		return ERROR_SYNTAX;
	}
	builder->key = arena_copy_text(builder->arena, text);
	builder->key_place = place;
	if (builder->key == NULL)
		return ERROR_MEMORY;
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(builder->key, "<<") == 0) {
		config_fault(builder->faults, place, parent->path, "merge keys (<<) are not supported: write the keys out");
		builder->key_is_refused = true;
		return OK;
	}
	const struct config_node *earlier = config_tree_get(parent, builder->key);
	if (earlier != NULL) {
		config_fault(builder->faults, place, earlier->path, "is given twice, first on line %u",
		             earlier->key_place.line);
		builder->key_is_refused = true;
	}
	return OK;
}

static enum error take_scalar(struct builder *builder, const yaml_event_t *event)
{
	const struct config_node *parent = innermost(builder);
	if (parent != NULL && parent->kind == CONFIG_NODE_MAPPING && builder->key == NULL)
		return take_key(builder, event);
	struct config_node *node;
	const enum error error = add_node(builder, CONFIG_NODE_SCALAR, event->start_mark, &node);
	if (error != OK)
		return error;
	const struct span text = { (const char *)event->data.scalar.value, event->data.scalar.length };
	node->text = (struct span){ arena_copy_text(builder->arena, text), text.len };
	if (node->text.at == NULL)
		return ERROR_MEMORY;
	node->is_null = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	                (text.len == 0 || span_is(text, "~") || span_is(text, "null"));
	return OK;
}

static bool expects_key(const struct builder *builder)
{
	const struct config_node *parent = innermost(builder);
	return parent != NULL && parent->kind == CONFIG_NODE_MAPPING && builder->key == NULL;
}

static enum error take_opening(struct builder *builder, enum config_node_kind kind, const yaml_event_t *event)
{
	const struct config_place place = place_of(event->start_mark);
	if (expects_key(builder)) {
		config_fault(builder->faults, place, innermost(builder)->path, "a key must be a plain word");
		return ERROR_SYNTAX;
	}
	if (builder->depth == CONFIG_NESTING_MAX) {
		config_fault(builder->faults, place, innermost(builder)->path, "is nested more than %d deep",
		             CONFIG_NESTING_MAX);
		return ERROR_SYNTAX;
	}
	struct config_node *node;
	const enum error error = add_node(builder, kind, event->start_mark, &node);
	if (error == OK)
		builder->open[builder->depth++] = node;
	return error;
}

static enum error take_alias(struct builder *builder, const yaml_event_t *event)
{
	const struct config_place place = place_of(event->start_mark);
	const bool is_key = expects_key(builder);
	const struct config_node *parent = innermost(builder);
	config_fault(builder->faults, place, parent == NULL ? "" : parent->path,
	             "aliases are not supported: write out what *%s stands for", (const char *)event->data.alias.anchor);
	struct config_node *node;
	return is_key ? ERROR_SYNTAX : add_node(builder, CONFIG_NODE_REFUSED, event->start_mark, &node);
}

static void refuse_properties(struct builder *builder, const yaml_event_t *event, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
	const struct config_node *parent = innermost(builder);
	const char *path = parent == NULL ? "" : parent->path;
	if (anchor != NULL)
		config_fault(builder->faults, place_of(event->start_mark), path, "anchors (&%s) are not supported",
		             (const char *)anchor);
	if (tag != NULL)
		config_fault(builder->faults, place_of(event->start_mark), path, "tags (%s) are not supported",
		             (const char *)tag);
}

static enum error take_event(struct builder *builder, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++builder->documents > 1) {
			config_fault(builder->faults, place_of(event->start_mark), "", "a second document: only one is read");
			return ERROR_SYNTAX;
		}
		return OK;
	case YAML_SCALAR_EVENT:
		refuse_properties(builder, event, event->data.scalar.anchor, event->data.scalar.tag);
		return take_scalar(builder, event);
	case YAML_SEQUENCE_START_EVENT:
		refuse_properties(builder, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
		return take_opening(builder, CONFIG_NODE_SEQUENCE, event);
	case YAML_MAPPING_START_EVENT:
		refuse_properties(builder, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
		return take_opening(builder, CONFIG_NODE_MAPPING, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		builder->depth--;
		return OK;
	case YAML_ALIAS_EVENT:
		return take_alias(builder, event);
	default:
		return OK;
	}
}

/* Offset of that line's first byte (lines from 1); of the last line's when there are fewer. */
static size_t line_start(const char *text, size_t len, size_t wanted)
{
	size_t start = 0;
	for (size_t line = 1; line < wanted; line++) {
		const char *end = memchr(text + start, '\n', len - start);
		if (end == NULL)
			break;
		start = (size_t)(end - text) + 1;
	}
	return start;
}

/* libyaml's message for a tab depends on where it stands; one that says what to do is better. */
static bool is_indented_by_tab(const char *text, size_t len, size_t line, unsigned *column)
{
	size_t start = line_start(text, len, line);
	for (*column = 1; start < len && (text[start] == ' ' || text[start] == '\t'); start++, ++*column) {
		if (text[start] == '\t')
			return true;
	}
	return false;
}

/* What libyaml could not read. A fault of the encoding comes with an offset, every other with a mark. */
static void syntax_fault(const yaml_parser_t *parser, const char *text, size_t len, struct config_faults *faults)
{
	const char *problem = parser->problem == NULL ? "cannot be read" : parser->problem;
	if (parser->error == YAML_READER_ERROR) {
		struct config_place place = { 1, 1 };
		for (size_t i = 0; i < len && i < parser->problem_offset; i++) {
			place.line += text[i] == '\n';
			place.column = text[i] == '\n' ? 1 : place.column + 1;
		}
		config_fault(faults, place, "", "%s (the file must be UTF-8)", problem);
		return;
	}
	struct config_place place = place_of(parser->problem_mark);
	if (is_indented_by_tab(text, len, place.line, &place.column)) {
		config_fault(faults, place, "", "a tab indents this line: use spaces");
		return;
	}
	place = place_of(parser->problem_mark);
	if (parser->context == NULL)
		config_fault(faults, place, "", "%s", problem);
	else
		config_fault(faults, place, "", "%s (%s on line %u)", problem, parser->context,
		             place_of(parser->context_mark).line);
}

enum error config_tree_read(const char *text, size_t len, struct arena *arena, struct config_faults *faults,
                            const struct config_node **root)
{
	*root = NULL;
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return ERROR_MEMORY;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	struct builder builder = { .arena = arena, .faults = faults };
	enum error error = OK;
	bool is_last = false;
	while (error == OK && !is_last) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			error = parser.error == YAML_MEMORY_ERROR ? ERROR_MEMORY : ERROR_SYNTAX;
			if (error == ERROR_SYNTAX)
				syntax_fault(&parser, text, len, faults);
			break;
		}
		is_last = event.type == YAML_STREAM_END_EVENT;
		error = take_event(&builder, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (error == OK)
		*root = builder.root;
	return error;
}

const struct config_node *config_tree_get(const struct config_node *node, const char *key)
{
	if (node == NULL || node->kind != CONFIG_NODE_MAPPING)
		return NULL;
	for (const struct config_node *entry = node->first; entry != NULL; entry = entry->next) {
		if (strcmp(entry->key, key) == 0)
			return entry;
	}
	return NULL;
}
