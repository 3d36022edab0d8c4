/* Fields and tools of chat requests as Anthropic takes them; raw texts throughout, since bytes are what is promised. */
#include "translating.h"

static const struct {
	const char *members;
	int64_t max_tokens;
	const char *wanted;
} cases[] = {
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":7", 0,
	  "{\"model\":\"claude\",\"max_tokens\":7,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":7,\"max_completion_tokens\":9", 0,
	  "{\"model\":\"claude\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_completion_tokens\":9", 5,
	  "{\"model\":\"claude\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":0.3,\"top_p\":0.9,\"top_k\":40", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"temperature\":0.3,\"top_p\":0.9,\"top_k\":40}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":2,\"top_k\":-1", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"temperature\":1}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":0,\"top_p\":null", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"temperature\":0}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":\"\\u0041\\n\"", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"stop_sequences\":[\"\\u0041\\n\"]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":[\"a\", \"b\"]", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"stop_sequences\":[\"a\", \"b\"]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":[]", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,\"stream_options\":{\"include_usage\":"
	  "true}",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"stream\":true}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":false", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"user\":\"u\\\"1\"", 0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"metadata\":{\"user_id\":\"u\\\"1\"}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":1,\"logprobs\":false,\"logit_bias\":{},\"frequency_"
	  "penalty\":0,\"presence_penalty\":0,\"min_p\":0,\"response_format\":{\"type\":\"text\"},\"audio\":null",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"metadata\":{\"a\":\"b\"},\"store\":true,\"service_"
	  "tier\":\"auto\",\"prediction\":null",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, 2]},\"strict\":true}}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"tool_choice\":\"auto\"",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}],\"tool_choice\":{\"type\":\"auto\"}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"tool_choice\":\"none\",\"parallel_tool_calls\":false",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}],\"tool_choice\":{\"type\":\"none\"}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"tool_choice\":\"required\"",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}],\"tool_choice\":{\"type\":\"any\"}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"parallel_tool_calls\":false",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"tool_choice\":\"required\",\"parallel_tool_calls\":false",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}],\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"description\":\"d\\u00e9\",\"parameters\":{\"type\":\"object\",\"a\":[1, "
	  "2]},\"strict\":true}}],\"parallel_tool_calls\":true",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\\u00e9\",\"input_schema\":{\"type\":"
	  "\"object\",\"a\":[1, 2]}}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_"
	  "calls\":false",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"g\"}},{\"type\":\"function\",\"function\":{\"name\":\"h\",\"description\":null,\"parameters\":{}}}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"hi\"}]}],\"tools\":[{\"name\":\"g\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}},{"
	  "\"name\":\"h\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]}" },
};

START_TEST(fields_are_translated)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		must_become(cases[i].members, cases[i].max_tokens, cases[i].wanted);
}
END_TEST

static const struct {
	const char *members;
	const char *param;
} refused[] = {
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":2", "n" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":true", "logprobs" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"top_logprobs\":2", "top_logprobs" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":{\"5\":1}", "logit_bias" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":{\"type\":\"json_object\"}",
	  "response_format" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":{\"type\":\"json_schema\",\"json_"
	  "schema\":{\"schema\":{}}}",
	  "response_format" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":7", "response_format" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"audio\":{\"voice\":\"alloy\"}", "audio" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"modalities\":[\"audio\"]", "modalities" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"frequency_penalty\":0.1", "frequency_penalty" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"presence_penalty\":-0.1", "presence_penalty" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"min_p\":0.1", "min_p" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"functions\":[]", "functions" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":3", "temperature" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":\"x\"", "temperature" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":0", "max_tokens" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":[null]", "stop" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":7", "stop" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":{}", "tools" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"custom\"}]", "tools.[0]" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[7]", "tools.[0]" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\"}],\"name\":\"x\"",
	  "tools.[0]" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"parameters\":[]}}]",
	  "tools.[0]" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":\"required\"", "tool_choice" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":\"sometimes\"", "tool_choice" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":{\"type\":\"allowed_tools\"}",
	  "tool_choice" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[],\"tool_choice\":{\"type\":\"function\","
	  "\"function\":{\"name\":\"f\"}}",
	  "tool_choice" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":false,\"stream\":false", "stream" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream_options\":{}", "stream_options" },
};

START_TEST(what_would_change_the_answer_is_refused)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		must_refuse_members(refused[i].members, refused[i].param);
}
END_TEST

START_TEST(what_is_left_out_is_named)
{
	struct translated translated;
	const char *text = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"seed\":1,"
					   "\"thinking\":{},\"reasoning_effort\":\"low\",\"x\":1}";
	translate(&translated, span_of(text), 0);
	ck_error_is(translated.error, OK);
	ck_assert_uint_eq(translated.request.ignored_count, 4);
	ck_span_is(translated.request.ignored[0], "thinking");
	ck_span_is(translated.request.ignored[1], "x");
	ck_span_is(translated.request.ignored[2], "seed");
	ck_span_is(translated.request.ignored[3], "reasoning_effort");
	translated_fini(&translated);
}
END_TEST

UNIT_MAIN("api/anthropic_request", fields_are_translated, what_would_change_the_answer_is_refused,
          what_is_left_out_is_named)
