/* Anthropic's Messages API (POST /v1/messages, version 2023-06-01) for clients that speak OpenAI's chat completions: requests, answers, streams and errors
 * translated, without I/O. The dialect in src/stages calls it. The shapes are those of Anthropic's API reference ("Messages", "Streaming messages",
 * "Errors") and of OpenAI's ("Chat completions").
 *
 * Strings are put from one JSON into the other as they stand, escapes and all: what a model wrote reaches the client byte for byte. What has no
 * counterpart is refused where it would change the answer, and else left out; docs/upstreams-anthropic.md lists both. */
#ifndef PENSTOCK_API_ANTHROPIC_H
#define PENSTOCK_API_ANTHROPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/json.h"

#define ANTHROPIC_VERSION "2023-06-01"
/* "max_tokens" is required there: the answer's limit where neither the client nor the route has one. */
#define ANTHROPIC_MAX_TOKENS 4096
/* Calls of one streamed answer; more is no answer. */
#define ANTHROPIC_CALLS_MAX 128

/* ---- requests ---- */

/* What the client doesn't say. */
struct anthropic_settings {
	const char *model;  /* its name there */
	int64_t max_tokens; /* the answer's limit; 0 = as the client asked */
};

/* Checks a request that api_request_read has read: every field against fields.def, then whether all of it can be translated. Fields that are left out are
 * noted in request->ignored. OK, or an error with *fault filled, as api_request_check. */
enum error anthropic_check_request(struct api_request *request, struct arena *arena, struct api_fault *fault);
/* Appends the body for Anthropic to *out. What anthropic_check_request took fails only for want of memory: ERROR_MEMORY, fault filled. */
enum error anthropic_write_request(const struct api_request *request, const struct anthropic_settings *settings,
                                   struct bytes *out, struct api_fault *fault);

/* ---- answers ---- */

/* Tokens; -1 = not told. */
struct anthropic_usage {
	int64_t prompt; /* the cached ones, and those that were written to the cache, included */
	int64_t cached; /* read from the cache */
	int64_t output;
};

/* Whether the body of a 200, or an event's data, says {"type":"error"}. */
bool anthropic_is_error(const struct json *json);
/* A whole message as an OpenAI chat.completion, appended to *out. created: seconds since 1970. ERROR_SYNTAX: it is no message, *out is to be thrown away. */
enum error anthropic_write_answer(const struct json *message, int64_t created, struct bytes *out,
                                  struct anthropic_usage *usage);
/* {"type":"error","error":{"type","message"}} in OpenAI's shape, appended to *out. ERROR_SYNTAX: it is something else; nothing is appended. */
enum error anthropic_write_error(struct span body, struct bytes *out);

/* ---- streams ---- */

enum anthropic_news {
	ANTHROPIC_NOTHING,
	ANTHROPIC_PING,
	ANTHROPIC_CONTENT, /* something that a user would see */
	ANTHROPIC_USAGE,   /* stream->usage is the account of the answer so far */
	ANTHROPIC_DONE,    /* the message is complete, and so is what was written */
	ANTHROPIC_FAILED   /* an error event; its data says which */
};

/* One streamed answer. Zeroed, then created, include_usage and arena are set by the owner, and usage by anthropic_stream_init. */
struct anthropic_stream {
	int64_t created;     /* seconds since 1970 */
	bool include_usage;  /* the client asked for it */
	struct arena *arena; /* borrowed: keeps the chunks' common start */
	/* What has come so far. */
	struct span start; /* of each chunk: {"id":...,"model":...; empty before message_start */
	const char *finish_reason;
	bool is_done;
	struct anthropic_call {
		int64_t block;      /* its index among the message's blocks */
		bool has_arguments; /* some were written */
		bool is_whole;      /* no more of them are taken */
	} calls[ANTHROPIC_CALLS_MAX];
	unsigned call_count;
	struct anthropic_usage usage;
	int64_t input_tokens; /* the parts of usage.prompt; -1 = not told */
	int64_t cache_write_tokens;
};

void anthropic_stream_init(struct anthropic_stream *stream, int64_t created, bool include_usage, struct arena *arena);
/* Takes one event's data, parsed. Appends whole OpenAI events to *out, "[DONE]" last. Blocks, deltas and events of unknown types are skipped. ERROR_SYNTAX: it
 * is no event of such a stream, or out of order; ERROR_LIMIT: too many calls; ERROR_MEMORY. A stream that ends before ANTHROPIC_DONE is not whole. */
enum error anthropic_stream_take(struct anthropic_stream *stream, const struct json *json, struct bytes *out,
                                 enum anthropic_news *news);

#endif
