/* Streams of Anthropic's as OpenAI's chunks. An event is a line of a case's text. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "api/anthropic.h"

#define DEPTH_MAX 32

struct streamed {
	struct arena arena;
	struct anthropic_stream stream;
	struct json json;
	struct bytes out;
	enum anthropic_news news; /* of the last event */
};

static void streamed_init(struct streamed *streamed, bool include_usage)
{
	*streamed = (struct streamed){ 0 };
	arena_init(&streamed->arena, 0);
	anthropic_stream_init(&streamed->stream, 7, include_usage, &streamed->arena);
}

static void streamed_fini(struct streamed *streamed)
{
	arena_fini(&streamed->arena);
	json_fini(&streamed->json);
	bytes_fini(&streamed->out);
}

/* The first error, or that of the last event. */
static enum error feed(struct streamed *streamed, const char *lines)
{
	enum error error = OK;
	while (*lines && !error) {
		const char *end = strchr(lines, '\n');
		const size_t len = end ? (size_t)(end - lines) : strlen(lines);
		ck_error_is(json_parse(&streamed->json, lines, len, DEPTH_MAX, NULL), OK);
		error = anthropic_stream_take(&streamed->stream, &streamed->json, &streamed->out, &streamed->news);
		lines += len + (end != NULL);
	}
	return error;
}

static const struct {
	const char *events;
	bool include_usage;
	const char *wanted;
	enum anthropic_news news; /* of the last event */
} cases[] = {
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
	  "\"text\":\"\"}}\n{\"type\":\"ping\"}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_"
	  "delta\",\"text\":\"h\\u00e9\"}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_"
	  "delta\",\"text\":\"\"}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
	  "\"text\":\" "
	  "\\ud83d\"}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"
	  "\"\\ude00\"}}\n{\"type\":\"content_block_stop\",\"index\":0}\n{\"type\":\"message_delta\",\"delta\":{\"stop_"
	  "reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n{\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"h\\u00e9\"},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\" \\ud83d\"},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"\\ude00\"},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
	  "\"text\":\"x\"}}\n{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
	  "\"usage\":{\"output_tokens\":9}}\n{\"type\":\"message_stop\"}",
	  true,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],"
	  "\"usage\":null}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[],"
	  "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":9,\"total_tokens\":19,\"prompt_tokens_details\":{\"cached_"
	  "tokens\":3}}}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
	  "\"text\":\"x\"}}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
	  ANTHROPIC_CONTENT },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
	  "\"text\":\"x\"}}\n{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
	  "\"usage\":{\"output_tokens\":9}}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
	  ANTHROPIC_USAGE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
	  "\"text\":\"at "
	  "once\"}}\n{\"type\":\"content_block_stop\",\"index\":0}\n{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
	  "\"max_tokens\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n{\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"at once\"},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
	  "\"thinking\":\"\",\"signature\":\"\"}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	  "\"thinking_delta\",\"thinking\":\"hm\"}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	  "\"signature_delta\",\"signature\":\"s\"}}\n{\"type\":\"content_block_stop\",\"index\":0}\n{\"type\":\"content_"
	  "block_start\",\"index\":1,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"x\"}}\n{\"type\":"
	  "\"content_block_stop\",\"index\":1}\n{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_"
	  "delta\",\"text\":\"x\"}}\n{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":"
	  "null},\"usage\":{\"output_tokens\":9}}\n{\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\","
	  "\"id\":\"t1\",\"name\":\"f\",\"input\":{}}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	  "\"input_json_delta\",\"partial_json\":\"\"}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	  "\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"}}\n{\"type\":\"content_block_delta\",\"index\":0,"
	  "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1}\"}}\n{\"type\":\"content_block_stop\",\"index\":"
	  "0}\n{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t2\","
	  "\"name\":\"g\",\"input\":{}}}\n{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_"
	  "delta\",\"partial_json\":\"{}\"}}\n{\"type\":\"content_block_stop\",\"index\":1}\n{\"type\":\"content_block_"
	  "start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t3\",\"name\":\"h\",\"input\":{}}}\n{"
	  "\"type\":\"content_block_stop\",\"index\":2}\n{\"type\":\"content_block_stop\",\"index\":2}\n{\"type\":"
	  "\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":"
	  "9}}\n{\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]},"
	  "\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]},\"logprobs\":null,"
	  "\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"t2\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"g\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]},\"logprobs\":null,"
	  "\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":2,\"id\":\"t3\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"h\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":2,\"function\":{\"arguments\":\"{}\"}}]},\"logprobs\":null,"
	  "\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\","
	  "\"id\":\"t1\",\"name\":\"f\",\"input\":{}}}\n{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{"
	  "\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}}\n{\"type\":\"content_block_delta\",\"index\":"
	  "1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"b\\\"\"}}\n{\"type\":\"content_block_delta\","
	  "\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}}\n{\"type\":\"content_"
	  "block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}}\n{\"type\":"
	  "\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\":2}\"}}\n{"
	  "\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_"
	  "tokens\":9}}\n{\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"t2\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"g\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\\\"b\\\"\"}}]},\"logprobs\":"
	  "null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\"\"}}]},\"logprobs\":"
	  "null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\":1}\"}}]},\"logprobs\":null,"
	  "\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":2}\"}}]},\"logprobs\":null,"
	  "\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":4,\"content_block\":{\"type\":\"tool_use\","
	  "\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\": "
	  "\"\\n\"}}}\n{\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"input_json_delta\",\"partial_"
	  "json\":\"{}\"}}\n{\"type\":\"content_block_stop\",\"index\":4}\n{\"type\":\"content_block_start\",\"index\":9,"
	  "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}}\n{\"type\":\"message_"
	  "delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n{"
	  "\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"f\",\"arguments\":\"{\\\"a\\\": \\\"\\\\n\\\"}\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"t2\",\"type\":\"function\",\"function\":{\"name\":"
	  "\"g\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]},\"logprobs\":null,"
	  "\"finish_reason\":null}]}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"server_tool_"
	  "use\",\"id\":\"s\",\"name\":\"web\",\"input\":{}}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	  "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"q\\\":1}\"}}\n{\"type\":\"content_block_stop\",\"index\":"
	  "0}\n{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"web_search_tool_result\","
	  "\"content\":[]}}\n{\"type\":\"content_block_stop\",\"index\":1}\n{\"type\":\"news\",\"x\":1}\n{\"type\":"
	  "\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"citations_delta\",\"citation\":{}}}\n{\"type\":"
	  "\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"new_delta\"}}\n{\"type\":\"content_block_delta\","
	  "\"index\":2,\"delta\":7}\n{\"type\":\"content_block_delta\"}\n{\"type\":\"content_block_start\"}\n{\"type\":"
	  "\"content_block_stop\"}\n{\"type\":\"message_delta\"}\n{\"type\":\"message_stop\"}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"message_stop\"}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	  "\"type\":\"text_delta\",\"text\":\"late\"}}\n{\"type\":\"error\"}\n{\"type\":\"message_start\",\"message\":{"
	  "\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":5,"
	  "\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_NOTHING },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\",\"stop_sequence\":"
	  "null},\"usage\":{\"input_tokens\":0,\"cache_read_input_tokens\":0,\"cache_creation_input_tokens\":0,\"output_"
	  "tokens\":0}}\n{\"type\":\"message_stop\"}",
	  true,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],"
	  "\"usage\":null}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"content_filter\"}],\"usage\":null}\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[],"
	  "\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0,\"prompt_tokens_details\":{\"cached_"
	  "tokens\":0}}}\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"message_start\",\"message\":{}}\n{\"type\":\"message_stop\"}", true,
	  "data: "
	  "{\"id\":\"\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"\",\"choices\":[{\"index\":0,"
	  "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}"
	  "\n\ndata: "
	  "{\"id\":\"\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"\",\"choices\":[{\"index\":0,"
	  "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\ndata: "
	  "{\"id\":\"\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"\",\"choices\":[],\"usage\":null}"
	  "\n\ndata: [DONE]\n\n",
	  ANTHROPIC_DONE },
	{ "{\"type\":\"ping\"}", false, "", ANTHROPIC_PING },
	{ "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", false, "",
	  ANTHROPIC_FAILED },
	{ "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
	  "\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
	  "\"output_tokens\":1}}}\n{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
	  "\"text\":\"x\"}}\n{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no\"}}",
	  false,
	  "data: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"
	  "\n\ndata: "
	  "{\"id\":\"m\\u0031\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"claude-x\",\"choices\":[{"
	  "\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
	  ANTHROPIC_FAILED },
};

START_TEST(streams_are_translated)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct streamed streamed;
		streamed_init(&streamed, cases[i].include_usage);
		ck_error_is(feed(&streamed, cases[i].events), OK);
		ck_assert_msg(span_is(bytes_span(&streamed.out), cases[i].wanted), "%s\nbecame %s\nwanted %s", cases[i].events,
		              bytes_text(&streamed.out), cases[i].wanted);
		ck_assert_int_eq(streamed.news, cases[i].news);
		ck_assert_int_eq(streamed.stream.is_done, strstr(cases[i].wanted, "[DONE]") != NULL);
		streamed_fini(&streamed);
	}
}
END_TEST

START_TEST(what_is_no_such_stream_is_refused)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"7",
		"{\"type\":7}",
		"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}",
		"{\"type\":\"message_stop\"}",
		"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{"
		"\"output_tokens\":9}}",
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
		"{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
		"\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
		"\"output_tokens\":1}}}\n{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\","
		"\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_"
		"read_input_tokens\":3,\"output_tokens\":1}}}",
		"{\"type\":\"message_start\"}",
		"{\"type\":\"message_start\",\"message\":[]}",
		"{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
		"\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
		"\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_"
		"use\",\"name\":\"f\",\"input\":{}}}",
		"{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
		"\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
		"\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_"
		"use\",\"id\":\"t\",\"input\":{}}}",
		"{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
		"\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
		"\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":null,\"content_block\":{\"type\":\"tool_"
		"use\",\"id\":\"t\",\"name\":\"f\"}}",
		"{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
		"\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
		"\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":-1,\"content_block\":{\"type\":\"tool_"
		"use\",\"id\":\"t\",\"name\":\"f\"}}",
		"{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\",\"model\":\"claude-x\","
		"\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,"
		"\"output_tokens\":1}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_"
		"use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n{\"type\":\"content_block_start\",\"index\":0,\"content_"
		"block\":{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"f\",\"input\":{}}}",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct streamed streamed;
		streamed_init(&streamed, false);
		const enum error error = feed(&streamed, texts[i]);
		ck_assert_msg(error == ERROR_SYNTAX, "%s: %s", texts[i], error_text(error));
		streamed_fini(&streamed);
	}
}
END_TEST

/* What the first event says of the prompt holds until a later one says otherwise. */
START_TEST(usage_adds_up)
{
	struct streamed streamed;
	streamed_init(&streamed, false);
	ck_error_is(feed(&streamed, "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\","
	                            "\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_"
	                            "input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}"),
	            OK);
	ck_assert_int_eq(streamed.stream.usage.prompt, 10);
	ck_assert_int_eq(streamed.stream.usage.cached, 3);
	ck_error_is(feed(&streamed, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null,\"stop_sequence\":null},"
	                            "\"usage\":{\"output_tokens\":9}}"),
	            OK);
	ck_assert_int_eq(streamed.stream.usage.prompt, 10);
	ck_assert_int_eq(streamed.stream.usage.output, 9);
	ck_error_is(feed(&streamed, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":"
	                            "null},\"usage\":{\"input_tokens\":1,\"output_tokens\":11}}"),
	            OK);
	ck_assert_int_eq(streamed.stream.usage.prompt, 6);
	ck_assert_int_eq(streamed.stream.usage.output, 11);
	streamed_fini(&streamed);
}
END_TEST

START_TEST(calls_have_a_limit)
{
	struct streamed streamed;
	char event[128];
	streamed_init(&streamed, false);
	ck_error_is(feed(&streamed, "{\"type\":\"message_start\",\"message\":{\"id\":\"m\\u0031\",\"type\":\"message\","
	                            "\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_creation_"
	                            "input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}"),
	            OK);
	for (unsigned i = 0; i <= ANTHROPIC_CALLS_MAX; i++) {
		snprintf(event, sizeof(event),
		         "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\","
		         "\"name\":\"f\"}}",
		         i);
		ck_error_is(feed(&streamed, event), i < ANTHROPIC_CALLS_MAX ? OK : ERROR_LIMIT);
	}
	streamed_fini(&streamed);
}
END_TEST

UNIT_MAIN("api/anthropic_events", streams_are_translated, what_is_no_such_stream_is_refused, usage_adds_up,
          calls_have_a_limit)
