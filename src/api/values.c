/* Values with a shape of their own that chat and completions share. */
#include "api/check.h"

#include <stdlib.h>
#include <string.h>

static enum error add_stop(struct api_request *request, uint32_t node, struct arena *arena, struct api_fault *fault)
{
	struct span text;
	enum error error = api_take_string(&request->json, node, arena, &text, fault);
	if (error == ERROR_SYNTAX)
		return api_refuse(fault, error, "stop", "'stop' must be a string or an array of up to 4 strings.");
	if (error)
		return error;
	if (text.len == 0)
		return api_refuse(fault, ERROR_RANGE, "stop", "'stop' must not hold an empty string.");
	if (request->stop_count == API_STOPS_MAX)
		return api_refuse(fault, ERROR_LIMIT, "stop", "'stop' may hold at most %d strings.", API_STOPS_MAX);
	request->stops[request->stop_count++] = text;
	return OK;
}

static enum error check_stop(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t node = request->stop_node;
	if (node == JSON_NONE)
		return OK;
	if (json_type(json, node) != JSON_ARRAY)
		return add_stop(request, node, arena, fault);
	enum error error = OK;
	for (uint32_t child = json_first(json, node); child != JSON_NONE && !error; child = json_next(json, node, child))
		error = add_stop(request, child, arena, fault);
	return error;
}

static enum error check_logit_bias(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t node = request->logit_bias_node;
	if (node == JSON_NONE)
		return OK;
	if (json_type(json, node) != JSON_OBJECT)
		return api_refuse(fault, ERROR_SYNTAX, "logit_bias",
		                  "'logit_bias' must be an object of token ids and numbers.");
	uint32_t count = json->nodes[node].count;
	if (count > API_LOGIT_BIAS_MAX)
		return api_refuse(fault, ERROR_LIMIT, "logit_bias", "'logit_bias' may hold at most %d tokens.",
		                  API_LOGIT_BIAS_MAX);
	request->logit_bias = arena_alloc(arena, count * sizeof(*request->logit_bias));
	if (!request->logit_bias)
		return api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	for (uint32_t key = json_first(json, node); key != JSON_NONE;) {
		uint32_t value = json_next(json, node, key);
		struct api_logit_bias *entry = &request->logit_bias[request->logit_bias_count++];
		struct span id;
		uint64_t token = 0;
		enum error error = api_take_string(json, key, arena, &id, fault);
		if (error)
			return error;
		if (span_to_u64(id, INT32_MAX, &token) != OK)
			return api_refuse(fault, ERROR_SYNTAX, "logit_bias", "'logit_bias' has a key that is not a token id.");
		if (json_double(json, value, &entry->bias) != OK || entry->bias < -100 || entry->bias > 100)
			return api_refuse(fault, ERROR_RANGE, "logit_bias",
			                  "'logit_bias' values must be numbers between -100 and 100.");
		entry->token = (int64_t)token;
		key = json_next(json, node, value);
	}
	return OK;
}

static enum error take_max_tokens(struct api_request *request, uint32_t node, const char *name, struct api_fault *fault)
{
	int64_t tokens = 0;
	if (node == JSON_NONE)
		return OK;
	if (json_int64(&request->json, node, &tokens) != OK || tokens < 1)
		return api_refuse(fault, ERROR_RANGE, name, "'%s' must be an integer of at least 1.", name);
	request->max_tokens = tokens;
	return OK;
}

static enum error check_stream_options(struct api_request *request, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint32_t node = request->stream_options;
	if (node == JSON_NONE)
		return OK;
	if (!request->stream)
		return api_refuse(fault, ERROR_UNSUPPORTED, "stream_options",
		                  "'stream_options' is only allowed with 'stream': true.");
	if (json_type(json, node) != JSON_OBJECT)
		return api_refuse(fault, ERROR_SYNTAX, "stream_options", "'stream_options' must be an object.");
	uint32_t usage = json_get(json, node, "include_usage");
	if (usage == JSON_NONE)
		return OK;
	enum json_type type = json_type(json, usage);
	if (type != JSON_TRUE && type != JSON_FALSE && type != JSON_NULL)
		return api_refuse(fault, ERROR_SYNTAX, "stream_options.include_usage",
		                  "'include_usage' must be true or false.");
	request->include_usage = type == JSON_TRUE;
	return OK;
}

static enum error check_logprobs(struct api_request *request, struct api_fault *fault)
{
	if (request->endpoint == API_COMPLETION && request->completion_logprobs >= 0) {
		request->logprobs = true;
		request->top_logprobs = request->completion_logprobs;
	}
	if (request->top_logprobs > 0 && !request->logprobs)
		return api_refuse(fault, ERROR_UNSUPPORTED, "top_logprobs", "'top_logprobs' needs 'logprobs': true.");
	return OK;
}

enum error api_check_values(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	enum error error = check_stop(request, arena, fault);
	if (!error)
		error = check_logit_bias(request, arena, fault);
	if (!error)
		error = take_max_tokens(request, request->max_tokens_node, "max_tokens", fault);
	if (!error)
		error = take_max_tokens(request, request->max_completion_tokens_node, "max_completion_tokens", fault);
	if (!error)
		error = check_stream_options(request, fault);
	return error ? error : check_logprobs(request, fault);
}

enum error api_check_hop(struct api_request *request, struct api_fault *fault)
{
	enum error error = take_max_tokens(request, request->max_tokens_node, "max_tokens", fault);
	if (!error)
		error = take_max_tokens(request, request->max_completion_tokens_node, "max_completion_tokens", fault);
	return error ? error : check_stream_options(request, fault);
}
