/* Whole answers and errors of Anthropic's as OpenAI's. */
#include "unit.h"

#include <string.h>

#include "api/anthropic.h"

#define DEPTH_MAX 32

static void answer(const char *text, enum error wanted_error, const char *wanted, struct anthropic_usage *usage)
{
	struct json json = { 0 };
	struct bytes out = { 0 };
	ck_error_is(json_parse(&json, text, strlen(text), DEPTH_MAX, NULL), OK);
	const enum error error = anthropic_write_answer(&json, 7, &out, usage);
	ck_assert_msg(error == wanted_error, "%s: %s", text, error_text(error));
	if (wanted)
		ck_assert_msg(span_is(bytes_span(&out), wanted), "%s\nbecame %s\nwanted %s", text, bytes_text(&out), wanted);
	json_fini(&json);
	bytes_fini(&out);
}

static const struct {
	const char *text;
	const char *wanted;
} answers[] = {
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"h\\u00e9\"},{\"type\":\"odd\",\"text\":\"no\"},7,{\"type\":\"text\"},{\"type\":\"text\","
	  "\"text\":7},{\"type\":\"text\",\"text\":\" "
	  "\\ud83d\\ude00\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"h\\u00e9 "
	  "\\ud83d\\ude00\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_"
	  "tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_"
	  "reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"thinking\",\"thinking\":\"a\\n\",\"signature\":\"s\"},{\"type\":\"redacted_thinking\",\"data\":\"x\"},{"
	  "\"type\":\"thinking\",\"thinking\":\"b\"},{\"type\":\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\","
	  "\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"reasoning_content\":\"a\\nb\",\"content\":\"hi\"},"
	  "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_"
	  "tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\": \"\\u00e9\\\"\", "
	  "\"b\":[1]}},{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}},{\"type\":\"tool_use\",\"id\":"
	  "\"t3\",\"name\":\"h\"},{\"type\":\"tool_use\",\"name\":\"no "
	  "id\"},{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web\",\"input\":{}}],\"stop_reason\":\"tool_use\","
	  "\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"tool_calls\":[{\"id\":\"t1\",\"type\":\"function\","
	  "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": \\\"\\\\u00e9\\\\\\\"\\\", "
	  "\\\"b\\\":[1]}\"}},{\"id\":\"t2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}},{"
	  "\"id\":\"t3\",\"type\":\"function\",\"function\":{\"name\":\"h\",\"arguments\":\"{}\"}}],\"content\":null},"
	  "\"logprobs\":null,\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,"
	  "\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"stop_sequence\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}"
	  "}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"max_tokens\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"length\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"refusal\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"content_filter\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"pause_turn\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"model_context_window_exceeded\",\"usage\":{\"input_tokens\":5,"
	  "\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"length\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"new\",\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":null,\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,\"cache_creation_input_"
	  "tokens\":2,\"cache_read_input_tokens\":100,\"output_tokens\":0}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":107,\"completion_tokens\":0,\"total_tokens\":107,\"prompt_tokens_"
	  "details\":{\"cached_tokens\":100}}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":0,\"cache_creation_input_"
	  "tokens\":null,\"cache_read_input_tokens\":0,\"output_tokens\":0}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0,\"prompt_tokens_details\":{"
	  "\"cached_tokens\":0}}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"prompt_tokens\":5}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"output_tokens\":5}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":{\"completion_tokens\":5}}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":null}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":7}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":null}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":-1,\"output_tokens\":"
	  "9223372036854775807}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":null}" },
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
	  "\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":\"5\",\"output_tokens\":"
	  "1e300}}",
	  "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{\"index\":0,"
	  "\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":"
	  "\"stop\"}],\"usage\":null}" },
	{ "{\"type\":\"message\",\"content\":[]}",
	  "{\"id\":\"\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"\",\"choices\":[{\"index\":0,\"message\":{"
	  "\"role\":\"assistant\",\"refusal\":null,\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
	  "\"usage\":null}" },
};

START_TEST(messages_are_translated)
{
	struct anthropic_usage usage;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		answer(answers[i].text, OK, answers[i].wanted, &usage);
}
END_TEST

START_TEST(usage_is_told)
{
	struct anthropic_usage usage;
	answer("{\"type\":\"message\",\"content\":[],\"usage\":{\"input_tokens\":1,\"cache_read_input_tokens\":2,"
	       "\"cache_creation_input_tokens\":4,\"output_tokens\":0}}",
	       OK, NULL, &usage);
	ck_assert_int_eq(usage.prompt, 7);
	ck_assert_int_eq(usage.cached, 2);
	ck_assert_int_eq(usage.output, 0);
	answer("{\"type\":\"message\",\"content\":[]}", OK, NULL, &usage);
	ck_assert_int_eq(usage.prompt, -1);
	ck_assert_int_eq(usage.cached, -1);
	ck_assert_int_eq(usage.output, -1);
}
END_TEST

START_TEST(what_is_no_message_is_refused)
{
	static const char *const texts[] = { "[]",
		                                 "7",
		                                 "{}",
		                                 "{\"type\":\"message\"}",
		                                 "{\"type\":\"message\",\"content\":\"x\"}",
		                                 "{\"type\":\"error\",\"error\":{}}",
		                                 "{\"content\":[]}" };
	struct anthropic_usage usage;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		answer(texts[i], ERROR_SYNTAX, NULL, &usage);
}
END_TEST

static const struct {
	const char *text;
	const char *wanted;
} errors[] = {
	{ "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: "
	  "\\u00e9\"},\"request_id\":\"r\"}",
	  "{\"error\":{\"message\":\"model: \\u00e9\",\"type\":\"not_found_error\",\"param\":null,\"code\":null}}" },
	{ "{\"error\":{\"message\":\"x\"}}",
	  "{\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}" },
	{ "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 9 > 8\"}}",
	  "{\"error\":{\"message\":\"prompt is too long: 9 > "
	  "8\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"context_length_exceeded\"}}" },
};

START_TEST(errors_are_translated)
{
	static const char *const others[] = {
		"", "<html>", "{}", "[]", "{\"message\":\"x\"}", "{\"error\":\"x\"}", "{\"error\":{\"message\":7}}"
	};
	struct bytes out = { 0 };
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		bytes_clear(&out);
		ck_error_is(anthropic_write_error(span_of(errors[i].text), &out), OK);
		ck_span_is(bytes_span(&out), errors[i].wanted);
	}
	bytes_clear(&out);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ck_assert_msg(anthropic_write_error(span_of(others[i]), &out) != OK, "%s", others[i]);
		ck_assert_uint_eq(out.len, 0);
	}
	bytes_fini(&out);
}
END_TEST

UNIT_MAIN("api/anthropic_answer", messages_are_translated, usage_is_told, what_is_no_message_is_refused,
          errors_are_translated)
