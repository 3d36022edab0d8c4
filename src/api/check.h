/* The shape checks of a request's nested values, called by request.c after the walk. Not for others. */
#ifndef PENSTOCK_API_CHECK_H
#define PENSTOCK_API_CHECK_H

#include "api/api.h"

/* A string's text into *out. ERROR_SYNTAX when it is none: refuse it; ERROR_MEMORY: already refused. */
enum error api_take_string(const struct json *json, uint32_t node, struct arena *arena, struct span *out,
                           struct api_fault *fault);
/* stop, logit_bias, max tokens, stream_options, logprobs. */
enum error api_check_values(struct api_request *request, struct arena *arena, struct api_fault *fault);
/* What a hop reads: max tokens, stream_options. */
enum error api_check_hop(struct api_request *request, struct api_fault *fault);
/* messages, tools, tool_choice, response_format. */
enum error api_check_chat(struct api_request *request, struct arena *arena, struct api_fault *fault);
/* input, encoding_format: fills inputs and wants_base64. */
enum error api_check_embedding(struct api_request *request, struct arena *arena, struct api_fault *fault);
/* prompt: a string, one string or one list of token ids in an array. */
enum error api_check_prompt(struct api_request *request, struct api_fault *fault);

#endif
