/* What the files of anthropic.h share. Not for others. */
#ifndef PENSTOCK_API_ANTHROPIC_PARTS_H
#define PENSTOCK_API_ANTHROPIC_PARTS_H

#include "api/anthropic.h"

/* json_get, but nothing has no members: JSON_NONE is the root's number, too. For the root's own members use json_get. */
static inline uint32_t anthropic_member(const struct json *json, uint32_t parent, const char *name)
{
	return parent == JSON_NONE ? JSON_NONE : json_get(json, parent, name);
}

static inline bool anthropic_has_type(const struct json *json, uint32_t node, enum json_type type)
{
	return node != JSON_NONE && json_type(json, node) == type;
}

/* What stands between a string's quotes; empty for everything else. */
static inline struct span anthropic_inner(const struct json *json, uint32_t node)
{
	if (!anthropic_has_type(json, node, JSON_STRING))
		return (struct span){ 0 };
	struct span raw = json_raw(json, node);
	return (struct span){ raw.at + 1, raw.len - 2 };
}

static inline struct span anthropic_inner_member(const struct json *json, uint32_t parent, const char *name)
{
	return anthropic_inner(json, anthropic_member(json, parent, name));
}

/* Absent and null are the same to both APIs. */
static inline bool anthropic_is_given(const struct json *json, uint32_t node)
{
	return node != JSON_NONE && json_type(json, node) != JSON_NULL;
}

/* The value of "messages": [{"role":...,"content":[...]}], and the member "system" before it where there is one: `"system":"...","messages":[...]`. */
enum error anthropic_write_messages(const struct api_request *request, struct bytes *out, struct api_fault *fault);
/* `,"tools":[...]` and `,"tool_choice":{...}`, where the request has them. */
enum error anthropic_write_tools(const struct api_request *request, struct bytes *out, struct api_fault *fault);

/* OpenAI's word for a stop_reason; "stop" for what is unknown. Static. */
const char *anthropic_finish_reason(struct span stop_reason);
/* A count of tokens; -1 where it is missing or no sane number. */
int64_t anthropic_tokens(const struct json *json, uint32_t usage, const char *name);
/* input tokens of all three kinds; -1 when the first is not told. */
int64_t anthropic_prompt_tokens(int64_t input, int64_t cache_read, int64_t cache_write);
/* OpenAI's usage object; null when nothing is known. */
void anthropic_write_usage(const struct anthropic_usage *usage, struct bytes *out);
/* `{"id":...,"object":OBJECT,"created":...,"model":...` of a message. */
void anthropic_write_start(const struct json *json, uint32_t message, const char *object, int64_t created,
                           struct bytes *out);

#endif
