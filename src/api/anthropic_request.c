/* A chat request's fields and tools as Anthropic takes them; the conversation is in anthropic_messages.c. */
#include "api/anthropic_parts.h"

#include <stdio.h>
#include <string.h>

#include "api/check.h"

/* ---- tools ---- */

static bool has_tools(const struct api_request *request)
{
	return request->tools != JSON_NONE && json_first(&request->json, request->tools) != JSON_NONE;
}

static enum error write_tool(const struct json *json, uint32_t tool, unsigned index, struct bytes *out,
                             struct api_fault *fault)
{
	char place[64];
	uint32_t function = anthropic_member(json, tool, "function");
	uint32_t name = anthropic_member(json, function, "name");
	uint32_t description = anthropic_member(json, function, "description");
	uint32_t parameters = anthropic_member(json, function, "parameters");
	snprintf(place, sizeof(place), "tools.[%u]", index);
	if (!span_is(anthropic_inner_member(json, tool, "type"), "function"))
		return api_refuse(fault, ERROR_UNSUPPORTED, place, "A tool must have the type 'function' for this model.");
	if (!anthropic_has_type(json, name, JSON_STRING))
		return api_refuse(fault, ERROR_SYNTAX, place, "A tool must have a 'function' with a 'name'.");
	if (anthropic_is_given(json, parameters) && json_type(json, parameters) != JSON_OBJECT)
		return api_refuse(fault, ERROR_SYNTAX, place, "A function's 'parameters' must be a JSON schema, an object.");
	bytes_append_text(out, "{\"name\":");
	bytes_append_span(out, json_raw(json, name));
	if (anthropic_inner(json, description).len) {
		bytes_append_text(out, ",\"description\":");
		bytes_append_span(out, json_raw(json, description));
	}
	bytes_append_text(out, ",\"input_schema\":");
	/* A function without parameters has no schema in OpenAI's API; here each has one, and it has a type. */
	if (anthropic_is_given(json, parameters) && json_first(json, parameters) != JSON_NONE)
		bytes_append_span(out, json_raw(json, parameters));
	else
		bytes_append_text(out, "{\"type\":\"object\",\"properties\":{}}");
	bytes_append_byte(out, '}');
	return OK;
}

static enum error refuse_choice(struct api_fault *fault)
{
	return api_refuse(fault, ERROR_UNSUPPORTED, "tool_choice",
	                  "'tool_choice' must be auto, none, required or name a function for this model.");
}

/* The choice's type there, and the function's name as it stands in the request. */
static enum error read_choice(const struct api_request *request, const char **type, struct span *name,
                              struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t choice = request->tool_choice;
	*type = "auto";
	if (choice == JSON_NONE)
		return OK;
	struct span text = anthropic_inner(json, choice);
	if (json_type(json, choice) == JSON_OBJECT) {
		uint32_t node = anthropic_member(json, anthropic_member(json, choice, "function"), "name");
		if (!anthropic_has_type(json, node, JSON_STRING))
			return refuse_choice(fault);
		*type = "tool";
		*name = json_raw(json, node);
	} else if (span_is(text, "none")) {
		*type = "none";
	} else if (span_is(text, "required")) {
		*type = "any";
	} else if (!span_is(text, "auto")) {
		return refuse_choice(fault);
	}
	return OK;
}

static enum error write_choice(const struct api_request *request, struct bytes *out, struct api_fault *fault)
{
	const char *type = NULL;
	struct span name = { 0 };
	enum error error = read_choice(request, &type, &name, fault);
	if (error)
		return error;
	bool is_free = strcmp(type, "auto") == 0 || strcmp(type, "none") == 0;
	if (!has_tools(request))
		return is_free ? OK : api_refuse(fault, ERROR_SYNTAX, "tool_choice", "'tool_choice' needs 'tools'.");
	bool is_single = !request->parallel_tool_calls && strcmp(type, "none") != 0;
	if (request->tool_choice == JSON_NONE && !is_single)
		return OK;
	bytes_printf(out, ",\"tool_choice\":{\"type\":\"%s\"", type);
	if (name.len) {
		bytes_append_text(out, ",\"name\":");
		bytes_append_span(out, name);
	}
	bytes_append_text(out, is_single ? ",\"disable_parallel_tool_use\":true}" : "}");
	return OK;
}

enum error anthropic_write_tools(const struct api_request *request, struct bytes *out, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t tools = request->tools;
	unsigned index = 0;
	enum error error = OK;
	if (tools != JSON_NONE && json_type(json, tools) != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, "tools", "'tools' must be an array.");
	if (has_tools(request)) {
		bytes_append_text(out, ",\"tools\":[");
		for (uint32_t tool = json_first(json, tools); tool != JSON_NONE && !error;
		     tool = json_next(json, tools, tool)) {
			if (index)
				bytes_append_byte(out, ',');
			error = write_tool(json, tool, index++, out, fault);
		}
		bytes_append_byte(out, ']');
	}
	return error ? error : write_choice(request, out, fault);
}

/* ---- fields ---- */

static enum error refuse_field(struct api_fault *fault, const char *name)
{
	return api_refuse(
		fault, ERROR_UNSUPPORTED, name,
		"'%s' is not supported by this model; remove it, or send the request to a model that supports it.", name);
}

/* What would change the answer, and has no counterpart there. */
static enum error check_fields(const struct api_request *request, struct api_fault *fault)
{
	const struct json *json = &request->json;
	const struct {
		const char *name;
		bool is_used;
	} fields[] = {
		{ "n", request->n > 1 },
		{ "logprobs", request->logprobs },
		{ "logit_bias", request->logit_bias_count > 0 },
		{ "frequency_penalty", request->frequency_penalty != 0 },
		{ "presence_penalty", request->presence_penalty != 0 },
		{ "min_p", request->min_p > 0 },
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].is_used)
			return refuse_field(fault, fields[i].name);
	}
	struct span type = anthropic_inner_member(json, request->response_format, "type");
	if (request->response_format != JSON_NONE && !span_is(type, "text"))
		return refuse_field(fault, "response_format");
	return OK;
}

static void write_sampling(const struct api_request *request, struct bytes *out)
{
	/* There the range ends at 1, where it is OpenAI's default. */
	if (request->temperature >= 0) {
		bytes_append_text(out, ",\"temperature\":");
		json_write_double(out, request->temperature > 1 ? 1 : request->temperature);
	}
	if (request->top_p >= 0) {
		bytes_append_text(out, ",\"top_p\":");
		json_write_double(out, request->top_p);
	}
	if (request->top_k > 0)
		bytes_printf(out, ",\"top_k\":%lld", (long long)request->top_k);
	if (request->stop_count) {
		bool is_list = json_type(&request->json, request->stop_node) == JSON_ARRAY;
		bytes_append_text(out, is_list ? ",\"stop_sequences\":" : ",\"stop_sequences\":[");
		bytes_append_span(out, json_raw(&request->json, request->stop_node));
		bytes_append_text(out, is_list ? "" : "]");
	}
}

static int64_t max_tokens_of(const struct api_request *request, const struct anthropic_settings *settings)
{
	if (settings->max_tokens > 0)
		return settings->max_tokens;
	return request->max_tokens > 0 ? request->max_tokens : ANTHROPIC_MAX_TOKENS;
}

enum error anthropic_write_request(const struct api_request *request, const struct anthropic_settings *settings,
                                   struct bytes *out, struct api_fault *fault)
{
	bytes_append_text(out, "{\"model\":");
	json_write_string(out, span_of(settings->model));
	bytes_printf(out, ",\"max_tokens\":%lld,", (long long)max_tokens_of(request, settings));
	enum error error = anthropic_write_messages(request, out, fault);
	if (!error)
		error = anthropic_write_tools(request, out, fault);
	if (error)
		return error;
	write_sampling(request, out);
	if (request->user.len) {
		bytes_append_text(out, ",\"metadata\":{\"user_id\":");
		json_write_string(out, request->user);
		bytes_append_byte(out, '}');
	}
	bytes_append_text(out, request->stream ? ",\"stream\":true}" : "}");
	return bytes_ok(out) ? OK : api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
}

static void note_ignored(struct api_request *request, struct span name)
{
	if (request->ignored_count < API_IGNORED_MAX)
		request->ignored[request->ignored_count] = name;
	request->ignored_count++;
}

enum error anthropic_check_request(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	struct bytes scratch = { 0 };
	enum error error = api_request_check_fields(request, arena, fault);
	if (!error)
		error = check_fields(request, fault);
	/* Translated once for its faults alone: nobody can then disagree about what is fine. */
	if (!error)
		error = anthropic_write_request(request, &(struct anthropic_settings){ .model = "" }, &scratch, fault);
	bytes_fini(&scratch);
	if (anthropic_is_given(&request->json, json_get(&request->json, JSON_ROOT, "seed")))
		note_ignored(request, SPAN("seed"));
	if (request->reasoning_effort.len)
		note_ignored(request, SPAN("reasoning_effort"));
	return error;
}
