/* Reads a chat completion as it comes, streamed or whole: when content arrived, how much, and how it ended. No I/O. */
#ifndef PENSTOCK_REPLAY_ANSWER_H
#define PENSTOCK_REPLAY_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "base/json.h"
#include "http/http_parse.h"
#include "http/sse.h"

struct answer {
	struct sse sse;
	struct bytes whole; /* a body that is no stream, up to a limit */
	struct json json;
	bool is_stream;
	bool is_done;    /* [DONE] came */
	bool has_finish; /* a finish_reason came */
	bool is_faulty;  /* an error event came, or what isn't an event stream */
	int status;
	int64_t first_token_ns; /* monotonic; -1 = none came */
	int64_t last_token_ns;
	uint32_t content_events;
	uint32_t prompt_tokens; /* usage; 0 = not told */
	uint32_t output_tokens;
	int64_t retry_after_ns; /* -1 = not told */
	int64_t predicted_ns;   /* -1 = not told */
	bool may_retry;         /* x-should-retry does not say no */
};

/* Ready for the next answer; what was allocated stays. Zeroed memory is fine the first time. */
void answer_begin(struct answer *answer);
void answer_fini(struct answer *answer);
void answer_head(struct answer *answer, const struct http_head *head);
/* A piece of the body that came at now_ns; gaps between content events go into `gaps` (may be NULL). */
void answer_data(struct answer *answer, struct span data, int64_t now_ns, struct histogram *gaps);
/* The framing says that it is all here: reads what is read at the end. True for a whole and good answer (status 200, and a stream's [DONE]). */
bool answer_end(struct answer *answer, int64_t now_ns);

#endif
