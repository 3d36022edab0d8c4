/* Whole requests: defaults, where values end up, the ignored list, and texts that are no request. */
#include "api/bodies.h"

#include "base/macros.h"

START_TEST(defaults)
{
	struct parsed parsed;
	must_accept(&parsed, API_CHAT, "");
	const struct api_request *request = &parsed.request;
	ck_span_is(request->model, "m");
	ck_assert(!request->stream && !request->include_usage && !request->logprobs && request->parallel_tool_calls);
	ck_assert_int_eq(request->max_tokens, -1);
	ck_assert_int_eq(request->seed, -1);
	ck_assert_int_eq(request->n, 1);
	ck_assert_int_eq(request->top_k, API_TOP_K_NOT_GIVEN);
	ck_assert_double_eq(request->temperature, -1);
	ck_assert_double_eq(request->top_p, -1);
	ck_assert_double_eq(request->min_p, -1);
	ck_assert_double_eq(request->frequency_penalty, 0);
	ck_assert_uint_eq(request->stop_count, 0);
	ck_assert_uint_eq(request->logit_bias_count, 0);
	ck_assert_uint_eq(request->ignored_count, 0);
	ck_assert_uint_eq(request->tools, JSON_NONE);
	ck_assert_uint_eq(request->prompt, JSON_NONE);
	ck_span_is(json_raw(&request->json, request->messages), MESSAGES);
	parsed_fini(&parsed);
}
END_TEST

START_TEST(values_arrive)
{
	struct parsed parsed;
	must_accept(&parsed, API_CHAT,
	            "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"temperature\":0,\"top_p\":0.5,"
	            "\"min_p\":1,\"top_k\":-1,\"frequency_penalty\":-2,\"presence_penalty\":2e0,\"seed\":7.0,\"n\":1,"
	            "\"stop\":[\"a\",\"\\u0041\"],\"logit_bias\":{\"5\":-100,\"6\":0.5},\"user\":\"u\\n\",\"max_tokens\":3,"
	            "\"max_completion_tokens\":4,\"logprobs\":true,\"top_logprobs\":20,\"parallel_tool_calls\":false,"
	            "\"reasoning_effort\":\"low\"");
	const struct api_request *request = &parsed.request;
	ck_assert(request->stream && request->include_usage && request->logprobs && !request->parallel_tool_calls);
	ck_assert_double_eq(request->temperature, 0);
	ck_assert_double_eq(request->top_p, 0.5);
	ck_assert_double_eq(request->min_p, 1);
	ck_assert_int_eq(request->top_k, -1);
	ck_assert_double_eq(request->frequency_penalty, -2);
	ck_assert_double_eq(request->presence_penalty, 2);
	ck_assert_int_eq(request->seed, 7);
	ck_assert_uint_eq(request->stop_count, 2);
	ck_span_is(request->stops[0], "a");
	ck_span_is(request->stops[1], "A");
	ck_assert_uint_eq(request->logit_bias_count, 2);
	ck_assert_int_eq(request->logit_bias[0].token, 5);
	ck_assert_double_eq(request->logit_bias[0].bias, -100);
	ck_assert_double_eq(request->logit_bias[1].bias, 0.5);
	ck_span_is(request->user, "u\n");
	ck_assert_int_eq(request->max_tokens, 4);
	ck_span_is(json_raw(&request->json, request->max_tokens_node), "3");
	ck_assert_int_eq(request->top_logprobs, 20);
	ck_span_is(request->reasoning_effort, "low");
	parsed_fini(&parsed);
	/* The newer name wins wherever it stands. */
	must_accept(&parsed, API_CHAT, "\"max_completion_tokens\":4,\"max_tokens\":3");
	ck_assert_int_eq(parsed.request.max_tokens, 4);
	parsed_fini(&parsed);
}
END_TEST

START_TEST(completions_have_their_own_logprobs)
{
	struct parsed parsed;
	must_accept(&parsed, API_COMPLETION, "\"logprobs\":3");
	ck_assert(parsed.request.logprobs);
	ck_assert_int_eq(parsed.request.top_logprobs, 3);
	parsed_fini(&parsed);
	must_accept(&parsed, API_COMPLETION, "\"logprobs\":0");
	ck_assert(parsed.request.logprobs);
	ck_assert_int_eq(parsed.request.top_logprobs, 0);
	parsed_fini(&parsed);
	must_accept(&parsed, API_COMPLETION, "");
	ck_assert(!parsed.request.logprobs);
	ck_assert_int_eq(parsed.request.completion_logprobs, -1);
	parsed_fini(&parsed);
	must_refuse(API_COMPLETION, "\"logprobs\":true", ERROR_SYNTAX, "logprobs");
	must_refuse(API_CHAT, "\"logprobs\":3", ERROR_SYNTAX, "logprobs");
}
END_TEST

START_TEST(unknown_fields_are_listed_up_to_a_bound)
{
	struct bytes more = { 0 };
	struct parsed parsed;
	for (int i = 0; i < API_IGNORED_MAX + 4; i++)
		bytes_printf(&more, "%s\"field_%d\":[%d]", i ? "," : "", i, i);
	must_accept(&parsed, API_CHAT, bytes_text(&more));
	ck_assert_uint_eq(parsed.request.ignored_count, API_IGNORED_MAX + 4);
	ck_span_is(parsed.request.ignored[0], "field_0");
	ck_span_is(parsed.request.ignored[API_IGNORED_MAX - 1], "field_15");
	parsed_fini(&parsed);
	bytes_fini(&more);
	/* Also when it is given twice, is escaped or empty. */
	must_accept(&parsed, API_CHAT, "\"x\":1,\"x\":2,\"\":3,\"\\u0061b\":4");
	ck_assert_uint_eq(parsed.request.ignored_count, 4);
	ck_span_is(parsed.request.ignored[2], "");
	ck_span_is(parsed.request.ignored[3], "ab");
	parsed_fini(&parsed);
}
END_TEST

static void refuse_text(enum api_endpoint endpoint, const char *text, enum error error, const char *message)
{
	struct parsed parsed;
	parse_text(&parsed, endpoint, text);
	check_fault(&parsed, error, "", text);
	ck_assert_msg(strstr(parsed.fault.message, message) != NULL, "%s: %s", text, parsed.fault.message);
	parsed_fini(&parsed);
}

START_TEST(texts_that_are_no_request)
{
	refuse_text(API_CHAT, "", ERROR_SYNTAX, "not valid JSON");
	refuse_text(API_CHAT, "{\"model\":}", ERROR_SYNTAX, "at byte 9");
	refuse_text(API_CHAT, "{\"model\":\"\xff\"}", ERROR_SYNTAX, "not valid JSON");
	refuse_text(API_CHAT, "[]", ERROR_SYNTAX, "must be a JSON object");
	refuse_text(API_COMPLETION, "\"x\"", ERROR_SYNTAX, "must be a JSON object");
	refuse_text(API_COMPLETION, "{} {}", ERROR_SYNTAX, "not valid JSON");
	struct bytes deep = { 0 };
	bytes_append_text(&deep, "{\"x\":");
	for (int i = 0; i < DEPTH_MAX; i++)
		bytes_append_byte(&deep, '[');
	for (int i = 0; i < DEPTH_MAX; i++)
		bytes_append_byte(&deep, ']');
	bytes_append_byte(&deep, '}');
	refuse_text(API_CHAT, bytes_text(&deep), ERROR_LIMIT, "not valid JSON");
	bytes_fini(&deep);
}
END_TEST

START_TEST(a_model_is_needed)
{
	struct parsed parsed;
	parse_with(&parsed, API_CHAT, "model", "");
	check_fault(&parsed, ERROR_SYNTAX, "model", "absent");
	parsed_fini(&parsed);
	parse_with(&parsed, API_COMPLETION, "model", "\"model\":\"\"");
	check_fault(&parsed, ERROR_SYNTAX, "model", "empty");
	parsed_fini(&parsed);
}
END_TEST

START_TEST(a_full_arena_is_no_fault_of_the_client)
{
	/* Every place that copies an escaped text. */
	static const char *const rows[] = {
		"\"user\":\"\\u0041\"",
		"\"\\u0041\":1",
		"\"stop\":\"\\u0041\"",
		"\"stop\":[\"\\u0041\"]",
		"\"logit_bias\":{\"1\":1}",
		"\"tools\":[{\"type\":\"\\u0066unction\"}]",
		"\"tool_choice\":\"\\u0061uto\"",
		"\"response_format\":{\"type\":\"\\u0074ext\"}",
		"\"messages\":[{\"role\":\"\\u0075ser\",\"content\":\"\"}]",
		"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"\\u0074ext\",\"text\":\"\"}]}]",
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bytes text = { 0 };
		struct api_request request = { 0 };
		struct api_fault fault = { 0 };
		struct arena arena;
		arena_init(&arena, 1);
		const bool has_messages = strncmp(rows[i], "\"messages\"", 10) == 0;
		bytes_printf(&text, "{\"model\":\"m\",%s%s}", has_messages ? "" : "\"messages\":" MESSAGES ",", rows[i]);
		ck_assert_msg(api_request_parse(&request, API_CHAT, bytes_span(&text), DEPTH_MAX, &arena, &fault) ==
		                  ERROR_MEMORY,
		              "%s: %s", rows[i], fault.message);
		ck_assert_int_eq(fault.status, 503);
		ck_assert_str_eq(fault.type, "server_error");
		ck_assert_str_eq(fault.code, "out_of_memory");
		api_request_fini(&request);
		arena_fini(&arena);
		bytes_fini(&text);
	}
}
END_TEST

START_TEST(storage_is_used_again)
{
	struct parsed parsed;
	must_accept(&parsed, API_CHAT, "\"stop\":[\"a\"],\"x\":1,\"stream\":true,\"seed\":3");
	const struct span second = SPAN("{\"model\":\"other\",\"prompt\":\"p\"}");
	ck_error_is(api_request_parse(&parsed.request, API_COMPLETION, second, DEPTH_MAX, &parsed.arena, &parsed.fault),
	            OK);
	ck_span_is(parsed.request.model, "other");
	ck_assert_uint_eq(parsed.request.stop_count, 0);
	ck_assert_uint_eq(parsed.request.ignored_count, 0);
	ck_assert_uint_eq(parsed.request.messages, JSON_NONE);
	ck_assert(!parsed.request.stream);
	ck_assert_int_eq(parsed.request.seed, -1);
	parsed_fini(&parsed);
}
END_TEST

UNIT_MAIN("api/request", defaults, values_arrive, completions_have_their_own_logprobs,
          unknown_fields_are_listed_up_to_a_bound, texts_that_are_no_request, a_model_is_needed,
          a_full_arena_is_no_fault_of_the_client, storage_is_used_again)
