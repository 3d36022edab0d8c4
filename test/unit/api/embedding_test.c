/* The inputs of an embeddings request: their shapes, their count, and where a fault is said to be. */
#include "api/bodies.h"

#include "base/macros.h"

static void parse_input(struct parsed *parsed, const char *input)
{
	struct bytes more = { 0 };
	bytes_printf(&more, "\"input\":%s", input);
	parse_with(parsed, API_EMBEDDING, "input", bytes_text(&more));
	bytes_fini(&more);
}

START_TEST(every_shape_is_a_list_of_inputs)
{
	static const struct {
		const char *input;
		size_t count;
		const char *last;
	} rows[] = {
		{ "\"a\"", 1, "\"a\"" },         { "[\"a\",\"b\"]", 2, "\"b\"" }, { "[7]", 1, "[7]" },
		{ "[1, 2, 3]", 1, "[1, 2, 3]" }, { "[[1],[2,3]]", 2, "[2,3]" },   { "[\" \"]", 1, "\" \"" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct parsed parsed;
		parse_input(&parsed, rows[i].input);
		const struct api_request *request = &parsed.request;
		ck_assert_msg(parsed.error == OK, "%s: %s", rows[i].input, parsed.fault.message);
		ck_assert_uint_eq(request->input_count, rows[i].count);
		ck_span_is(json_raw(&request->json, request->inputs[request->input_count - 1]), rows[i].last);
		parsed_fini(&parsed);
	}
}
END_TEST

START_TEST(what_is_no_input)
{
	static const struct {
		const char *input;
		enum error error;
		const char *param;
	} rows[] = {
		{ "null", ERROR_SYNTAX, "input" },
		{ "true", ERROR_SYNTAX, "input" },
		{ "5", ERROR_SYNTAX, "input" },
		{ "{}", ERROR_SYNTAX, "input" },
		{ "\"\"", ERROR_RANGE, "input" },
		{ "[]", ERROR_RANGE, "input" },
		{ "[\"a\",\"\"]", ERROR_RANGE, "input.[1]" },
		{ "[[1],[]]", ERROR_RANGE, "input.[1]" },
		{ "[\"a\",5]", ERROR_SYNTAX, "input.[1]" },
		{ "[[1],\"a\"]", ERROR_SYNTAX, "input.[1]" },
		{ "[1,\"a\"]", ERROR_SYNTAX, "input" },
		{ "[1,2.5]", ERROR_SYNTAX, "input" },
		{ "[-1]", ERROR_SYNTAX, "input" },
		{ "[[1,-1]]", ERROR_SYNTAX, "input.[0]" },
		{ "[2147483648]", ERROR_SYNTAX, "input" },
		{ "[null]", ERROR_SYNTAX, "input.[0]" },
		{ "[{\"a\":1}]", ERROR_SYNTAX, "input.[0]" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct parsed parsed;
		parse_input(&parsed, rows[i].input);
		check_fault(&parsed, rows[i].error, rows[i].param, rows[i].input);
		parsed_fini(&parsed);
	}
	struct parsed parsed;
	parse_with(&parsed, API_EMBEDDING, "input", "");
	check_fault(&parsed, ERROR_SYNTAX, "input", "no input");
	parsed_fini(&parsed);
}
END_TEST

static void parse_many(struct parsed *parsed, int count)
{
	struct bytes input = { 0 };
	for (int i = 0; i < count; i++)
		bytes_append_text(&input, i ? ",\"a\"" : "[\"a\"");
	bytes_append_text(&input, "]");
	parse_input(parsed, bytes_text(&input));
	bytes_fini(&input);
}

START_TEST(as_many_as_openai_takes)
{
	struct parsed parsed;
	parse_many(&parsed, API_INPUTS_MAX);
	ck_error_is(parsed.error, OK);
	ck_assert_uint_eq(parsed.request.input_count, API_INPUTS_MAX);
	parsed_fini(&parsed);
	parse_many(&parsed, API_INPUTS_MAX + 1);
	check_fault(&parsed, ERROR_LIMIT, "input", "one too many");
	ck_assert_ptr_nonnull(strstr(parsed.fault.message, "2048"));
	parsed_fini(&parsed);
}
END_TEST

START_TEST(formats_and_dimensions)
{
	struct parsed parsed;
	must_accept(&parsed, API_EMBEDDING, "");
	ck_assert(!parsed.request.wants_base64);
	ck_assert_int_eq(parsed.request.dimensions, -1);
	parsed_fini(&parsed);
	must_accept(&parsed, API_EMBEDDING, "\"encoding_format\":\"base64\",\"dimensions\":384,\"user\":\"u\"");
	ck_assert(parsed.request.wants_base64);
	ck_assert_int_eq(parsed.request.dimensions, 384);
	parsed_fini(&parsed);
	must_accept(&parsed, API_EMBEDDING, "\"encoding_format\":\"float\"");
	ck_assert(!parsed.request.wants_base64);
	parsed_fini(&parsed);
	must_refuse(API_EMBEDDING, "\"encoding_format\":\"int8\"", ERROR_UNSUPPORTED, "encoding_format");
	must_refuse(API_EMBEDDING, "\"encoding_format\":7", ERROR_UNSUPPORTED, "encoding_format");
	must_refuse(API_EMBEDDING, "\"dimensions\":0", ERROR_UNSUPPORTED, "dimensions");
}
END_TEST

UNIT_MAIN("api/embedding", every_shape_is_a_list_of_inputs, what_is_no_input, as_many_as_openai_takes,
          formats_and_dimensions)
