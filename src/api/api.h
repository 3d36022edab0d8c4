/* OpenAI's wire format, as far as it is the same on both sides of a hop: the gateway's parse stage and the engine's worker
 * read requests with one decoder, so that they can't disagree about what was asked. Errors have one shape everywhere. */
#ifndef PENSTOCK_API_API_H
#define PENSTOCK_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/json.h"

enum api_endpoint { API_CHAT = 1, API_COMPLETION = 2, API_EMBEDDING = 4 };

#define API_STOPS_MAX 4
#define API_CHOICES_MAX 8
#define API_TOP_K_NOT_GIVEN (-2)
#define API_IGNORED_MAX 16
#define API_TOP_LOGPROBS_MAX 20
#define API_LOGIT_BIAS_MAX 1024
#define API_INPUTS_MAX 2048

/* Why a request is refused, in OpenAI's terms. */
struct api_fault {
	int status;        /* HTTP */
	const char *type;  /* static: "invalid_request_error", ... */
	const char *code;  /* static, or NULL */
	char param[128];   /* "messages.[0].content", or "" */
	char message[384]; /* one or two sentences: what is wrong and what to do */
};

struct api_logit_bias {
	int64_t token;
	double bias; /* [-100, 100] */
};

/* A decoded request. Spans borrow from the body or the arena; nodes are indices in json, JSON_NONE where absent or null. */
struct api_request {
	enum api_endpoint endpoint;
	struct span body;
	struct json json;
	struct span model;
	bool stream;
	bool include_usage;          /* stream_options.include_usage */
	bool logprobs;               /* chat: the field; completions: logprobs given */
	bool parallel_tool_calls;    /* true unless the request says false */
	int64_t top_logprobs;        /* [0, 20] */
	int64_t completion_logprobs; /* completions: [0, 5], -1 = not given */
	int64_t max_tokens;          /* of either name; -1 = not given */
	int64_t n;                   /* choices, [1, API_CHOICES_MAX] */
	double temperature;          /* [0, 2]; 0 = greedy; this and the next three: -1 = not given */
	double top_p;                /* [0, 1]; 0 = the likeliest token */
	double min_p;                /* [0, 1] */
	int64_t top_k;               /* 0 or -1 = all; API_TOP_K_NOT_GIVEN */
	double frequency_penalty;    /* [-2, 2] */
	double presence_penalty;
	int64_t seed; /* -1 = not given */
	struct span stops[API_STOPS_MAX];
	size_t stop_count;
	struct api_logit_bias *logit_bias; /* in the arena */
	size_t logit_bias_count;
	uint32_t model_node;
	uint32_t messages;
	uint32_t left_out_first; /* messages [first, after) that are not passed on; 0, 0 = none */
	uint32_t left_out_after;
	uint32_t prompt;
	uint32_t tools;
	uint32_t tool_choice;
	uint32_t response_format;
	uint32_t stream_options;
	uint32_t max_tokens_node;            /* where it stands, for splices */
	uint32_t max_completion_tokens_node; /* wins over max_tokens */
	uint32_t stop_node;
	uint32_t logit_bias_node;
	uint32_t input;
	uint32_t *inputs; /* embeddings, in the arena: each a string or an array of token ids, none empty */
	size_t input_count;
	int64_t dimensions; /* -1 = not given */
	bool wants_base64;  /* encoding_format */
	uint32_t encoding_format;
	struct span user;
	struct span reasoning_effort;
	struct span ignored[API_IGNORED_MAX]; /* unknown fields, in order; more are only counted */
	size_t ignored_count;
};

/* Reads a body as JSON and finds the model, which says how strictly the rest is read: api_request_check for an engine of ours, or
 * api_request_pass_on for one that has its own mind (only what the hop itself needs is read; .hop in fields.def). depth_max: JSON nesting. OK, or an
 * error with *fault filled: ERROR_SYNTAX, ERROR_RANGE, ERROR_LIMIT, ERROR_DUPLICATE (400), ERROR_UNSUPPORTED (400: known, would change the
 * answer, can't be honoured), ERROR_MEMORY (503). Call api_request_fini either way. Zeroed memory or an earlier request (its storage is reused)
 * are fine. The body is borrowed until then. */
enum error api_request_read(struct api_request *request, enum api_endpoint endpoint, struct span body,
                            unsigned depth_max, struct arena *arena, struct api_fault *fault);
enum error api_request_check(struct api_request *request, struct arena *arena, struct api_fault *fault);
enum error api_request_pass_on(struct api_request *request, struct arena *arena, struct api_fault *fault);
/* As api_request_check, without a look into messages, tools, tool_choice, response_format, prompt and input: for who translates them. */
enum error api_request_check_fields(struct api_request *request, struct arena *arena, struct api_fault *fault);
/* api_request_read and api_request_check. */
enum error api_request_parse(struct api_request *request, enum api_endpoint endpoint, struct span body,
                             unsigned depth_max, struct arena *arena, struct api_fault *fault);
void api_request_fini(struct api_request *request);

/* Fills a fault; format as printf. Returns `error`, so that callers can return it on. */
enum error api_refuse(struct api_fault *fault, enum error error, const char *param, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* {"error":{"message":..,"type":..,"param":..,"code":..}}: a whole body, or the data of a stream's last event. */
void api_write_error(struct bytes *out, const struct api_fault *fault);
/* The same for faults that are not about a request's fields. param empty. */
void api_write_error_text(struct bytes *out, const char *type, const char *code, const char *message);
/* OpenAI's "type" for an HTTP status. */
const char *api_error_type(int status);

#endif
