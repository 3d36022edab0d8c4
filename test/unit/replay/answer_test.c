/* Answers: which event is the first token, what is counted, and how an answer ends. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "replay/answer.h"

static void head_of(struct answer *answer, const char *text)
{
	struct http_head head;
	struct http_fault fault;
	size_t scanned = 0;
	size_t used;
	ck_assert_int_eq(
		http_parse_response(text, strlen(text), &http_limits_default, &scanned, false, &head, &used, &fault),
		HTTP_DONE);
	answer_begin(answer);
	answer_head(answer, &head);
}

static void feed(struct answer *answer, const char *text, int64_t now_ns, struct histogram *gaps)
{
	answer_data(answer, span_of(text), now_ns, gaps);
}

static const char stream_head[] =
	"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

START_TEST(waits_for_content)
{
	static struct histogram gaps;
	struct answer answer = { 0 };
	head_of(&answer, stream_head);
	feed(&answer, ": hold on\n\n", 5, &gaps);
	feed(&answer, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", 10, &gaps);
	ck_assert_int_eq(answer.first_token_ns, -1);
	feed(&answer, "data: {\"choices\":[{\"delta\":{\"content\":\"a", 20, &gaps);
	ck_assert_int_eq(answer.first_token_ns, -1);
	feed(&answer, "b\"}}]}\n\n", 30, &gaps);
	ck_assert_int_eq(answer.first_token_ns, 30);
	feed(&answer, "data: {\"choices\":[{\"delta\":{\"content\":\"c\"},\"finish_reason\":\"stop\"}]}\n\n", 70, &gaps);
	feed(&answer, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9}}\n\ndata: [DONE]\n\n",
	     80, &gaps);
	ck_assert(answer_end(&answer, 90));
	ck_assert_uint_eq(answer.content_events, 2);
	ck_assert_uint_eq(answer.prompt_tokens, 7);
	ck_assert_uint_eq(answer.output_tokens, 9);
	ck_assert_uint_eq(gaps.count, 1);
	ck_assert_uint_eq(gaps.max_ns, 40);
	answer_fini(&answer);
}
END_TEST

START_TEST(takes_thoughts_and_tool_calls_for_content)
{
	static const char *const deltas[] = { "{\"reasoning_content\":\"hm\"}", "{\"tool_calls\":[{\"index\":0}]}",
		                                  "{\"content\":\"x\"}" };
	for (size_t i = 0; i < sizeof(deltas) / sizeof(deltas[0]); i++) {
		struct answer answer = { 0 };
		struct bytes event = { 0 };
		head_of(&answer, stream_head);
		bytes_printf(&event, "data: {\"choices\":[{\"delta\":%s}]}\n\n", deltas[i]);
		feed(&answer, bytes_text(&event), 40, NULL);
		ck_assert_int_eq(answer.first_token_ns, 40);
		ck_assert(!answer_end(&answer, 50)); /* no [DONE] */
		answer_fini(&answer);
		bytes_fini(&event);
	}
}
END_TEST

START_TEST(reads_refusals)
{
	struct answer answer = { 0 };
	head_of(&answer, "HTTP/1.1 429 Too Many\r\nretry-after: 3\r\nretry-after-ms: 2500\r\nx-should-retry: "
	                 "false\r\ncontent-length: 0\r\n\r\n");
	ck_assert(!answer_end(&answer, 1));
	ck_assert_int_eq(answer.retry_after_ns, 2500 * NS_PER_MS);
	ck_assert(!answer.may_retry);
	head_of(&answer, "HTTP/1.1 503 No\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n");
	ck_assert_int_eq(answer.retry_after_ns, 3 * NS_PER_S);
	ck_assert(answer.may_retry);
	answer_fini(&answer);
}
END_TEST

START_TEST(sees_errors)
{
	struct answer answer = { 0 };
	head_of(&answer, stream_head);
	feed(&answer, "data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n", 40, NULL);
	ck_assert(!answer_end(&answer, 50));
	ck_assert(answer.is_faulty);
	head_of(&answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n");
	feed(&answer, "<html>no", 1, NULL);
	ck_assert(!answer_end(&answer, 2));
	head_of(&answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n");
	feed(&answer, "{\"choices\":[{}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}", 1, NULL);
	ck_assert(answer_end(&answer, 60));
	ck_assert_int_eq(answer.first_token_ns, 60);
	ck_assert_uint_eq(answer.output_tokens, 4);
	answer_fini(&answer);
}
END_TEST

UNIT_MAIN("replay/answer", waits_for_content, takes_thoughts_and_tool_calls_for_content, reads_refusals, sees_errors)
