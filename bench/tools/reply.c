#include "reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sockets.h"

#define LINE_BYTES_MAX 16384

void reply_begin(struct reply *reply, uint64_t asked_ns)
{
	struct reply kept = *reply;
	*reply = (struct reply){ .asked_ns = asked_ns,
		                     .held = kept.held,
		                     .held_capacity = kept.held_capacity,
		                     .text = kept.text,
		                     .text_capacity = kept.text_capacity };
}

void reply_fini(struct reply *reply)
{
	free(reply->held);
	free(reply->text);
}

static void append(char **buffer, size_t *bytes, size_t *capacity, const char *more, size_t count)
{
	if (*bytes + count > *capacity) {
		*capacity = (*bytes + count) * 2;
		*buffer = realloc(*buffer, *capacity);
		if (!*buffer)
			end_with("no memory");
	}
	memcpy(*buffer + *bytes, more, count);
	*bytes += count;
}

static enum reply_state bad(struct reply *reply, const char *fault)
{
	reply->fault = fault;
	return REPLY_BAD;
}

/* One whole event, from "data: " to the empty line, against the one that is due. */
static bool event_take(struct reply *reply, struct reply_plan *plan, const char *event, size_t bytes, uint64_t now)
{
	static char expected[ANSWERS_EVENT_BYTES_MAX + 512];
	if (event[0] == ':') {
		plan->comments++;
		return true;
	}
	uint64_t sent_ns = answers_sent_ns(event, bytes);
	size_t expected_bytes = answers_event(plan->answers, plan->has_usage, reply->next_event, sent_ns, expected);
	if (bytes != expected_bytes || memcmp(event, expected, bytes) != 0) {
		int64_t sequence = answers_sequence(event, bytes);
		bad(reply, expected_bytes == 0            ? "an event after the last"
		           : sequence < 0                 ? "an event differs"
		           : sequence < reply->next_event ? "an event came twice"
		           : sequence > reply->next_event ? "an event is missing"
		                                          : "the bytes of an event differ");
		return false;
	}
	if (reply->next_event == 0)
		histogram_add(&plan->first_event, now - reply->asked_ns);
	if (reply->next_event == 1)
		histogram_add(&plan->first_content, now - reply->asked_ns);
	if (reply->next_event >= 1 && reply->next_event <= plan->answers->events) {
		histogram_add(&plan->relay, now > sent_ns ? now - sent_ns : 0);
		plan->events++;
	}
	reply->next_event++;
	return true;
}

static bool stream_take(struct reply *reply, struct reply_plan *plan, const char *bytes, size_t count, uint64_t now)
{
	/* The end of an event can be half in what is held. */
	if (reply->text_bytes) {
		const char *newline = memchr(bytes, '\n', count);
		while (newline) {
			bool is_end = newline > bytes ? newline[-1] == '\n' : reply->text[reply->text_bytes - 1] == '\n';
			if (is_end)
				break;
			newline = memchr(newline + 1, '\n', count - (size_t)(newline + 1 - bytes));
		}
		size_t part = newline ? (size_t)(newline - bytes) + 1 : count;
		append(&reply->text, &reply->text_bytes, &reply->text_capacity, bytes, part);
		if (!newline)
			return reply->text_bytes < 2 * ANSWERS_EVENT_BYTES_MAX;
		if (!event_take(reply, plan, reply->text, reply->text_bytes, now))
			return false;
		reply->text_bytes = 0;
		bytes += part;
		count -= part;
	}
	const char *end;
	while (count && (end = memmem(bytes, count, "\n\n", 2)) != NULL) {
		size_t part = (size_t)(end - bytes) + 2;
		if (!event_take(reply, plan, bytes, part, now))
			return false;
		bytes += part;
		count -= part;
	}
	append(&reply->text, &reply->text_bytes, &reply->text_capacity, bytes, count);
	return true;
}

static bool body_take(struct reply *reply, struct reply_plan *plan, const char *bytes, size_t count, uint64_t now)
{
	if (!plan->is_exact)
		return true;
	if (plan->is_stream)
		return stream_take(reply, plan, bytes, count, now);
	size_t whole;
	const char *body = answers_completion(&whole);
	if (reply->body_bytes + count > whole || memcmp(body + reply->body_bytes, bytes, count) != 0) {
		reply->fault = "the bytes of the answer differ";
		return false;
	}
	reply->body_bytes += count;
	return true;
}

/* The body's framing has ended: was it all? */
static enum reply_state whole(struct reply *reply, const struct reply_plan *plan)
{
	size_t bytes;
	answers_completion(&bytes);
	if (!plan->is_exact)
		return REPLY_COMPLETE;
	if (plan->is_stream && (reply->next_event != answers_count(plan->answers, plan->has_usage) || reply->text_bytes))
		return bad(reply, "the stream ended early");
	if (!plan->is_stream && reply->body_bytes != bytes)
		return bad(reply, "the answer is too short");
	return REPLY_COMPLETE;
}

static void head_line(struct reply *reply, const char *line)
{
	if (strncasecmp(line, "content-length:", 15) == 0)
		reply->left = strtoull(line + 15, NULL, 10);
	if (strncasecmp(line, "transfer-encoding:", 18) == 0)
		reply->is_chunked = true;
	if (strncasecmp(line, "connection: close", 17) == 0)
		reply->will_close = true;
}

/* The head is in held, with its empty line. */
static enum reply_state head_take(struct reply *reply)
{
	append(&reply->held, &reply->held_bytes, &reply->held_capacity, "", 1);
	if (reply->held_bytes < 13 || memcmp(reply->held, "HTTP/1.1 ", 9) != 0)
		return bad(reply, "no HTTP");
	reply->status = (int)strtol(reply->held + 9, NULL, 10);
	for (const char *line = strchr(reply->held, '\n'); line; line = strchr(line + 1, '\n'))
		head_line(reply, line + 1);
	reply->held_bytes = 0;
	reply->place = reply->is_chunked ? REPLY_SIZE : REPLY_LENGTH;
	if (reply->status == 200)
		return REPLY_OPEN;
	return bad(reply, reply->status == 429   ? "status 429"
	                  : reply->status == 503 ? "status 503"
	                                         : "another status than 200");
}

/* A line of the framing is in held. */
static enum reply_state line_take(struct reply *reply, const struct reply_plan *plan)
{
	append(&reply->held, &reply->held_bytes, &reply->held_capacity, "", 1);
	bool is_empty = reply->held[0] == '\r' || reply->held[0] == '\n';
	if (reply->place == REPLY_SIZE)
		reply->left = strtoull(reply->held, NULL, 16);
	reply->held_bytes = 0;
	if (reply->place == REPLY_TRAILER)
		return is_empty ? whole(reply, plan) : REPLY_OPEN;
	if (reply->place == REPLY_DATA_END)
		reply->place = REPLY_SIZE;
	else
		reply->place = reply->left ? REPLY_DATA : REPLY_TRAILER;
	return REPLY_OPEN;
}

enum reply_state reply_take(struct reply *reply, struct reply_plan *plan, const char *bytes, size_t count, uint64_t now)
{
	while (count) {
		enum reply_state state = REPLY_OPEN;
		size_t part;
		if (reply->place == REPLY_DATA || reply->place == REPLY_LENGTH) {
			part = reply->left < count ? (size_t)reply->left : count;
			if (!body_take(reply, plan, bytes, part, now))
				return REPLY_BAD;
			reply->left -= part;
			if (reply->left == 0 && reply->place == REPLY_LENGTH)
				return part == count ? whole(reply, plan) : bad(reply, "bytes after the answer");
			if (reply->left == 0)
				reply->place = REPLY_DATA_END;
		} else {
			const char *end = memchr(bytes, '\n', count);
			part = end ? (size_t)(end - bytes) + 1 : count;
			append(&reply->held, &reply->held_bytes, &reply->held_capacity, bytes, part);
			if (reply->held_bytes > LINE_BYTES_MAX)
				return bad(reply, "a line without an end");
			if (!end)
				return REPLY_OPEN;
			if (reply->place != REPLY_HEAD)
				state = line_take(reply, plan);
			else if (reply->held_bytes >= 4 && memcmp(reply->held + reply->held_bytes - 4, "\r\n\r\n", 4) == 0)
				state = head_take(reply);
		}
		bytes += part;
		count -= part;
		if (state == REPLY_COMPLETE && count)
			return bad(reply, "bytes after the answer");
		if (state != REPLY_OPEN)
			return state;
	}
	return REPLY_OPEN;
}
