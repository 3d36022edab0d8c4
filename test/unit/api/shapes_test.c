/* Values with a shape of their own, each with the exact param that a refusal names. */
#include "api/bodies.h"

#include "base/macros.h"

struct shape {
	const char *more;
	enum error error; /* OK: accepted */
	const char *param;
};

static void check_shapes(enum api_endpoint endpoint, const char *instead, const struct shape *shapes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct parsed parsed;
		parse_with(&parsed, endpoint, instead, shapes[i].more);
		if (shapes[i].error)
			check_fault(&parsed, shapes[i].error, shapes[i].param, shapes[i].more);
		else
			ck_assert_msg(parsed.error == OK, "%s: %s", shapes[i].more, parsed.fault.message);
		parsed_fini(&parsed);
	}
}

#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define CALL "{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"

START_TEST(messages)
{
	static const struct shape shapes[] = {
		{ "\"messages\":[" USER "]", OK, "" },
		{ "\"messages\":{}", ERROR_SYNTAX, "messages" },
		{ "\"messages\":\"hi\"", ERROR_SYNTAX, "messages" },
		{ "\"messages\":[]", ERROR_RANGE, "messages" },
		{ "\"messages\":[" USER ",7]", ERROR_SYNTAX, "messages.[1].role" },
		{ "\"messages\":[null]", ERROR_SYNTAX, "messages.[0].role" },
		{ "\"messages\":[{\"content\":\"a\"}]", ERROR_SYNTAX, "messages.[0].role" },
		{ "\"messages\":[{\"role\":1,\"content\":\"a\"}]", ERROR_SYNTAX, "messages.[0].role" },
		{ "\"messages\":[{\"role\":\"function\",\"content\":\"a\"}]", ERROR_UNSUPPORTED, "messages.[0].role" },
		{ "\"messages\":[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"developer\",\"content\":\"\"},"
		  "{\"role\":\"user\",\"content\":[]},{\"role\":\"assistant\",\"content\":\"\"},"
		  "{\"role\":\"tool\",\"content\":\"1\",\"tool_call_id\":\"x\"}]",
		  OK, "" },
		{ "\"messages\":[{\"role\":\"user\"}]", ERROR_SYNTAX, "messages.[0].content" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":null}]", ERROR_SYNTAX, "messages.[0].content" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":1}]", ERROR_SYNTAX, "messages.[0].content" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\"}}]", ERROR_SYNTAX, "messages.[0].content" },
		{ "\"messages\":[" USER ",{\"role\":\"assistant\"}]", ERROR_SYNTAX, "messages.[1].content" },
		{ "\"messages\":[{\"role\":\"assistant\",\"content\":null}]", OK, "" },
		{ "\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[" CALL "]}]", OK, "" },
		{ "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":null}]", OK, "" },
	};
	check_shapes(API_CHAT, "messages", shapes, COUNT_OF(shapes));
}
END_TEST

START_TEST(content_parts)
{
	static const struct shape shapes[] = {
		{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
		  "\"text\":\"\"}]}]",
		  OK, "" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":[\"a\"]}]", ERROR_SYNTAX, "messages.[0].content.[0].type" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]}]", ERROR_SYNTAX,
		  "messages.[0].content.[0].type" },
		{ "\"messages\":[" USER ",{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
		  "\"image_url\",\"image_url\":{\"url\":\"x\"}}]}]",
		  ERROR_UNSUPPORTED, "messages.[1].content.[1].type" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", ERROR_SYNTAX,
		  "messages.[0].content.[0].type" },
		{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":null}]}]", ERROR_SYNTAX,
		  "messages.[0].content.[0].type" },
	};
	check_shapes(API_CHAT, "messages", shapes, COUNT_OF(shapes));
}
END_TEST

START_TEST(tool_calls)
{
#define ASSISTANT(calls) "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":" calls "}]"
	static const struct shape shapes[] = {
		{ ASSISTANT("[]"), OK, "" },
		{ ASSISTANT("[" CALL "," CALL "]"), OK, "" },
		{ ASSISTANT("{}"), ERROR_SYNTAX, "messages.[0].tool_calls" },
		{ ASSISTANT("[1]"), ERROR_SYNTAX, "messages.[0].tool_calls" },
		{ ASSISTANT("[{}]"), ERROR_SYNTAX, "messages.[0].tool_calls" },
		{ ASSISTANT("[{\"function\":\"f\"}]"), ERROR_SYNTAX, "messages.[0].tool_calls" },
		{ ASSISTANT("[{\"function\":{\"name\":\"f\"}}]"), ERROR_SYNTAX, "messages.[0].tool_calls" },
		{ ASSISTANT("[{\"function\":{\"arguments\":\"{}\"}}]"), ERROR_SYNTAX, "messages.[0].tool_calls" },
		{ ASSISTANT("[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]"), ERROR_SYNTAX, "messages.[0].tool_calls" },
	};
#undef ASSISTANT
	check_shapes(API_CHAT, "messages", shapes, COUNT_OF(shapes));
}
END_TEST

START_TEST(tools_and_their_choice)
{
#define TOOL "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}"
#define CHOICE "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
	static const struct shape shapes[] = {
		{ "\"tools\":[" TOOL "]", OK, "" },
		{ "\"tools\":[]", OK, "" },
		{ "\"tools\":{}", ERROR_SYNTAX, "tools" },
		{ "\"tools\":[1]", ERROR_UNSUPPORTED, "tools.[0]" },
		{ "\"tools\":[" TOOL ",{\"type\":\"web_search\"}]", ERROR_UNSUPPORTED, "tools.[1]" },
		{ "\"tools\":[{\"type\":\"function\"}]", ERROR_SYNTAX, "tools.[0]" },
		{ "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":1}}]", ERROR_SYNTAX, "tools.[0]" },
		{ "\"tool_choice\":\"none\"", OK, "" },
		{ "\"tool_choice\":\"auto\"", ERROR_SYNTAX, "tool_choice" },
		{ "\"tool_choice\":\"required\"", ERROR_SYNTAX, "tool_choice" },
		{ "\"tool_choice\":" CHOICE, ERROR_SYNTAX, "tool_choice" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":\"auto\"", OK, "" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":\"required\"", OK, "" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":" CHOICE, OK, "" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":\"any\"", ERROR_SYNTAX, "tool_choice" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":1", ERROR_SYNTAX, "tool_choice" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":{}", ERROR_SYNTAX, "tool_choice" },
		{ "\"tools\":[" TOOL "],\"tool_choice\":{\"function\":{}}", ERROR_SYNTAX, "tool_choice" },
		/* A "function" beside the choice is not the choice's. */
		{ "\"name\":\"f\",\"tools\":[" TOOL "],\"tool_choice\":{\"function\":\"f\"}", ERROR_SYNTAX, "tool_choice" },
	};
#undef TOOL
#undef CHOICE
	check_shapes(API_CHAT, NULL, shapes, COUNT_OF(shapes));
}
END_TEST

START_TEST(response_formats)
{
	static const struct shape shapes[] = {
		{ "\"response_format\":{\"type\":\"text\"}", OK, "" },
		{ "\"response_format\":{\"type\":\"json_object\"}", OK, "" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{}}}", OK, "" },
		{ "\"response_format\":\"text\"", ERROR_SYNTAX, "response_format.type" },
		{ "\"response_format\":{}", ERROR_SYNTAX, "response_format.type" },
		{ "\"response_format\":{\"type\":1}", ERROR_SYNTAX, "response_format.type" },
		{ "\"response_format\":{\"type\":\"xml\"}", ERROR_UNSUPPORTED, "response_format.type" },
		{ "\"response_format\":{\"type\":\"json_schema\"}", ERROR_SYNTAX, "response_format.json_schema" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}", ERROR_SYNTAX,
		  "response_format.json_schema" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":\"x\"}}", ERROR_SYNTAX,
		  "response_format.json_schema" },
		/* A schema at the top is not the format's. */
		{ "\"schema\":{},\"response_format\":{\"type\":\"json_schema\"}", ERROR_SYNTAX, "response_format.json_schema" },
	};
	check_shapes(API_CHAT, NULL, shapes, COUNT_OF(shapes));
}
END_TEST

START_TEST(values_of_both_endpoints)
{
	static const struct shape shapes[] = {
		{ "\"stop\":\"a\"", OK, "" },
		{ "\"stop\":[]", OK, "" },
		{ "\"stop\":[\"a\",\"b\",\"c\",\"d\"]", OK, "" },
		{ "\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", ERROR_LIMIT, "stop" },
		{ "\"stop\":\"\"", ERROR_RANGE, "stop" },
		{ "\"stop\":[\"a\",\"\"]", ERROR_RANGE, "stop" },
		{ "\"stop\":1", ERROR_SYNTAX, "stop" },
		{ "\"stop\":{}", ERROR_SYNTAX, "stop" },
		{ "\"stop\":[null]", ERROR_SYNTAX, "stop" },
		{ "\"logit_bias\":{}", OK, "" },
		{ "\"logit_bias\":{\"0\":100,\"2147483647\":-100}", OK, "" },
		{ "\"logit_bias\":[]", ERROR_SYNTAX, "logit_bias" },
		{ "\"logit_bias\":{\"x\":1}", ERROR_SYNTAX, "logit_bias" },
		{ "\"logit_bias\":{\"-1\":1}", ERROR_SYNTAX, "logit_bias" },
		{ "\"logit_bias\":{\"2147483648\":1}", ERROR_SYNTAX, "logit_bias" },
		{ "\"logit_bias\":{\"1\":\"1\"}", ERROR_RANGE, "logit_bias" },
		{ "\"logit_bias\":{\"1\":100.5}", ERROR_RANGE, "logit_bias" },
		{ "\"logit_bias\":{\"1\":-1e9}", ERROR_RANGE, "logit_bias" },
		{ "\"max_tokens\":1", OK, "" },
		{ "\"max_tokens\":0", ERROR_RANGE, "max_tokens" },
		{ "\"max_tokens\":-1", ERROR_RANGE, "max_tokens" },
		{ "\"max_tokens\":1.5", ERROR_RANGE, "max_tokens" },
		{ "\"max_tokens\":\"1\"", ERROR_RANGE, "max_tokens" },
		{ "\"stream_options\":null", OK, "" },
		{ "\"stream_options\":{}", ERROR_UNSUPPORTED, "stream_options" },
		{ "\"stream\":false,\"stream_options\":{}", ERROR_UNSUPPORTED, "stream_options" },
		{ "\"stream_options\":{},\"stream\":true", OK, "" },
		{ "\"stream\":true,\"stream_options\":[]", ERROR_SYNTAX, "stream_options" },
		{ "\"stream\":true,\"stream_options\":{\"include_usage\":null}", OK, "" },
		{ "\"stream\":true,\"stream_options\":{\"include_usage\":1}", ERROR_SYNTAX, "stream_options.include_usage" },
	};
	check_shapes(API_CHAT, NULL, shapes, COUNT_OF(shapes));
	check_shapes(API_COMPLETION, NULL, shapes, COUNT_OF(shapes));
	must_refuse(API_CHAT, "\"max_completion_tokens\":0", ERROR_RANGE, "max_completion_tokens");
	must_refuse(API_CHAT, "\"top_logprobs\":1", ERROR_UNSUPPORTED, "top_logprobs");
	must_refuse(API_CHAT, "\"top_logprobs\":1,\"logprobs\":false", ERROR_UNSUPPORTED, "top_logprobs");
	struct parsed parsed;
	must_accept(&parsed, API_CHAT, "\"top_logprobs\":0");
	parsed_fini(&parsed);
}
END_TEST

START_TEST(a_bias_for_many_tokens)
{
	struct bytes more = { 0 };
	struct parsed parsed;
	bytes_append_text(&more, "\"logit_bias\":{");
	for (int i = 0; i < API_LOGIT_BIAS_MAX; i++)
		bytes_printf(&more, "%s\"%d\":%d", i ? "," : "", i, i % 100);
	const size_t len = more.len;
	bytes_append_byte(&more, '}');
	must_accept(&parsed, API_CHAT, bytes_text(&more));
	ck_assert_uint_eq(parsed.request.logit_bias_count, API_LOGIT_BIAS_MAX);
	ck_assert_int_eq(parsed.request.logit_bias[API_LOGIT_BIAS_MAX - 1].token, API_LOGIT_BIAS_MAX - 1);
	parsed_fini(&parsed);
	more.len = len;
	bytes_append_text(&more, ",\"5000\":1}");
	must_refuse(API_CHAT, bytes_text(&more), ERROR_LIMIT, "logit_bias");
	bytes_fini(&more);
}
END_TEST

START_TEST(prompts)
{
	static const struct {
		const char *value;
		enum error error;
		const char *prompt; /* the node that is left */
	} rows[] = {
		{ "\"a b\"", OK, "\"a b\"" },
		{ "\"\"", OK, "\"\"" },
		{ "[\"a\"]", OK, "\"a\"" },
		{ "[1,2,3]", OK, "[1,2,3]" },
		{ "[[1,2]]", OK, "[1,2]" },
		{ "[]", ERROR_SYNTAX, NULL },
		{ "[[]]", ERROR_SYNTAX, NULL },
		{ "[\"a\",\"b\"]", ERROR_UNSUPPORTED, NULL },
		{ "[[1],[2]]", ERROR_UNSUPPORTED, NULL },
		{ "[1,\"a\"]", ERROR_SYNTAX, NULL },
		{ "[[\"a\"]]", ERROR_SYNTAX, NULL },
		{ "[[[1]]]", ERROR_SYNTAX, NULL },
		{ "[-1]", ERROR_SYNTAX, NULL },
		{ "[2147483648]", ERROR_SYNTAX, NULL },
		{ "[1.5]", ERROR_SYNTAX, NULL },
		{ "[null]", ERROR_SYNTAX, NULL },
		{ "{}", ERROR_SYNTAX, NULL },
		{ "7", ERROR_SYNTAX, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bytes more = { 0 };
		struct parsed parsed;
		bytes_printf(&more, "\"prompt\":%s", rows[i].value);
		parse_with(&parsed, API_COMPLETION, "prompt", bytes_text(&more));
		if (rows[i].error) {
			check_fault(&parsed, rows[i].error, "prompt", rows[i].value);
		} else {
			ck_assert_msg(parsed.error == OK, "%s: %s", rows[i].value, parsed.fault.message);
			ck_span_is(json_raw(&parsed.request.json, parsed.request.prompt), rows[i].prompt);
		}
		parsed_fini(&parsed);
		bytes_fini(&more);
	}
	struct parsed parsed;
	parse_with(&parsed, API_COMPLETION, "prompt", "");
	check_fault(&parsed, ERROR_SYNTAX, "prompt", "absent");
	parsed_fini(&parsed);
}
END_TEST

UNIT_MAIN("api/shapes", messages, content_parts, tool_calls, tools_and_their_choice, response_formats,
          values_of_both_endpoints, a_bias_for_many_tokens, prompts)
