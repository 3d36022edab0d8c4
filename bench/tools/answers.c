#include "answers.h"

#include <stdio.h>
#include <string.h>

#include "sockets.h"

#define SEQUENCE_DIGITS 8
#define TIME_DIGITS 19

static const char opening[] =
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
	"\"choices\":[{\"index\":0,\"delta\":";
static const char content_opening[] = "{\"content\":\"";
static const char content_closing[] = " \"},\"finish_reason\":null}]}\n\n";
#define OPENING_BYTES (sizeof opening - 1)
#define CONTENT_AT (OPENING_BYTES + sizeof content_opening - 1)
#define TIME_AT (CONTENT_AT + SEQUENCE_DIGITS + 1)
#define LETTERS_AT (TIME_AT + TIME_DIGITS + 1)
#define CLOSING_BYTES (sizeof content_closing - 1)
_Static_assert(LETTERS_AT + CLOSING_BYTES < ANSWERS_EVENT_BYTES_MIN,
               "the smallest event has room for its number and time");

static void write_digits(char *out, unsigned digits, uint64_t value)
{
	for (unsigned at = digits; at-- > 0; value /= 10)
		out[at] = (char)('0' + value % 10);
}

static uint64_t read_digits(const char *in, unsigned digits)
{
	uint64_t value = 0;
	for (unsigned at = 0; at < digits; at++) {
		if (in[at] < '0' || in[at] > '9')
			return 0;
		value = value * 10 + (uint64_t)(in[at] - '0');
	}
	return value;
}

void answers_init(struct answers *answers, uint32_t events, uint32_t event_bytes)
{
	if (event_bytes < ANSWERS_EVENT_BYTES_MIN)
		event_bytes = ANSWERS_EVENT_BYTES_MIN;
	if (event_bytes > ANSWERS_EVENT_BYTES_MAX)
		event_bytes = ANSWERS_EVENT_BYTES_MAX;
	char *content = memory_or_end(event_bytes);
	memset(content, ' ', event_bytes);
	memcpy(content, opening, OPENING_BYTES);
	memcpy(content + OPENING_BYTES, content_opening, sizeof content_opening - 1);
	memcpy(content + event_bytes - CLOSING_BYTES, content_closing, CLOSING_BYTES);
	*answers = (struct answers){ .events = events, .event_bytes = event_bytes, .content = content };
}

static size_t write_content(const struct answers *answers, uint32_t at, uint64_t sent_ns, char *out)
{
	memcpy(out, answers->content, answers->event_bytes);
	write_digits(out + CONTENT_AT, SEQUENCE_DIGITS, at);
	write_digits(out + TIME_AT, TIME_DIGITS, sent_ns);
	/* Letters that differ from one event to the next, so that a mixed-up piece is noticed. */
	char *letters = out + LETTERS_AT;
	size_t count = answers->event_bytes - LETTERS_AT - CLOSING_BYTES;
	for (size_t i = 0; i < count && i < 64; i++)
		letters[i] = (char)('a' + (at + i) % 26);
	for (size_t i = 64; i < count; i += 64)
		memset(letters + i, 'a' + (int)((at + i) % 26), count - i < 64 ? count - i : 64);
	return answers->event_bytes;
}

static size_t write_text(char *out, const char *text)
{
	size_t bytes = strlen(text);
	memcpy(out, text, bytes);
	return bytes;
}

size_t answers_event(const struct answers *answers, bool has_usage, uint32_t at, uint64_t sent_ns, char *out)
{
	if (at >= 1 && at <= answers->events)
		return write_content(answers, at, sent_ns, out);
	if (at == 0) {
		size_t bytes = write_text(out, opening);
		return bytes +
		       write_text(out + bytes, "{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n");
	}
	uint32_t after = at - answers->events;
	if (after == 1) {
		size_t bytes = write_text(out, opening);
		return bytes + write_text(out + bytes, "{},\"finish_reason\":\"stop\"}]}\n\n");
	}
	if (after == 2 && has_usage)
		return (size_t)snprintf(out, 512,
		                        "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,"
		                        "\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":200,"
		                        "\"completion_tokens\":%u,\"total_tokens\":%u}}\n\n",
		                        answers->events, answers->events + 200);
	return after == (has_usage ? 3 : 2) ? write_text(out, "data: [DONE]\n\n") : 0;
}

size_t answers_chunk(const struct answers *answers, bool has_usage, uint32_t at, uint64_t sent_ns, char *out)
{
	static const char digits[] = "0123456789abcdef";
	bool is_content = at >= 1 && at <= answers->events;
	char other[512];
	size_t bytes = is_content ? answers->event_bytes : answers_event(answers, has_usage, at, 0, other);
	if (bytes == 0)
		return 0;
	size_t end = 0;
	for (int shift = bytes > 0xffff ? 16 : bytes > 0xfff ? 12 : bytes > 0xff ? 8 : 4; shift >= 0; shift -= 4)
		out[end++] = digits[(bytes >> shift) & 15];
	memcpy(out + end, "\r\n", 2);
	end += 2;
	if (is_content)
		write_content(answers, at, sent_ns, out + end);
	else
		memcpy(out + end, other, bytes);
	memcpy(out + end + bytes, "\r\n", 2);
	return end + bytes + 2;
}

uint64_t answers_sent_ns(const char *event, size_t event_bytes)
{
	return event_bytes < LETTERS_AT ? 0 : read_digits(event + TIME_AT, TIME_DIGITS);
}

int64_t answers_sequence(const char *event, size_t event_bytes)
{
	if (event_bytes < LETTERS_AT || memcmp(event, opening, OPENING_BYTES) != 0 ||
	    memcmp(event + OPENING_BYTES, content_opening, sizeof content_opening - 1) != 0)
		return -1;
	return (int64_t)read_digits(event + CONTENT_AT, SEQUENCE_DIGITS);
}

uint32_t answers_count(const struct answers *answers, bool has_usage)
{
	return answers->events + (has_usage ? 4 : 3);
}

const char *answers_completion(size_t *bytes)
{
	static char body[2048];
	static size_t body_bytes;
	if (body_bytes == 0) {
		char text[760];
		for (size_t i = 0; i < sizeof text - 1; i++)
			text[i] = i % 8 == 7 ? ' ' : (char)('a' + i % 26);
		text[sizeof text - 1] = '\0';
		body_bytes =
			(size_t)snprintf(body, sizeof body,
		                     "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
		                     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
		                     "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,"
		                     "\"completion_tokens\":128,\"total_tokens\":328}}",
		                     text);
	}
	*bytes = body_bytes;
	return body;
}
