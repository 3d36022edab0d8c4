/* The conversation of a chat request, its tools and the wanted format; the prompt of a completion. */
#include "api/check.h"

#include <stdio.h>

#include "base/macros.h"

/* A text model reads these roles; "developer" is OpenAI's newer name for system. */
static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };

struct place {
	char text[96];
};

static struct place place_of(const char *format, unsigned message, unsigned part)
{
	struct place place;
	snprintf(place.text, sizeof(place.text), format, message, part);
	return place;
}

static bool is_known_role(struct span role)
{
	for (size_t i = 0; i < COUNT_OF(roles); i++) {
		if (span_is(role, roles[i]))
			return true;
	}
	return false;
}

static enum error check_part(const struct json *json, uint32_t part, unsigned message, unsigned index,
                             struct arena *arena, struct api_fault *fault)
{
	struct place place = place_of("messages.[%u].content.[%u].type", message, index);
	struct span type;
	uint32_t node = json_get(json, part, "type");
	enum error error = api_take_string(json, node, arena, &type, fault);
	if (error == ERROR_SYNTAX)
		return api_refuse(fault, error, place.text, "A content part must be an object with a 'type'.");
	if (error)
		return error;
	if (!span_is(type, "text"))
		return api_refuse(fault, ERROR_UNSUPPORTED, place.text,
		                  "Content parts of type '%.*s' are not supported by this model; it reads text only.",
		                  (int)(type.len < 64 ? type.len : 64), type.at);
	uint32_t text = json_get(json, part, "text");
	if (text == JSON_NONE || json_type(json, text) != JSON_STRING)
		return api_refuse(fault, ERROR_SYNTAX, place.text, "A text part must have a string 'text'.");
	return OK;
}

static enum error check_content(const struct json *json, uint32_t message, struct span role, unsigned index,
                                struct arena *arena, struct api_fault *fault)
{
	struct place place = place_of("messages.[%u].content", index, 0);
	uint32_t content = json_get(json, message, "content");
	enum json_type type = content == JSON_NONE ? JSON_NULL : json_type(json, content);
	bool calls_tools = json_get(json, message, "tool_calls") != JSON_NONE;
	if (type == JSON_NULL) {
		if (span_is(role, "assistant") && (calls_tools || content != JSON_NONE))
			return OK;
		return api_refuse(fault, ERROR_SYNTAX, place.text, "'content' is required in a message of role '%.*s'.",
		                  (int)role.len, role.at);
	}
	if (type == JSON_STRING)
		return OK;
	if (type != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, place.text, "'content' must be a string or an array of parts.");
	unsigned part_index = 0;
	for (uint32_t part = json_first(json, content); part != JSON_NONE; part = json_next(json, content, part)) {
		enum error error = check_part(json, part, index, part_index++, arena, fault);
		if (error)
			return error;
	}
	return OK;
}

/* {id, type: "function", function: {name, arguments}}: what the template will read. */
static enum error check_tool_calls(const struct json *json, uint32_t message, unsigned index, struct api_fault *fault)
{
	struct place place = place_of("messages.[%u].tool_calls", index, 0);
	uint32_t calls = json_get(json, message, "tool_calls");
	if (calls == JSON_NONE || json_type(json, calls) == JSON_NULL)
		return OK;
	if (json_type(json, calls) != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, place.text, "'tool_calls' must be an array.");
	for (uint32_t call = json_first(json, calls); call != JSON_NONE; call = json_next(json, calls, call)) {
		uint32_t function = json_get(json, call, "function");
		uint32_t name = json_get(json, function, "name");
		uint32_t arguments = json_get(json, function, "arguments");
		if (function == JSON_NONE || name == JSON_NONE || arguments == JSON_NONE ||
		    json_type(json, name) != JSON_STRING || json_type(json, arguments) != JSON_STRING)
			return api_refuse(fault, ERROR_SYNTAX, place.text,
			                  "A tool call must have a 'function' with a string 'name' and string 'arguments'.");
	}
	return OK;
}

static enum error check_message(const struct json *json, uint32_t message, unsigned index, struct arena *arena,
                                struct api_fault *fault)
{
	struct place place = place_of("messages.[%u].role", index, 0);
	struct span role;
	uint32_t node = json_get(json, message, "role");
	enum error error = api_take_string(json, node, arena, &role, fault);
	if (error == ERROR_SYNTAX)
		return api_refuse(fault, error, place.text, "A message must be an object with a 'role'.");
	if (error)
		return error;
	if (!is_known_role(role))
		return api_refuse(fault, ERROR_UNSUPPORTED, place.text,
		                  "The role '%.*s' is not one of system, developer, user, assistant, tool.",
		                  (int)(role.len < 64 ? role.len : 64), role.at);
	error = check_content(json, message, role, index, arena, fault);
	return error ? error : check_tool_calls(json, message, index, fault);
}

static enum error check_messages(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t messages = request->messages;
	if (messages == JSON_NONE || json_type(json, messages) != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, "messages", "'messages' must be an array of messages.");
	unsigned index = 0;
	for (uint32_t message = json_first(json, messages); message != JSON_NONE;
	     message = json_next(json, messages, message)) {
		enum error error = check_message(json, message, index++, arena, fault);
		if (error)
			return error;
	}
	return index ? OK : api_refuse(fault, ERROR_RANGE, "messages", "'messages' must hold at least one message.");
}

static enum error check_tools(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t tools = request->tools;
	if (tools == JSON_NONE)
		return OK;
	if (json_type(json, tools) != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, "tools", "'tools' must be an array.");
	unsigned index = 0;
	for (uint32_t tool = json_first(json, tools); tool != JSON_NONE; tool = json_next(json, tools, tool), index++) {
		struct place place = place_of("tools.[%u]", index, 0);
		struct span type;
		uint32_t node = json_get(json, tool, "type");
		enum error error = api_take_string(json, node, arena, &type, fault);
		if (error == ERROR_MEMORY)
			return error;
		if (error || !span_is(type, "function"))
			return api_refuse(fault, ERROR_UNSUPPORTED, place.text, "A tool must have the type 'function'.");
		uint32_t function = json_get(json, tool, "function");
		uint32_t name = json_get(json, function, "name");
		if (function == JSON_NONE || name == JSON_NONE || json_type(json, name) != JSON_STRING)
			return api_refuse(fault, ERROR_SYNTAX, place.text, "A tool must have a 'function' with a 'name'.");
	}
	return OK;
}

static enum error check_tool_choice(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t choice = request->tool_choice;
	struct span text;
	if (choice == JSON_NONE)
		return OK;
	enum error error = api_take_string(json, choice, arena, &text, fault);
	if (error == ERROR_MEMORY)
		return error;
	if (json_type(json, choice) == JSON_OBJECT) {
		uint32_t function = json_get(json, choice, "function");
		uint32_t name = json_get(json, function, "name");
		if (function == JSON_NONE || name == JSON_NONE || json_type(json, name) != JSON_STRING)
			return api_refuse(fault, ERROR_SYNTAX, "tool_choice", "'tool_choice' must name a function.");
	} else if (error || !(span_is(text, "auto") || span_is(text, "none") || span_is(text, "required"))) {
		return api_refuse(fault, ERROR_SYNTAX, "tool_choice",
		                  "'tool_choice' must be auto, none, required or name a function.");
	} else if (span_is(text, "none")) {
		return OK;
	}
	if (request->tools == JSON_NONE)
		return api_refuse(fault, ERROR_SYNTAX, "tool_choice", "'tool_choice' is only allowed with 'tools'.");
	return OK;
}

static enum error check_response_format(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t format = request->response_format;
	struct span type;
	if (format == JSON_NONE)
		return OK;
	uint32_t node = json_get(json, format, "type");
	enum error error = api_take_string(json, node, arena, &type, fault);
	if (error == ERROR_SYNTAX)
		return api_refuse(fault, error, "response_format.type", "'response_format' must be an object with a 'type'.");
	if (error)
		return error;
	if (span_is(type, "text") || span_is(type, "json_object"))
		return OK;
	if (!span_is(type, "json_schema"))
		return api_refuse(fault, ERROR_UNSUPPORTED, "response_format.type",
		                  "'response_format.type' must be text, json_object or json_schema.");
	uint32_t wrapper = json_get(json, format, "json_schema");
	uint32_t schema = json_get(json, wrapper, "schema");
	if (wrapper == JSON_NONE || schema == JSON_NONE || json_type(json, schema) != JSON_OBJECT)
		return api_refuse(fault, ERROR_SYNTAX, "response_format.json_schema",
		                  "'json_schema' must be an object with a 'schema' object.");
	return OK;
}

enum error api_check_chat(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	enum error error = check_messages(request, arena, fault);
	if (!error)
		error = check_tools(request, arena, fault);
	if (!error)
		error = check_tool_choice(request, arena, fault);
	return error ? error : check_response_format(request, arena, fault);
}

enum error api_check_prompt(struct api_request *request, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t prompt = request->prompt;
	const char *shape = "'prompt' must be a string, an array with one string, or an array of token ids.";
	if (prompt == JSON_NONE)
		return api_refuse(fault, ERROR_SYNTAX, "prompt", "You must provide a prompt.");
	if (json_type(json, prompt) == JSON_STRING)
		return OK;
	if (json_type(json, prompt) != JSON_ARRAY || json->nodes[prompt].count == 0)
		return api_refuse(fault, ERROR_SYNTAX, "prompt", "%s", shape);
	uint32_t first = json_first(json, prompt);
	enum json_type type = json_type(json, first);
	if (type == JSON_STRING || type == JSON_ARRAY) {
		if (json->nodes[prompt].count > 1)
			return api_refuse(fault, ERROR_UNSUPPORTED, "prompt",
			                  "Only one prompt a request is supported; send one request for each.");
		request->prompt = first;
		prompt = first;
		if (type == JSON_STRING)
			return OK;
	}
	for (uint32_t child = json_first(json, prompt); child != JSON_NONE; child = json_next(json, prompt, child)) {
		int64_t token = 0;
		if (json_int64(json, child, &token) != OK || token < 0 || token > INT32_MAX)
			return api_refuse(fault, ERROR_SYNTAX, "prompt", "%s", shape);
	}
	return json->nodes[prompt].count ? OK : api_refuse(fault, ERROR_SYNTAX, "prompt", "%s", shape);
}
