#include "replay/answer.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "replay/quantity.h"

#define EVENT_BYTES_MAX (4u << 20)
#define WHOLE_BYTES_MAX (4u << 20)
#define DEPTH_MAX 32

void answer_begin(struct answer *answer)
{
	if (answer->is_stream)
		sse_fini(&answer->sse);
	struct answer fresh = { .whole = answer->whole,
		                    .json = answer->json,
		                    .first_token_ns = -1,
		                    .last_token_ns = -1,
		                    .retry_after_ns = -1,
		                    .predicted_ns = -1,
		                    .may_retry = true };
	bytes_clear(&fresh.whole);
	*answer = fresh;
}

void answer_fini(struct answer *answer)
{
	if (answer->is_stream)
		sse_fini(&answer->sse);
	bytes_fini(&answer->whole);
	json_fini(&answer->json);
}

/* A header that is a number of so many ns; -1 where it isn't there or is another thing. */
static int64_t read_time_header(const struct http_head *head, const char *name, double unit_ns)
{
	double value;
	const struct span text = http_header_value(head, name);
	if (!text.len || quantity_number(text, &value) || value < 0 || value * unit_ns > 1e15)
		return -1;
	return llround(value * unit_ns);
}

void answer_head(struct answer *answer, const struct http_head *head)
{
	answer->status = head->status;
	const struct span type = http_header_value(head, "content-type");
	const struct span stream = SPAN("text/event-stream");
	if (type.len >= stream.len && span_equal_nocase((struct span){ type.at, stream.len }, stream)) {
		answer->is_stream = true;
		sse_init(&answer->sse, EVENT_BYTES_MAX);
	}
	answer->predicted_ns = read_time_header(head, "x-penstock-predicted-ms", 1e6);
	if (head->status < 400)
		return;
	answer->retry_after_ns = read_time_header(head, "retry-after-ms", 1e6);
	if (answer->retry_after_ns < 0)
		answer->retry_after_ns = read_time_header(head, "retry-after", 1e9);
	answer->may_retry = !span_equal_nocase(http_header_value(head, "x-should-retry"), SPAN("false"));
}

static void read_usage(struct answer *answer)
{
	const struct json *json = &answer->json;
	const uint32_t usage = json_get(json, JSON_ROOT, "usage");
	int64_t count;
	if (usage == JSON_NONE || json_type(json, usage) != JSON_OBJECT)
		return;
	if (json_int64(json, json_get(json, usage, "prompt_tokens"), &count) == OK && count > 0 && count < UINT32_MAX)
		answer->prompt_tokens = (uint32_t)count;
	if (json_int64(json, json_get(json, usage, "completion_tokens"), &count) == OK && count > 0 && count < UINT32_MAX)
		answer->output_tokens = (uint32_t)count;
}

/* Is it something that a user sees: text, thought or a tool call? */
static bool has_content(const struct json *json, uint32_t delta)
{
	static const char *const texts[] = { "content", "reasoning_content", "reasoning", "refusal" };
	if (delta == JSON_NONE || json_type(json, delta) != JSON_OBJECT)
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const uint32_t node = json_get(json, delta, texts[i]);
		if (node != JSON_NONE && json_type(json, node) == JSON_STRING && json_raw(json, node).len > 2)
			return true;
	}
	const uint32_t calls = json_get(json, delta, "tool_calls");
	return calls != JSON_NONE && json_type(json, calls) == JSON_ARRAY && json->nodes[calls].count > 0;
}

static void note_content(struct answer *answer, int64_t now_ns, struct histogram *gaps)
{
	if (answer->first_token_ns < 0)
		answer->first_token_ns = now_ns;
	else if (gaps)
		histogram_add(gaps, (uint64_t)(now_ns - answer->last_token_ns));
	answer->last_token_ns = now_ns;
	answer->content_events++;
}

static void read_event(struct answer *answer, const struct sse_event *event, int64_t now_ns, struct histogram *gaps)
{
	struct json *json = &answer->json;
	if (event->is_comment)
		return;
	if (span_is(span_trim(event->data), "[DONE]")) {
		answer->is_done = true;
		return;
	}
	if (json_parse(json, event->data.at, event->data.len, DEPTH_MAX, NULL) != OK) {
		answer->is_faulty = true;
		return;
	}
	if (json_get(json, JSON_ROOT, "error") != JSON_NONE || span_is(event->name, "error"))
		answer->is_faulty = true;
	read_usage(answer);
	const uint32_t choices = json_get(json, JSON_ROOT, "choices");
	const uint32_t choice =
		choices != JSON_NONE && json_type(json, choices) == JSON_ARRAY ? json_first(json, choices) : JSON_NONE;
	if (choice == JSON_NONE)
		return;
	if (has_content(json, json_get(json, choice, "delta")))
		note_content(answer, now_ns, gaps);
	const uint32_t finish = json_get(json, choice, "finish_reason");
	answer->has_finish |= finish != JSON_NONE && json_type(json, finish) == JSON_STRING;
}

void answer_data(struct answer *answer, struct span data, int64_t now_ns, struct histogram *gaps)
{
	struct sse_event event;
	if (!answer->is_stream) {
		if (answer->whole.len + data.len <= WHOLE_BYTES_MAX)
			bytes_append_span(&answer->whole, data);
		return;
	}
	while (data.len) {
		bool complete;
		if (sse_feed(&answer->sse, &data.at, &data.len, &complete, &event)) {
			answer->is_faulty = true;
			return;
		}
		if (!complete)
			return;
		read_event(answer, &event, now_ns, gaps);
	}
}

bool answer_end(struct answer *answer, int64_t now_ns)
{
	if (answer->status != 200)
		return false;
	if (answer->is_stream)
		return answer->is_done && !answer->is_faulty;
	struct json *json = &answer->json;
	if (!bytes_ok(&answer->whole) || json_parse(json, answer->whole.data, answer->whole.len, DEPTH_MAX, NULL) != OK ||
	    json_get(json, JSON_ROOT, "choices") == JSON_NONE) {
		answer->is_faulty = true;
		return false;
	}
	/* All of it comes at once: the first token with the last. */
	note_content(answer, now_ns, NULL);
	read_usage(answer);
	return true;
}
