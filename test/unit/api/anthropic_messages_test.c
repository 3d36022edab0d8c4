/* Conversations as Anthropic takes them; strings keep their bytes, escapes included. */
#include "translating.h"

static const struct {
	const char *members;
	int64_t max_tokens;
	const char *wanted;
} cases[] = {
	{ "\"messages\":[{\"role\":\"system\",\"content\":\"one\"},{\"role\":\"developer\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"tw\\u006f\"},{\"type\":\"text\",\"text\":\"\"}]},{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
	  "\"system\",\"content\":\"three\"}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"system\":\"one\\n\\ntw\\u006f\\n\\nthree\",\"messages\":[{\"role\":"
	  "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]}" },
	{ "\"messages\":[{\"role\":\"system\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"h\\u00e9\\ud83d\\ude00 "
	  "\\ud800\"}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"h\\u00e9\\ud83d\\ude00 \\ud800\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},{\"role\":"
	  "\"assistant\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"d\"},{"
	  "\"type\":\"refusal\",\"refusal\":\"e\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"f\"},{"
	  "\"type\":\"text\",\"text\":\"\"}]}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"c\"},{\"type\":\"text\",\"text\":\"d\"},{\"type\":\"text\",\"text\":\"e\"}]},{\"role\":\"user\","
	  "\"content\":[{\"type\":\"text\",\"text\":\"f\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"\"},{\"role\":\"assistant\",\"content\":\"x\",\"name\":\"n\"},{"
	  "\"role\":\"assistant\",\"content\":null,\"tool_calls\":null}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"x\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"}"
	  "]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"q\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
	  "png;base64,AB+/=\",\"detail\":\"low\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"DATA:image\\/"
	  "jpeg;charset=x;BASE64,AB\",\"detail\":\"low\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/"
	  "a\\u0062.png\",\"detail\":\"low\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://h/"
	  "\",\"detail\":\"low\"}}]}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\","
	  "\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AB+/"
	  "=\"}},{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
	  "jpeg\",\"data\":\"AB\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://h/"
	  "a\\u0062.png\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://h/\"}}]}]}" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
	  "\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": [1, "
	  "{\\\"b\\\":\\\"\\\\u00e9\\\"}]}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\","
	  "\"arguments\":\"\"}},{\"id\":\"c3\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"[1]\"}},{"
	  "\"id\":\"c4\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\"}},{\"id\":\"c5\","
	  "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\" "
	  "{}\\n\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"r\\u0031\"},{\"role\":\"tool\",\"tool_call_"
	  "id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"r2\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
	  "\"https://h/"
	  "\",\"detail\":\"low\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c3\"},{\"role\":\"tool\",\"tool_call_id\":"
	  "\"c4\",\"content\":\"\"},{\"role\":\"tool\",\"tool_call_id\":\"c5\",\"content\":[]},{\"role\":\"user\","
	  "\"content\":\"and?\"}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"q\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\","
	  "\"input\":{\"a\": [1, "
	  "{\"b\":\"\\u00e9\"}]}},{\"type\":\"tool_use\",\"id\":\"c2\",\"name\":\"g\",\"input\":{}},{\"type\":\"tool_use\","
	  "\"id\":\"c3\",\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\",\"id\":\"c4\",\"name\":\"f\",\"input\":{}},{"
	  "\"type\":\"tool_use\",\"id\":\"c5\",\"name\":\"f\",\"input\": "
	  "{}\n}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":"
	  "\"r\\u0031\"},{\"type\":\"tool_result\",\"tool_use_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"r2\"},"
	  "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://h/"
	  "\"}}]},{\"type\":\"tool_result\",\"tool_use_id\":\"c3\"},{\"type\":\"tool_result\",\"tool_use_id\":\"c4\"},{"
	  "\"type\":\"tool_result\",\"tool_use_id\":\"c5\",\"content\":[]},{\"type\":\"text\",\"text\":\"and?\"}]}]}" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":\"let "
	  "me\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}],\"reasoning_content\":"
	  "\"lost\"}]",
	  0,
	  "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
	  "\"text\":\"let me\"},{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{}}]}]}" },
};

START_TEST(conversations_are_translated)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		must_become(cases[i].members, cases[i].max_tokens, cases[i].wanted);
}
END_TEST

static const struct {
	const char *members;
	const char *param;
} refused[] = {
	{ "\"messages\":7", "messages" },
	{ "\"x\":1", "messages" },
	{ "\"messages\":[]", "messages" },
	{ "\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]", "messages" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"\"}]", "messages" },
	{ "\"messages\":[7]", "messages.[0].role" },
	{ "\"messages\":[{\"content\":\"x\"}]", "messages.[0].role" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"function\",\"content\":\"x\"}]",
	  "messages.[1].role" },
	{ "\"messages\":[{\"role\":\"user\"}]", "messages.[0].content" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":null}]", "messages.[0].content" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":7}]", "messages.[0].content" },
	{ "\"messages\":[{\"role\":\"assistant\"}]", "messages.[0].content" },
	{ "\"messages\":[{\"role\":\"system\"}]", "messages.[0].content" },
	{ "\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"image_url\"}]}]", "messages.[0].content.[0].type" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[7]}]", "messages.[0].content.[0].type" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"input_audio\"}]}]",
	  "messages.[0].content.[1].type" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{}}]}]",
	  "messages.[0].content.[0].type" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", "messages.[0].content.[0].text" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"https://h/\"}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"ftp://h/"
	  "\",\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\","
	  "\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,\","
	  "\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
	  "png,x\",\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:;base64,x\","
	  "\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
	  "png;base64\",\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].image_url.url" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/"
	  "\",\"detail\":\"low\"}}]}]",
	  "messages.[0].content.[0].type" },
	{ "\"messages\":[{\"role\":\"assistant\",\"audio\":{\"id\":\"x\"}}]", "messages.[0].audio" },
	{ "\"messages\":[{\"role\":\"assistant\",\"function_call\":{}}]", "messages.[0].function_call" },
	{ "\"messages\":[{\"role\":\"assistant\",\"tool_calls\":7}]", "messages.[0].tool_calls" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[7]}]", "messages.[0].tool_calls" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\"}]}]",
	  "messages.[0].tool_calls" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"type\":\"custom\","
	  "\"custom\":{}}]}]",
	  "messages.[0].tool_calls" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\","
	  "\"arguments\":\"\"}}]}]",
	  "messages.[0].tool_calls" },
	{ "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":"
	  "\"f\"}}]}]",
	  "messages.[0].tool_calls" },
	{ "\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]", "messages.[0].tool_call_id" },
	{ "\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":7}]", "messages.[0].content" },
	{ "\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":[{\"type\":\"input_audio\"}]}]",
	  "messages.[0].content.[0].type" },
};

START_TEST(odd_messages_are_refused)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		must_refuse_members(refused[i].members, refused[i].param);
}
END_TEST

/* A megabyte of arguments, escaped: decoded, checked and put in as the object that it is. */
START_TEST(huge_arguments_are_spliced)
{
	struct translated translated;
	struct bytes text = { 0 };
	bytes_append_text(&text, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\","
	                         "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":[0");
	for (int i = 0; i < 200000; i++)
		bytes_append_text(&text, ",\\\"x\\\"");
	bytes_append_text(&text, "]}\"}}]}]}");
	translate(&translated, bytes_span(&text), 0);
	ck_error_is(translated.error, OK);
	ck_assert_uint_gt(translated.body.len, 800000);
	ck_assert(strstr(bytes_text(&translated.body), "\"input\":{\"a\":[0,\"x\",\"x\",") != NULL);
	struct json json = { 0 };
	ck_error_is(json_parse(&json, translated.body.data, translated.body.len, DEPTH_MAX, NULL), OK);
	json_fini(&json);
	translated_fini(&translated);
	bytes_fini(&text);
}
END_TEST

UNIT_MAIN("api/anthropic_messages", conversations_are_translated, odd_messages_are_refused, huge_arguments_are_spliced)
