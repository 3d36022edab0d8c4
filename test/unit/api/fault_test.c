/* Errors in OpenAI's shape, parsed back: whatever a message holds, the body is JSON. */
#include "unit.h"

#include <string.h>

#include "api/api.h"
#include "base/macros.h"

/* Parses {"error":{...}} and gives the text of one member; JSON's null is a span with at == NULL. */
static struct span member(struct span body, const char *name, struct arena *arena)
{
	struct json json = { 0 };
	struct span text = { 0 };
	ck_error_is(json_parse(&json, body.at, body.len, 2, NULL), OK);
	const uint32_t error = json_get(&json, JSON_ROOT, "error");
	ck_assert_uint_eq(json.nodes[JSON_ROOT].count, 1);
	ck_assert_uint_eq(json.nodes[error].count, 4);
	const uint32_t node = json_get(&json, error, name);
	ck_assert_uint_ne(node, JSON_NONE);
	if (json_type(&json, node) != JSON_NULL)
		ck_error_is(json_string(&json, node, arena, &text), OK);
	json_fini(&json);
	return text;
}

START_TEST(a_refusal_is_written)
{
	struct api_fault fault;
	struct bytes out = { 0 };
	struct arena arena;
	arena_init(&arena, 0);
	ck_error_is(api_refuse(&fault, ERROR_RANGE, "messages.[0]", "Not \"%s\", but %d.", "x\\", 7), ERROR_RANGE);
	api_write_error(&out, &fault);
	ck_span_is(member(bytes_span(&out), "message", &arena), "Not \"x\\\", but 7.");
	ck_span_is(member(bytes_span(&out), "type", &arena), "invalid_request_error");
	ck_span_is(member(bytes_span(&out), "param", &arena), "messages.[0]");
	ck_span_is(member(bytes_span(&out), "code", &arena), "invalid_value");
	bytes_clear(&out);
	ck_error_is(api_refuse(&fault, ERROR_UNSUPPORTED, "", "%s", "No."), ERROR_UNSUPPORTED);
	api_write_error(&out, &fault);
	ck_assert_ptr_null(member(bytes_span(&out), "param", &arena).at);
	ck_span_is(member(bytes_span(&out), "code", &arena), "unsupported_value");
	bytes_clear(&out);
	ck_error_is(api_refuse(&fault, ERROR_MEMORY, "", "Out of memory."), ERROR_MEMORY);
	ck_assert_int_eq(fault.status, 503);
	api_write_error(&out, &fault);
	ck_span_is(member(bytes_span(&out), "type", &arena), "server_error");
	bytes_fini(&out);
	arena_fini(&arena);
}
END_TEST

START_TEST(any_bytes_make_a_valid_body)
{
	static const struct {
		const char *text;
		const char *wanted;
	} rows[] = {
		{ "", "" },
		{ "tab\tline\nnul\x01\x1f\x7f", "tab\tline\nnul\x01\x1f\x7f" },
		{ "bad \xff\xc3", "bad \xef\xbf\xbd\xef\xbf\xbd" },
		{ "</script>\"'\\", "</script>\"'\\" },
	};
	struct arena arena;
	arena_init(&arena, 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bytes out = { 0 };
		api_write_error_text(&out, "server_error", NULL, rows[i].text);
		ck_span_is(member(bytes_span(&out), "message", &arena), rows[i].wanted);
		ck_span_is(member(bytes_span(&out), "type", &arena), "server_error");
		ck_assert_ptr_null(member(bytes_span(&out), "code", &arena).at);
		ck_assert_ptr_null(member(bytes_span(&out), "param", &arena).at);
		bytes_fini(&out);
	}
	arena_fini(&arena);
}
END_TEST

START_TEST(long_texts_are_cut_and_stay_valid)
{
	struct bytes text = { 0 };
	struct bytes out = { 0 };
	struct arena arena;
	struct api_fault fault;
	arena_init(&arena, 0);
	/* Two bytes a character, so that the cut is inside one. */
	for (int i = 0; i < 400; i++)
		bytes_append_text(&text, "\xc3\xa9");
	ck_error_is(api_refuse(&fault, ERROR_SYNTAX, bytes_text(&text), "%s", bytes_text(&text)), ERROR_SYNTAX);
	api_write_error(&out, &fault);
	ck_assert_uint_gt(member(bytes_span(&out), "message", &arena).len, 300);
	ck_assert_uint_gt(member(bytes_span(&out), "param", &arena).len, 100);
	bytes_fini(&text);
	bytes_fini(&out);
	arena_fini(&arena);
}
END_TEST

START_TEST(types_by_status)
{
	static const struct {
		int status;
		const char *type;
	} rows[] = {
		{ 400, "invalid_request_error" }, { 401, "authentication_error" },  { 403, "permission_error" },
		{ 404, "not_found_error" },       { 408, "invalid_request_error" }, { 413, "invalid_request_error" },
		{ 429, "rate_limit_error" },      { 500, "server_error" },          { 503, "server_error" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		ck_assert_str_eq(api_error_type(rows[i].status), rows[i].type);
	/* A fault without a type has its status's. */
	struct bytes out = { 0 };
	struct arena arena;
	arena_init(&arena, 0);
	api_write_error(&out, &(struct api_fault){ .status = 429, .message = "Slow down." });
	ck_span_is(member(bytes_span(&out), "type", &arena), "rate_limit_error");
	bytes_fini(&out);
	arena_fini(&arena);
}
END_TEST

UNIT_MAIN("api/fault", a_refusal_is_written, any_bytes_make_a_valid_body, long_texts_are_cut_and_stay_valid,
          types_by_status)
