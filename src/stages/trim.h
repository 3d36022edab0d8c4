/* Shorter conversations: the oldest turns of a chat that is longer than its route takes are left out (shape.trim). */
#ifndef PENSTOCK_STAGES_TRIM_H
#define PENSTOCK_STAGES_TRIM_H

#include <stddef.h>
#include <stdint.h>

struct request;

/* What is left out of a body: messages [first, after), which stand in its bytes [at, at + len). count 0 = nothing. */
struct trim {
	uint32_t first;
	uint32_t after;
	uint32_t count;
	size_t at;
	size_t len;
};

/* Leaves out as few of the oldest turns as bring the chat to `bytes` of messages; all that may go where that is not enough. A turn is a user's message with
 * all that follows it up to the next, so that a tool call never loses its result, nor the result its call. System and developer messages stay, and what
 * stands before the last of them in the middle of a conversation; so does the last turn. */
struct trim trim_oldest_turns(const struct request *request, size_t bytes);

#endif
