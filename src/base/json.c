/* The validating pass. Nodes stand in document order. While a container is open, its `next` holds the node of the
 * container around it, so that nesting needs neither recursion nor a stack; closing it puts the real value there. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"

#define NODES_FIRST 32
#define NO_PARENT UINT32_MAX

struct parser {
	struct json *json;
	const char *at;
	const char *end;
	uint32_t open; /* innermost open container, NO_PARENT at the top */
	unsigned depth;
	unsigned depth_max;
	const char *reason;
};

static enum error syntax(struct parser *parser, const char *reason)
{
	parser->reason = reason;
	return ERROR_SYNTAX;
}

static bool add_node(struct parser *parser, enum json_type type, const char *start)
{
	struct json *json = parser->json;
	if (json->count == json->capacity) {
		/* Every node takes at least a byte of a text below 4 GiB, so the count cannot overflow before memory does. */
		const size_t capacity = json->capacity == 0 ? NODES_FIRST : (size_t)json->capacity * 2;
		struct json_node *nodes = capacity > UINT32_MAX ? NULL : reallocarray(json->nodes, capacity, sizeof(*nodes));
		if (nodes == NULL)
			return false;
		json->nodes = nodes;
		json->capacity = (uint32_t)capacity;
	}
	json->nodes[json->count++] = (struct json_node){ .start = (uint32_t)(start - json->text), .type = (uint8_t)type };
	return true;
}

/* Closes the newest node, a scalar that ends where the parser stands. */
static void end_scalar(struct parser *parser)
{
	struct json *json = parser->json;
	struct json_node *node = &json->nodes[json->count - 1];
	node->end = (uint32_t)(parser->at - json->text);
	node->next = json->count;
}

static void skip_blanks(struct parser *parser)
{
	while (parser->at < parser->end &&
	       (*parser->at == ' ' || *parser->at == '\n' || *parser->at == '\r' || *parser->at == '\t'))
		parser->at++;
}

static bool is_hex(char byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* Stands on a backslash. */
static enum error skip_escape(struct parser *parser)
{
	if (parser->end - parser->at < 2)
		return syntax(parser, "the text ends inside an escape");
	const char kind = parser->at[1];
	if (kind != 'u') {
		if (kind == '\0' || strchr("\"\\/bfnrt", kind) == NULL)
			return syntax(parser, "unknown escape in a string");
		parser->at += 2;
		return OK;
	}
	for (int i = 2; i < 6; i++) {
		if (parser->end - parser->at <= i || !is_hex(parser->at[i]))
			return syntax(parser, "\\u needs four hexadecimal digits");
	}
	parser->at += 6;
	return OK;
}

/* Stands on a byte that json_skip_plain stopped at, not the end. Sets *ended at the closing quote, which it skips. */
static enum error skip_special(struct parser *parser, bool *escaped, bool *ended)
{
	const unsigned char byte = (unsigned char)*parser->at;
	if (byte == '"') {
		parser->at++;
		*ended = true;
		return OK;
	}
	if (byte == '\\') {
		*escaped = true;
		return skip_escape(parser);
	}
	if (byte < 0x20)
		return syntax(parser, "control character in a string");
	/* Characters beyond ASCII come in runs. */
	do {
		const size_t len = json_utf8_len(parser->at, parser->end);
		if (len == 0)
			return syntax(parser, "malformed UTF-8 in a string");
		parser->at += len;
	} while (parser->at < parser->end && (unsigned char)*parser->at >= 0x80);
	return OK;
}

static enum error parse_string(struct parser *parser)
{
	if (!add_node(parser, JSON_STRING, parser->at))
		return ERROR_MEMORY;
	bool escaped = false;
	bool ended = false;
	parser->at++;
	while (!ended) {
		parser->at = json_skip_plain(parser->at, parser->end);
		if (parser->at == parser->end)
			return syntax(parser, "the text ends inside a string");
		const enum error error = skip_special(parser, &escaped, &ended);
		if (error != OK)
			return error;
	}
	end_scalar(parser);
	parser->json->nodes[parser->json->count - 1].escaped = escaped;
	return OK;
}

static bool skip_digits(struct parser *parser)
{
	const char *start = parser->at;
	while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
		parser->at++;
	return parser->at > start;
}

static bool skip_byte(struct parser *parser, char byte)
{
	if (parser->at == parser->end || *parser->at != byte)
		return false;
	parser->at++;
	return true;
}

static enum error parse_number(struct parser *parser)
{
	if (!add_node(parser, JSON_NUMBER, parser->at))
		return ERROR_MEMORY;
	(void)skip_byte(parser, '-');
	if (skip_byte(parser, '0')) {
		if (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
			return syntax(parser, "a number starts with 0");
	} else if (!skip_digits(parser)) {
		return syntax(parser, "digits expected after a minus");
	}
	if (skip_byte(parser, '.') && !skip_digits(parser))
		return syntax(parser, "digits expected after a decimal point");
	if (skip_byte(parser, 'e') || skip_byte(parser, 'E')) {
		if (!skip_byte(parser, '+'))
			(void)skip_byte(parser, '-');
		if (!skip_digits(parser))
			return syntax(parser, "digits expected in an exponent");
	}
	end_scalar(parser);
	return OK;
}

static enum error parse_word(struct parser *parser, enum json_type type, struct span word)
{
	if ((size_t)(parser->end - parser->at) < word.len || memcmp(parser->at, word.at, word.len) != 0)
		return syntax(parser, "a value was expected");
	if (!add_node(parser, type, parser->at))
		return ERROR_MEMORY;
	parser->at += word.len;
	end_scalar(parser);
	return OK;
}

static enum error open_container(struct parser *parser, enum json_type type)
{
	if (parser->depth == parser->depth_max) {
		parser->reason = "nested too deep";
		return ERROR_LIMIT;
	}
	if (!add_node(parser, type, parser->at))
		return ERROR_MEMORY;
	struct json *json = parser->json;
	json->nodes[json->count - 1].next = parser->open;
	parser->open = json->count - 1;
	parser->depth++;
	parser->at++;
	return OK;
}

static void close_container(struct parser *parser)
{
	struct json *json = parser->json;
	struct json_node *node = &json->nodes[parser->open];
	parser->at++;
	parser->open = node->next;
	parser->depth--;
	node->end = (uint32_t)(parser->at - json->text);
	node->next = json->count;
}

/* A whole scalar, or the opening of a container. */
static enum error parse_value(struct parser *parser)
{
	skip_blanks(parser);
	if (parser->at == parser->end)
		return syntax(parser, "the text ends where a value was expected");
	switch (*parser->at) {
	case '{':
		return open_container(parser, JSON_OBJECT);
	case '[':
		return open_container(parser, JSON_ARRAY);
	case '"':
		return parse_string(parser);
	case 't':
		return parse_word(parser, JSON_TRUE, SPAN("true"));
	case 'f':
		return parse_word(parser, JSON_FALSE, SPAN("false"));
	case 'n':
		return parse_word(parser, JSON_NULL, SPAN("null"));
	case '-':
	case '0' ... '9':
		return parse_number(parser);
	default:
		return syntax(parser, "a value was expected");
	}
}

static enum error parse_key(struct parser *parser)
{
	if (parser->at == parser->end || *parser->at != '"')
		return syntax(parser, "a key in quotes was expected");
	const enum error error = parse_string(parser);
	if (error != OK)
		return error;
	skip_blanks(parser);
	return skip_byte(parser, ':') ? OK : syntax(parser, "a colon was expected after a key");
}

/* The next element or member of the open container, or its end. */
static enum error parse_member(struct parser *parser)
{
	const struct json_node *node = &parser->json->nodes[parser->open];
	const bool is_object = node->type == JSON_OBJECT;
	skip_blanks(parser);
	if (parser->at < parser->end && *parser->at == (is_object ? '}' : ']')) {
		close_container(parser);
		return OK;
	}
	if (node->count > 0) {
		if (!skip_byte(parser, ','))
			return syntax(parser, is_object ? "a comma or } was expected" : "a comma or ] was expected");
		skip_blanks(parser);
	}
	parser->json->nodes[parser->open].count++;
	if (is_object) {
		const enum error error = parse_key(parser);
		if (error != OK)
			return error;
	}
	return parse_value(parser);
}

static enum error parse_document(struct parser *parser)
{
	enum error error = parse_value(parser);
	while (error == OK && parser->open != NO_PARENT)
		error = parse_member(parser);
	if (error != OK)
		return error;
	skip_blanks(parser);
	return parser->at == parser->end ? OK : syntax(parser, "text after the end of the document");
}

enum error json_parse(struct json *json, const char *text, size_t len, unsigned depth_max, struct json_fault *fault)
{
	json->text = len == 0 ? "" : text;
	json->len = len;
	json->count = 0;
	struct parser parser = {
		.json = json, .at = json->text, .end = json->text + len, .open = NO_PARENT, .depth_max = depth_max
	};
	enum error error;
	if (len >= UINT32_MAX) {
		parser.reason = "a text of 4 GiB or more";
		error = ERROR_LIMIT;
	} else {
		error = parse_document(&parser);
	}
	if (error == OK)
		return OK;
	json->count = 0; /* half a document is none */
	if (fault != NULL) {
		fault->offset = (size_t)(parser.at - json->text);
		fault->reason = parser.reason != NULL ? parser.reason : error_text(error);
	}
	return error;
}

void json_fini(struct json *json)
{
	free(json->nodes);
	*json = (struct json){ 0 };
}
