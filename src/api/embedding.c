/* What an embeddings request asks for: one input or many, each a text or its token ids. */
#include "api/check.h"

#include <stdio.h>

#define SHAPE \
	"'input' must be a string, an array of strings, an array of token ids, or an array of arrays of token ids."

struct place {
	char text[32];
};

static struct place place_of(bool is_single, size_t index)
{
	struct place place;
	snprintf(place.text, sizeof(place.text), is_single ? "input" : "input.[%zu]", index);
	return place;
}

static enum error check_tokens(const struct json *json, uint32_t array, const char *place, struct api_fault *fault)
{
	for (uint32_t node = json_first(json, array); node != JSON_NONE; node = json_next(json, array, node)) {
		int64_t token = 0;
		if (json_int64(json, node, &token) != OK || token < 0 || token > INT32_MAX)
			return api_refuse(fault, ERROR_SYNTAX, place,
			                  "An array of token ids must hold only such: integers from 0.");
	}
	return OK;
}

static enum error add_input(struct api_request *request, uint32_t node, bool is_single, struct api_fault *fault)
{
	const struct json *json = &request->json;
	struct place place = place_of(is_single, request->input_count);
	enum json_type type = json_type(json, node);
	struct span raw = json_raw(json, node);
	if (type != JSON_STRING && type != JSON_ARRAY)
		return api_refuse(fault, ERROR_SYNTAX, place.text, SHAPE);
	/* A string's quotes are part of it. */
	if (type == JSON_STRING ? raw.len <= 2 : json->nodes[node].count == 0)
		return api_refuse(fault, ERROR_RANGE, place.text, "An input must not be empty.");
	enum error error = type == JSON_ARRAY ? check_tokens(json, node, place.text, fault) : OK;
	if (!error)
		request->inputs[request->input_count++] = node;
	return error;
}

/* All of one kind: what is a string among token ids was meant otherwise than it would be read. */
static enum error check_many(struct api_request *request, uint32_t array, struct api_fault *fault)
{
	const struct json *json = &request->json;
	enum json_type type = json_type(json, json_first(json, array));
	for (uint32_t node = json_first(json, array); node != JSON_NONE; node = json_next(json, array, node)) {
		if (json_type(json, node) != type)
			return api_refuse(fault, ERROR_SYNTAX, place_of(false, request->input_count).text, SHAPE);
		enum error error = add_input(request, node, false, fault);
		if (error)
			return error;
	}
	return OK;
}

static enum error check_input(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t input = request->input;
	if (input == JSON_NONE)
		return api_refuse(fault, ERROR_SYNTAX, "input", "You must provide an input.");
	bool is_array = json_type(json, input) == JSON_ARRAY && json->nodes[input].count;
	bool is_single = !is_array || json_type(json, json_first(json, input)) == JSON_NUMBER;
	size_t count = is_single ? 1 : json->nodes[input].count;
	if (count > API_INPUTS_MAX)
		return api_refuse(fault, ERROR_LIMIT, "input", "'input' may hold at most %d inputs.", API_INPUTS_MAX);
	request->inputs = arena_alloc(arena, count * sizeof(*request->inputs));
	if (!request->inputs)
		return api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	return is_single ? add_input(request, input, true, fault) : check_many(request, input, fault);
}

enum error api_check_embedding(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	struct span format = SPAN("float");
	enum error error = OK;
	if (request->encoding_format != JSON_NONE)
		error = api_take_string(&request->json, request->encoding_format, arena, &format, fault);
	if (error == ERROR_MEMORY)
		return error;
	request->wants_base64 = span_is(format, "base64");
	if (error || !(request->wants_base64 || span_is(format, "float")))
		return api_refuse(fault, ERROR_UNSUPPORTED, "encoding_format", "'encoding_format' must be float or base64.");
	return check_input(request, arena, fault);
}
