/* OpenAI's responses out of pieces of output: every event and every body is JSON of the right shape. */
#include "engine/answer.h"

#include "engine/scripted.h"

#include "base/json.h"

#define EVENTS_MAX 32

/* A response taken apart. */
struct reading {
	struct bytes text;
	struct json events[EVENTS_MAX]; /* data, parsed */
	int count;
	int timings; /* the event that is Penstock's own; -1 = none */
	bool is_done;
};

struct maker {
	struct engine *engine;
	struct generation *generation;
	struct answer *answer;
	struct bytes out;
};

static const struct generation_times times = { 1000, 3000, 6000, 10000, 15000 };

static void maker_init(struct maker *maker, enum api_endpoint endpoint, const char *fields)
{
	*maker = (struct maker){ .engine = script_open(4096, 1) };
	maker->generation = script_generation(maker->engine, endpoint, fields);
	const struct answer_facts facts = { "id-1", "a \"model\"", 1700000000 };
	ck_error_is(answer_new(maker->engine, maker->generation, &facts, 0, &maker->answer), OK);
}

static void maker_fini(struct maker *maker)
{
	answer_free(&maker->answer);
	ck_assert_ptr_null(maker->answer);
	generation_free(maker->engine, &maker->generation);
	maker->engine->ops->close(&maker->engine);
	bytes_fini(&maker->out);
}

/* Output of one token; its text may be held back, in whole or in part. */
static void add(struct maker *maker, const char *shown, int token)
{
	struct generation_output output = { .tokens = 1 };
	bytes_append_text(&output.text, shown);
	if (maker->generation->request.logprobs && token >= 0) {
		struct generation_logprob entry = { .chosen = { token, -0.5F },
			                                .top_count = (uint32_t)maker->generation->request.top_logprobs };
		for (uint32_t i = 0; i < entry.top_count; i++)
			entry.tops[i] = (struct token_logprob){ (token + (int)i) % 10, i ? -1e30F : -0.5F };
		bytes_append(&output.logprobs, &entry, sizeof(entry));
	}
	answer_add(maker->answer, &output, &maker->out);
	bytes_fini(&output.text);
	bytes_fini(&output.logprobs);
}

static void finish(struct maker *maker, enum finish_reason reason)
{
	answer_close(maker->answer, reason, &maker->out);
	answer_finish(&maker->answer, 1, &times, &maker->out);
	ck_assert(bytes_ok(&maker->out));
}

static void parse_event(struct reading *reading, const char *at, const char *end)
{
	static const char own[] = "event: penstock\n";
	if (strncmp(at, own, sizeof(own) - 1) == 0) {
		reading->timings = reading->count;
		at += sizeof(own) - 1;
	}
	ck_assert(strncmp(at, "data: ", 6) == 0);
	at += 6;
	ck_assert_ptr_null(memchr(at, '\n', (size_t)(end - at)));
	if (end - at == 6 && strncmp(at, "[DONE]", 6) == 0) {
		reading->is_done = true;
		return;
	}
	ck_assert_int_lt(reading->count, EVENTS_MAX);
	ck_assert_msg(json_parse(&reading->events[reading->count++], at, (size_t)(end - at), 16, NULL) == OK, "%.*s",
	              (int)(end - at), at);
}

static void read_stream(struct maker *maker, struct reading *reading)
{
	*reading = (struct reading){ .timings = -1 };
	bytes_append_span(&reading->text, bytes_span(&maker->out));
	for (const char *at = bytes_text(&reading->text), *end; *at; at = end + 2) {
		ck_assert(!reading->is_done);
		end = strstr(at, "\n\n");
		ck_assert_ptr_nonnull(end);
		parse_event(reading, at, end);
	}
}

static void reading_fini(struct reading *reading)
{
	for (int i = 0; i < reading->count; i++)
		json_fini(&reading->events[i]);
	bytes_fini(&reading->text);
}

/* The raw JSON at a path of names; a number is an index. Empty when there is none. */
static struct span at_path(const struct json *json, const char *path)
{
	uint32_t node = JSON_ROOT;
	while (*path) {
		char name[40];
		const size_t len = strcspn(path, ".");
		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		if (json_type(json, node) == JSON_ARRAY) {
			uint32_t child = json_first(json, node);
			for (unsigned long i = strtoul(name, NULL, 10); i > 0 && child != JSON_NONE; i--)
				child = json_next(json, node, child);
			node = child;
		} else {
			node = json_get(json, node, name);
		}
		if (node == JSON_NONE)
			return (struct span){ 0 };
		path += len + (path[len] == '.');
	}
	return json_raw(json, node);
}

#define ck_at(json, path, wanted) ck_span_is(at_path(json, path), wanted)

static void check_common(const struct json *json, const char *object)
{
	ck_at(json, "id", "\"id-1\"");
	ck_at(json, "object", object);
	ck_at(json, "created", "1700000000");
	ck_at(json, "model", "\"a \\\"model\\\"\"");
}

START_TEST(a_whole_chat_answer)
{
	struct maker maker;
	struct json json = { 0 };
	maker_init(&maker, API_CHAT, "");
	add(&maker, "one", 0);
	add(&maker, " \"two\"\n", 1);
	add(&maker, "", -1);
	ck_assert_uint_eq(maker.out.len, 0);
	finish(&maker, FINISH_STOP);
	ck_error_is(json_parse(&json, maker.out.data, maker.out.len, 16, NULL), OK);
	check_common(&json, "\"chat.completion\"");
	ck_at(&json, "choices.0.index", "0");
	ck_at(&json, "choices.0.message", "{\"role\":\"assistant\",\"content\":\"one \\\"two\\\"\\n\",\"refusal\":null}");
	ck_at(&json, "choices.0.logprobs", "null");
	ck_at(&json, "choices.0.finish_reason", "\"stop\"");
	ck_at(&json, "usage.completion_tokens", "3");
	char total[16];
	snprintf(total, sizeof(total), "%u", maker.generation->prompt_count + 3);
	ck_at(&json, "usage.total_tokens", total);
	ck_assert_uint_eq(at_path(&json, "choices.1").len, 0);
	json_fini(&json);
	maker_fini(&maker);
}
END_TEST

START_TEST(a_whole_completion)
{
	struct maker maker;
	struct json json = { 0 };
	maker_init(&maker, API_COMPLETION, "");
	add(&maker, "one", 0);
	add(&maker, " two", 1);
	finish(&maker, FINISH_LENGTH);
	ck_error_is(json_parse(&json, maker.out.data, maker.out.len, 16, NULL), OK);
	check_common(&json, "\"text_completion\"");
	ck_at(&json, "choices.0.text", "\"one two\"");
	ck_at(&json, "choices.0.finish_reason", "\"length\"");
	ck_assert_uint_eq(at_path(&json, "choices.0.message").len, 0);
	json_fini(&json);
	maker_fini(&maker);
}
END_TEST

START_TEST(a_chat_stream)
{
	struct maker maker;
	struct reading reading;
	maker_init(&maker, API_CHAT, ",\"stream\":true");
	add(&maker, "", 0); /* held back */
	ck_assert_uint_eq(maker.out.len, 0);
	add(&maker, "one", 0);
	add(&maker, " two", 1);
	finish(&maker, FINISH_STOP);
	read_stream(&maker, &reading);
	ck_assert(reading.is_done);
	ck_assert_int_eq(reading.count, 4);
	for (int i = 0; i < 3; i++)
		check_common(&reading.events[i], "\"chat.completion.chunk\"");
	ck_at(&reading.events[0], "choices.0.delta", "{\"role\":\"assistant\",\"content\":\"one\"}");
	ck_at(&reading.events[0], "choices.0.finish_reason", "null");
	ck_at(&reading.events[1], "choices.0.delta", "{\"content\":\" two\"}");
	ck_at(&reading.events[2], "choices.0.delta", "{}");
	ck_at(&reading.events[2], "choices.0.finish_reason", "\"stop\"");
	ck_assert_uint_eq(at_path(&reading.events[2], "usage").len, 0);
	ck_assert_int_eq(reading.timings, 3);
	ck_at(&reading.events[3], "output_tokens", "3");
	ck_at(&reading.events[3], "tokenize_ns", "2000");
	ck_at(&reading.events[3], "queue_ns", "3000");
	ck_at(&reading.events[3], "prefill_ns", "4000");
	ck_at(&reading.events[3], "decode_ns", "5000");
	reading_fini(&reading);
	maker_fini(&maker);
}
END_TEST

START_TEST(a_completion_stream_with_usage)
{
	struct maker maker;
	struct reading reading;
	maker_init(&maker, API_COMPLETION, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
	add(&maker, "one", 0);
	finish(&maker, FINISH_LENGTH);
	read_stream(&maker, &reading);
	ck_assert_int_eq(reading.count, 4);
	ck_at(&reading.events[0], "choices.0.text", "\"one\"");
	ck_at(&reading.events[0], "usage", "null");
	ck_at(&reading.events[1], "choices.0.text", "\"\"");
	ck_at(&reading.events[1], "choices.0.finish_reason", "\"length\"");
	ck_at(&reading.events[2], "choices", "[]");
	ck_at(&reading.events[2], "usage.completion_tokens", "1");
	ck_assert_int_eq(reading.timings, 3);
	reading_fini(&reading);
	maker_fini(&maker);
}
END_TEST

START_TEST(empty_answers)
{
	struct maker maker;
	struct reading reading;
	struct json json = { 0 };
	maker_init(&maker, API_CHAT, ",\"stream\":true");
	finish(&maker, FINISH_STOP);
	read_stream(&maker, &reading);
	ck_assert(reading.is_done && reading.count == 2);
	ck_at(&reading.events[0], "choices.0.delta", "{\"role\":\"assistant\",\"content\":\"\"}");
	ck_at(&reading.events[0], "choices.0.finish_reason", "\"stop\"");
	reading_fini(&reading);
	maker_fini(&maker);
	maker_init(&maker, API_CHAT, "");
	finish(&maker, FINISH_STOP);
	ck_error_is(json_parse(&json, maker.out.data, maker.out.len, 16, NULL), OK);
	ck_at(&json, "choices.0.message.content", "\"\"");
	ck_at(&json, "usage.completion_tokens", "0");
	json_fini(&json);
	maker_fini(&maker);
}
END_TEST

START_TEST(chat_logprobs)
{
	struct maker maker;
	struct reading reading;
	maker_init(&maker, API_CHAT, ",\"stream\":true,\"logprobs\":true,\"top_logprobs\":2");
	add(&maker, "", 0);
	add(&maker, "one two", 1);
	add(&maker, "", 2);
	finish(&maker, FINISH_LENGTH);
	read_stream(&maker, &reading);
	ck_assert_int_eq(reading.count, 3);
	/* They come with the text, or with the end at the latest. */
	ck_at(&reading.events[0], "choices.0.logprobs.content.0.token", "\"one\"");
	ck_at(&reading.events[0], "choices.0.logprobs.content.0.logprob", "-0.5");
	ck_at(&reading.events[0], "choices.0.logprobs.content.0.bytes", "[111,110,101]");
	ck_at(&reading.events[0], "choices.0.logprobs.content.0.top_logprobs.0.token", "\"one\"");
	ck_at(&reading.events[0], "choices.0.logprobs.content.0.top_logprobs.1.token", "\" two\"");
	ck_at(&reading.events[0], "choices.0.logprobs.content.0.top_logprobs.1.logprob", "-9999");
	ck_at(&reading.events[0], "choices.0.logprobs.content.1.token", "\" two\"");
	ck_at(&reading.events[0], "choices.0.logprobs.refusal", "null");
	ck_at(&reading.events[1], "choices.0.logprobs.content.0.token", "\" three\"");
	ck_assert_uint_eq(at_path(&reading.events[1], "choices.0.logprobs.content.1").len, 0);
	reading_fini(&reading);
	maker_fini(&maker);
}
END_TEST

/* Offsets name the token's place in the text, also where part of it was held back for a stop string, and whether streamed or not. */
START_TEST(completion_logprobs)
{
	struct maker maker;
	struct reading reading;
	struct json json = { 0 };
	maker_init(&maker, API_COMPLETION, ",\"logprobs\":1");
	for (int i = 0; i < 3; i++)
		add(&maker, script_words[i], i);
	finish(&maker, FINISH_LENGTH);
	ck_error_is(json_parse(&json, maker.out.data, maker.out.len, 16, NULL), OK);
	ck_at(&json, "choices.0.logprobs.tokens", "[\"one\",\" two\",\" three\"]");
	ck_at(&json, "choices.0.logprobs.token_logprobs", "[-0.5,-0.5,-0.5]");
	ck_at(&json, "choices.0.logprobs.top_logprobs", "[{\"one\":-0.5},{\" two\":-0.5},{\" three\":-0.5}]");
	ck_at(&json, "choices.0.logprobs.text_offset", "[0,3,7]");
	json_fini(&json);
	maker_fini(&maker);
	maker_init(&maker, API_COMPLETION, ",\"logprobs\":0,\"stream\":true");
	add(&maker, "on", 0);
	add(&maker, "e t", 1);
	add(&maker, "", 2);
	add(&maker, "wo three four", 3);
	finish(&maker, FINISH_LENGTH);
	read_stream(&maker, &reading);
	ck_at(&reading.events[0], "choices.0.logprobs.text_offset", "[0]");
	ck_at(&reading.events[1], "choices.0.logprobs.text_offset", "[3]");
	ck_at(&reading.events[2], "choices.0.logprobs.text_offset", "[7,13]");
	ck_at(&reading.events[2], "choices.0.logprobs.top_logprobs", "[{},{}]");
	ck_at(&reading.events[3], "choices.0.logprobs.text_offset", "[]");
	reading_fini(&reading);
	maker_fini(&maker);
}
END_TEST

START_TEST(texts_that_json_must_escape)
{
	struct maker maker;
	struct reading reading;
	maker_init(&maker, API_CHAT, ",\"stream\":true");
	add(&maker, "\n\ndata: [DONE]\n\n\x01\xff\"\\", 0);
	finish(&maker, FINISH_STOP);
	read_stream(&maker, &reading);
	ck_at(&reading.events[0], "choices.0.delta.content", "\"\\n\\ndata: [DONE]\\n\\n\\u0001\xef\xbf\xbd\\\"\\\\\"");
	ck_assert_int_eq(reading.count, 3);
	reading_fini(&reading);
	maker_fini(&maker);
}
END_TEST

START_TEST(timings_that_are_not_known)
{
	struct maker maker;
	struct json json = { 0 };
	const struct generation_times none = { .arrived_ns = 1000 };
	maker_init(&maker, API_CHAT, "");
	answer_write_timings(&maker.answer, 1, &none, &maker.out);
	ck_error_is(json_parse(&json, maker.out.data, maker.out.len, 2, NULL), OK);
	ck_at(&json, "tokenize_ns", "0");
	ck_at(&json, "decode_ns", "0");
	json_fini(&json);
	maker_fini(&maker);
}
END_TEST

UNIT_MAIN("engine/answer", a_whole_chat_answer, a_whole_completion, a_chat_stream, a_completion_stream_with_usage,
          empty_answers, chat_logprobs, completion_logprobs, texts_that_json_must_escape, timings_that_are_not_known)
