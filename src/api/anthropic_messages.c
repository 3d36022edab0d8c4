/* OpenAI's conversation as Anthropic's: the system's words in a member of their own, then users and assistants in turn, each turn a list of blocks. Blocks of
 * neighbouring messages of one speaker become one message, and a tool's result is a block of the user's. */
#include "api/anthropic_parts.h"

#include <stdio.h>

#include "api/check.h"

#define ARGUMENTS_DEPTH 64
#define NO_PART (-1)

enum speaker { NOBODY, USER, ASSISTANT };

struct conversation {
	const struct json *json;
	struct bytes *out;
	struct arena arena; /* decoded strings, until the end */
	struct json input;  /* a call's arguments */
	struct api_fault *fault;
	enum speaker speaker;    /* whose message is open in out */
	bool is_nested;          /* blocks go into a tool's result */
	unsigned nested;         /* so many have */
	unsigned index;          /* of the message that is read */
	unsigned left_out_first; /* messages [first, after) are not */
	unsigned left_out_after;
	int part; /* of its content, or NO_PART */
};

/* ---- faults ---- */

/* field: behind messages.[3] or messages.[3].content.[1]. */
static enum error refuse(const struct conversation *talk, enum error error, const char *field, const char *message)
{
	char place[128];
	if (talk->part == NO_PART)
		snprintf(place, sizeof(place), "messages.[%u]%s", talk->index, field);
	else
		snprintf(place, sizeof(place), "messages.[%u].content.[%d]%s", talk->index, talk->part, field);
	return api_refuse(talk->fault, error, place, "%s", message);
}

/* The string, decoded; field and message say what is wrong when it is none. */
static enum error take_string(struct conversation *talk, uint32_t node, struct span *out, const char *field,
                              const char *message)
{
	enum error error = api_take_string(talk->json, node, &talk->arena, out, talk->fault);
	return error == ERROR_SYNTAX ? refuse(talk, error, field, message) : error;
}

/* ---- blocks ---- */

static void begin_block(struct conversation *talk, enum speaker speaker)
{
	if (talk->is_nested) {
		bytes_append_text(talk->out, talk->nested++ ? "," : "");
		return;
	}
	if (talk->speaker == speaker) {
		bytes_append_byte(talk->out, ',');
		return;
	}
	bytes_printf(talk->out, "%s{\"role\":\"%s\",\"content\":[", talk->speaker ? "]}," : "",
	             speaker == USER ? "user" : "assistant");
	talk->speaker = speaker;
}

/* Empty ones are refused there, and say nothing. */
static void write_text(struct conversation *talk, enum speaker speaker, uint32_t node)
{
	if (!anthropic_inner(talk->json, node).len)
		return;
	begin_block(talk, speaker);
	bytes_append_text(talk->out, "{\"type\":\"text\",\"text\":");
	bytes_append_span(talk->out, json_raw(talk->json, node));
	bytes_append_byte(talk->out, '}');
}

static const char *const image_shape =
	"An image's url must be http:, https: or data:MEDIA_TYPE;base64,DATA for this model.";

static enum error write_data_image(struct conversation *talk, enum speaker speaker, struct span url)
{
	static const struct span base64 = { ";base64", 7 };
	size_t comma = span_find(url, ',');
	struct span head = { url.at + 5, comma < 5 ? 0 : comma - 5 };
	size_t media = span_find(head, ';');
	bool is_base64 = comma < url.len && head.len >= base64.len &&
	                 span_equal_nocase((struct span){ head.at + head.len - base64.len, base64.len }, base64);
	if (!is_base64 || media == 0)
		return refuse(talk, ERROR_UNSUPPORTED, ".image_url.url", image_shape);
	begin_block(talk, speaker);
	bytes_append_text(talk->out, "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":");
	json_write_string(talk->out, (struct span){ head.at, media });
	bytes_append_text(talk->out, ",\"data\":");
	json_write_string(talk->out, (struct span){ url.at + comma + 1, url.len - comma - 1 });
	bytes_append_text(talk->out, "}}");
	return OK;
}

static bool has_scheme(struct span url, struct span scheme)
{
	return url.len >= scheme.len && span_equal_nocase((struct span){ url.at, scheme.len }, scheme);
}

static enum error write_image(struct conversation *talk, enum speaker speaker, uint32_t part)
{
	uint32_t node = anthropic_member(talk->json, anthropic_member(talk->json, part, "image_url"), "url");
	struct span url;
	enum error error = take_string(talk, node, &url, ".image_url.url", image_shape);
	if (error)
		return error;
	if (has_scheme(url, SPAN("data:")))
		return write_data_image(talk, speaker, url);
	if (!has_scheme(url, SPAN("https://")) && !has_scheme(url, SPAN("http://")))
		return refuse(talk, ERROR_UNSUPPORTED, ".image_url.url", image_shape);
	begin_block(talk, speaker);
	bytes_append_text(talk->out, "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":");
	bytes_append_span(talk->out, json_raw(talk->json, node));
	bytes_append_text(talk->out, "}}");
	return OK;
}

static enum error write_part(struct conversation *talk, enum speaker speaker, uint32_t part)
{
	uint32_t type_node = json_get(talk->json, part, "type");
	struct span type;
	enum error error = take_string(talk, type_node, &type, ".type", "A content part must be an object with a 'type'.");
	if (error)
		return error;
	bool is_refusal = span_is(type, "refusal") && speaker == ASSISTANT;
	if (span_is(type, "text") || is_refusal) {
		uint32_t text = json_get(talk->json, part, is_refusal ? "refusal" : "text");
		if (!anthropic_has_type(talk->json, text, JSON_STRING))
			return refuse(talk, ERROR_SYNTAX, ".text", "A text part must have a string 'text'.");
		write_text(talk, speaker, text);
		return OK;
	}
	if (span_is(type, "image_url") && speaker == USER)
		return write_image(talk, speaker, part);
	return refuse(talk, ERROR_UNSUPPORTED, ".type",
	              speaker == USER ? "This model reads parts of type text and image_url only."
	                              : "This model reads parts of type text only here.");
}

static enum error write_parts(struct conversation *talk, enum speaker speaker, uint32_t content)
{
	enum error error = OK;
	talk->part = 0;
	for (uint32_t part = json_first(talk->json, content); part != JSON_NONE && !error;
	     part = json_next(talk->json, content, part), talk->part++)
		error = write_part(talk, speaker, part);
	talk->part = NO_PART;
	return error;
}

/* ---- messages ---- */

static enum error write_content(struct conversation *talk, enum speaker speaker, uint32_t content)
{
	if (anthropic_has_type(talk->json, content, JSON_ARRAY))
		return write_parts(talk, speaker, content);
	if (!anthropic_has_type(talk->json, content, JSON_STRING))
		return refuse(talk, ERROR_SYNTAX, ".content", "'content' must be a string or an array of parts.");
	write_text(talk, speaker, content);
	return OK;
}

/* Arguments are JSON in a string, as a model wrote it: what is no object can't be a block's input. */
static enum error write_input(struct conversation *talk, uint32_t arguments)
{
	struct span text;
	enum error error = take_string(talk, arguments, &text, ".tool_calls",
	                               "A tool call must have a 'function' with a string 'name' and string 'arguments'.");
	if (error)
		return error;
	error = json_parse(&talk->input, text.at, text.len, ARGUMENTS_DEPTH, NULL);
	if (error == ERROR_MEMORY)
		return api_refuse(talk->fault, error, "", "Out of memory.");
	if (!error && json_type(&talk->input, JSON_ROOT) == JSON_OBJECT)
		bytes_append_span(talk->out, text);
	else
		bytes_append_text(talk->out, "{}");
	return OK;
}

static enum error write_call(struct conversation *talk, uint32_t call)
{
	const struct json *json = talk->json;
	uint32_t id = json_get(json, call, "id");
	uint32_t type = json_get(json, call, "type");
	uint32_t function = json_get(json, call, "function");
	uint32_t name = anthropic_member(json, function, "name");
	bool is_function = !anthropic_is_given(json, type) || span_is(anthropic_inner(json, type), "function");
	if (!is_function || !anthropic_has_type(json, id, JSON_STRING) || !anthropic_has_type(json, name, JSON_STRING))
		return refuse(talk, ERROR_SYNTAX, ".tool_calls",
		              "A tool call must have the type 'function', an 'id', and a 'function' with a 'name'.");
	begin_block(talk, ASSISTANT);
	bytes_append_text(talk->out, "{\"type\":\"tool_use\",\"id\":");
	bytes_append_span(talk->out, json_raw(json, id));
	bytes_append_text(talk->out, ",\"name\":");
	bytes_append_span(talk->out, json_raw(json, name));
	bytes_append_text(talk->out, ",\"input\":");
	enum error error = write_input(talk, anthropic_member(json, function, "arguments"));
	bytes_append_byte(talk->out, '}');
	return error;
}

static enum error write_assistant(struct conversation *talk, uint32_t message, uint32_t content)
{
	const struct json *json = talk->json;
	uint32_t calls = json_get(json, message, "tool_calls");
	enum error error = OK;
	if (anthropic_is_given(json, json_get(json, message, "audio")))
		return refuse(talk, ERROR_UNSUPPORTED, ".audio", "This model can't hear.");
	if (anthropic_is_given(json, json_get(json, message, "function_call")))
		return refuse(talk, ERROR_UNSUPPORTED, ".function_call", "This model takes 'tool_calls' instead.");
	if (anthropic_is_given(json, content))
		error = write_content(talk, ASSISTANT, content);
	else if (content == JSON_NONE && calls == JSON_NONE)
		error = refuse(talk, ERROR_SYNTAX, ".content", "'content' is required in a message of role 'assistant'.");
	if (!error)
		write_text(talk, ASSISTANT, json_get(json, message, "refusal"));
	if (error || !anthropic_is_given(json, calls))
		return error;
	if (json_type(json, calls) != JSON_ARRAY)
		return refuse(talk, ERROR_SYNTAX, ".tool_calls", "'tool_calls' must be an array.");
	for (uint32_t call = json_first(json, calls); call != JSON_NONE && !error; call = json_next(json, calls, call))
		error = write_call(talk, call);
	return error;
}

static enum error write_result(struct conversation *talk, uint32_t message, uint32_t content)
{
	const struct json *json = talk->json;
	uint32_t id = json_get(json, message, "tool_call_id");
	enum error error = OK;
	if (!anthropic_has_type(json, id, JSON_STRING))
		return refuse(talk, ERROR_SYNTAX, ".tool_call_id", "A tool's message must have a string 'tool_call_id'.");
	begin_block(talk, USER);
	bytes_append_text(talk->out, "{\"type\":\"tool_result\",\"tool_use_id\":");
	bytes_append_span(talk->out, json_raw(json, id));
	if (anthropic_inner(json, content).len) {
		bytes_append_text(talk->out, ",\"content\":");
		bytes_append_span(talk->out, json_raw(json, content));
	} else if (anthropic_has_type(json, content, JSON_ARRAY)) {
		bytes_append_text(talk->out, ",\"content\":[");
		talk->is_nested = true;
		talk->nested = 0;
		error = write_parts(talk, USER, content);
		talk->is_nested = false;
		bytes_append_byte(talk->out, ']');
	} else if (anthropic_is_given(json, content) && json_type(json, content) != JSON_STRING) {
		error = refuse(talk, ERROR_SYNTAX, ".content", "'content' must be a string or an array of parts.");
	}
	bytes_append_byte(talk->out, '}');
	return error;
}

static bool is_system(struct span role)
{
	return span_is(role, "system") || span_is(role, "developer");
}

static enum error write_message(struct conversation *talk, uint32_t message, struct span role)
{
	uint32_t content = json_get(talk->json, message, "content");
	if (span_is(role, "user"))
		return write_content(talk, USER, content);
	if (span_is(role, "assistant"))
		return write_assistant(talk, message, content);
	if (span_is(role, "tool"))
		return write_result(talk, message, content);
	if (is_system(role))
		return OK;
	return refuse(talk, ERROR_UNSUPPORTED, ".role", "The role is not one of system, developer, user, assistant, tool.");
}

/* One text of the system's: behind the others, a blank line between. */
static void write_system_text(struct conversation *talk, uint32_t text, bool *has_text)
{
	struct span inner = anthropic_inner(talk->json, text);
	if (!inner.len)
		return;
	bytes_append_text(talk->out, *has_text ? "\\n\\n" : "\"system\":\"");
	bytes_append_span(talk->out, inner);
	*has_text = true;
}

static enum error write_system_message(struct conversation *talk, uint32_t message, bool *has_text)
{
	const struct json *json = talk->json;
	uint32_t content = json_get(json, message, "content");
	if (anthropic_has_type(json, content, JSON_STRING)) {
		write_system_text(talk, content, has_text);
		return OK;
	}
	if (!anthropic_has_type(json, content, JSON_ARRAY))
		return refuse(talk, ERROR_SYNTAX, ".content", "'content' must be a string or an array of parts.");
	talk->part = 0;
	for (uint32_t part = json_first(json, content); part != JSON_NONE;
	     part = json_next(json, content, part), talk->part++) {
		uint32_t text = json_get(json, part, "text");
		bool is_text = span_is(anthropic_inner_member(json, part, "type"), "text");
		if (!is_text || !anthropic_has_type(json, text, JSON_STRING))
			return refuse(talk, ERROR_UNSUPPORTED, ".type", "This model reads parts of type text only here.");
		write_system_text(talk, text, has_text);
	}
	talk->part = NO_PART;
	return OK;
}

/* Goes through the messages for the system's words, or for everybody else's. */
static enum error walk(struct conversation *talk, uint32_t messages, bool for_system)
{
	const struct json *json = talk->json;
	bool has_text = false;
	enum error error = OK;
	talk->index = 0;
	for (uint32_t message = json_first(json, messages); message != JSON_NONE && !error;
	     message = json_next(json, messages, message), talk->index++) {
		if (talk->index >= talk->left_out_first && talk->index < talk->left_out_after)
			continue;
		struct span role;
		error = take_string(talk, json_get(json, message, "role"), &role, ".role",
		                    "A message must be an object with a 'role'.");
		if (!error && for_system && is_system(role))
			error = write_system_message(talk, message, &has_text);
		else if (!error && !for_system)
			error = write_message(talk, message, role);
	}
	if (has_text)
		bytes_append_text(talk->out, "\",");
	return error;
}

enum error anthropic_write_messages(const struct api_request *request, struct bytes *out, struct api_fault *fault)
{
	struct conversation talk = { .json = &request->json,
		                         .out = out,
		                         .fault = fault,
		                         .part = NO_PART,
		                         .left_out_first = request->left_out_first,
		                         .left_out_after = request->left_out_after };
	uint32_t messages = request->messages;
	if (messages == JSON_NONE || json_type(&request->json, messages) != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, "messages", "'messages' must be an array of messages.");
	arena_init(&talk.arena, 0);
	enum error error = walk(&talk, messages, true);
	bytes_append_text(out, "\"messages\":[");
	if (!error)
		error = walk(&talk, messages, false);
	if (!error && talk.speaker == NOBODY)
		error = api_refuse(fault, ERROR_RANGE, "messages",
		                   "'messages' must hold at least one message with content that is not the system's.");
	bytes_append_text(out, "]}]");
	arena_fini(&talk.arena);
	json_fini(&talk.input);
	return error;
}
