/* The validating pass: what it accepts, where it faults, and the tree that it records. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "unit.h"

static const struct json_case {
	struct span text;
	bool is_json;
	size_t offset;
} json_cases[] = {
#define YES(text) { SPAN(text), true, 0 },
#define NO(text, offset) { SPAN(text), false, offset },
#include "json_cases.def"
#undef YES
#undef NO
};

static const char sample[] =
	"{\"model\": \"small\", \"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9 \xe2\x82\xac\"}, {}], "
	"\"n\": -1.50e+2, \"stream\": true, \"stop\": [null, false, [], \"\"], \"\\u006beys\": {\"a\": {\"b\": 0}}}";

/* A copy of exactly the text's size, so that a sanitizer sees every read past the end. */
static enum error parse_exact(struct json *json, struct span text, unsigned depth_max, struct json_fault *fault,
                              char **copy)
{
	*copy = malloc(text.len == 0 ? 1 : text.len);
	ck_assert_ptr_nonnull(*copy);
	if (text.len > 0)
		memcpy(*copy, text.at, text.len);
	return json_parse(json, *copy, text.len, depth_max, fault);
}

START_TEST(the_table_of_cases)
{
	struct json json = { 0 };
	ck_assert_uint_ge(COUNT_OF(json_cases), 120);
	for (size_t i = 0; i < COUNT_OF(json_cases); i++) {
		const struct json_case *row = &json_cases[i];
		struct json_fault fault = { .offset = 9999 };
		char *copy;
		const enum error error = parse_exact(&json, row->text, 8, &fault, &copy);
		ck_assert_msg(error == (row->is_json ? OK : ERROR_SYNTAX), "row %zu: %.*s: %s", i, (int)row->text.len,
		              row->text.at, error_text(error));
		ck_assert_msg(row->is_json || (fault.offset == row->offset && fault.reason != NULL),
		              "row %zu: %.*s: fault at %zu, wanted %zu", i, (int)row->text.len, row->text.at, fault.offset,
		              row->offset);
		ck_assert_uint_eq(json.count > 0, row->is_json);
		free(copy);
	}
	json_fini(&json);
}
END_TEST

START_TEST(every_prefix_of_a_document_is_refused)
{
	struct json json = { 0 };
	const size_t len = sizeof(sample) - 1;
	for (size_t cut = 0; cut < len; cut++) {
		char *copy;
		struct json_fault fault;
		ck_error_is(parse_exact(&json, (struct span){ sample, cut }, 8, &fault, &copy), ERROR_SYNTAX);
		ck_assert_uint_le(fault.offset, cut);
		free(copy);
	}
	ck_error_is(json_parse(&json, sample, len, 8, NULL), OK);
	json_fini(&json);
}
END_TEST

START_TEST(the_depth_limit_counts_containers)
{
	struct json json = { 0 };
	struct json_fault fault = { 0 };
	ck_error_is(json_parse(&json, "1", 1, 0, &fault), OK);
	ck_error_is(json_parse(&json, "[]", 2, 0, &fault), ERROR_LIMIT);
	ck_assert_uint_eq(fault.offset, 0);
	ck_error_is(json_parse(&json, "[1]", 3, 1, &fault), OK);
	ck_error_is(json_parse(&json, "[1,{}]", 6, 1, &fault), ERROR_LIMIT);
	ck_assert_uint_eq(fault.offset, 3);
	ck_assert_str_eq(fault.reason, "nested too deep");
	/* Deep enough to end any recursion. */
	const size_t depth = 1000000;
	char *deep = malloc(2 * depth);
	ck_assert_ptr_nonnull(deep);
	memset(deep, '[', depth);
	memset(deep + depth, ']', depth);
	ck_error_is(json_parse(&json, deep, 2 * depth, 128, NULL), ERROR_LIMIT);
	ck_error_is(json_parse(&json, deep, 2 * depth, (unsigned)depth, NULL), OK);
	ck_assert_uint_eq(json.count, depth);
	ck_error_is(json_parse(&json, deep, 2 * depth - 1, (unsigned)depth, NULL), ERROR_SYNTAX);
	free(deep);
	json_fini(&json);
}
END_TEST

START_TEST(a_text_of_4_gib_is_refused_unread)
{
	struct json json = { 0 };
	ck_error_is(json_parse(&json, "1", UINT32_MAX, 8, NULL), ERROR_LIMIT);
	json_fini(&json);
}
END_TEST

/* Children lie inside their parent, one after the other, and their number is right. */
static void check_children(const struct json *json, uint32_t node)
{
	const struct span raw = json_raw(json, node);
	const char *from = raw.at;
	uint32_t children = 0;
	for (uint32_t child = json_first(json, node); child != JSON_NONE; child = json_next(json, node, child)) {
		const struct span inner = json_raw(json, child);
		ck_assert(inner.at > from && inner.at + inner.len < raw.at + raw.len);
		from = inner.at + inner.len - 1;
		children++;
	}
	const bool is_object = json_type(json, node) == JSON_OBJECT;
	ck_assert_uint_eq(children, json->nodes[node].count * (is_object ? 2 : 1));
}

START_TEST(every_span_is_a_document_of_its_own)
{
	struct json json = { 0 };
	struct json again = { 0 };
	ck_error_is(json_parse(&json, sample, sizeof(sample) - 1, 8, NULL), OK);
	for (uint32_t node = 0; node < json.count; node++) {
		const struct span raw = json_raw(&json, node);
		ck_error_is(json_parse(&again, raw.at, raw.len, 8, NULL), OK);
		ck_assert_int_eq(json_type(&again, JSON_ROOT), json_type(&json, node));
		ck_assert_uint_eq(again.count, json.nodes[node].next - node);
		ck_assert(span_equal(json_raw(&again, JSON_ROOT), raw));
		check_children(&json, node);
	}
	json_fini(&again);
	json_fini(&json);
}
END_TEST

/* The document put together again from its leaves and the walk order. */
static void rebuild(const struct json *json, uint32_t node, struct bytes *out)
{
	const enum json_type type = json_type(json, node);
	if (type != JSON_ARRAY && type != JSON_OBJECT) {
		bytes_append_span(out, json_raw(json, node));
		return;
	}
	bytes_append_byte(out, type == JSON_ARRAY ? '[' : '{');
	uint32_t place = 0;
	for (uint32_t child = json_first(json, node); child != JSON_NONE; child = json_next(json, node, child)) {
		const bool is_value = type == JSON_OBJECT && place % 2 == 1;
		if (place > 0)
			bytes_append_text(out, is_value ? ": " : ", ");
		rebuild(json, child, out);
		place++;
	}
	bytes_append_byte(out, type == JSON_ARRAY ? ']' : '}');
}

START_TEST(walking_the_tree_reproduces_the_text)
{
	struct json json = { 0 };
	struct bytes out = { 0 };
	ck_error_is(json_parse(&json, sample, sizeof(sample) - 1, 8, NULL), OK);
	rebuild(&json, JSON_ROOT, &out);
	ck_assert_str_eq(bytes_text(&out), sample);
	bytes_fini(&out);
	json_fini(&json);
}
END_TEST

START_TEST(storage_is_reused_and_a_failure_leaves_no_nodes)
{
	struct json json = { 0 };
	ck_error_is(json_parse(&json, sample, sizeof(sample) - 1, 8, NULL), OK);
	const struct json_node *nodes = json.nodes;
	ck_error_is(json_parse(&json, "[1,2", 4, 8, NULL), ERROR_SYNTAX);
	ck_assert_uint_eq(json.count, 0);
	ck_error_is(json_parse(&json, "[1,2]", 5, 8, NULL), OK);
	ck_assert_uint_eq(json.count, 3);
	ck_assert_ptr_eq(json.nodes, nodes);
	ck_error_is(json_parse(&json, NULL, 0, 8, NULL), ERROR_SYNTAX);
	json_fini(&json);
	ck_assert_ptr_null(json.nodes);
}
END_TEST

START_TEST(special_bytes_are_seen_at_every_place)
{
	/* The fast scan reads 16 bytes at a time: a special byte must be seen at each of them, and in the rest. */
	static const char specials[] = { '"', '\\', '\x1f', '\0', '\x80', '\xff', '\n' };
	struct json json = { 0 };
	char text[64];
	for (size_t len = 3; len <= 40; len++) {
		for (size_t place = 1; place < len - 1; place++) {
			for (size_t i = 0; i < COUNT_OF(specials); i++) {
				memset(text, 'x', len);
				text[0] = text[len - 1] = '"';
				text[place] = specials[i];
				struct json_fault fault = { 0 };
				ck_error_is(json_parse(&json, text, len, 1, &fault), ERROR_SYNTAX);
				/* A quote ends the string early; a backslash before the last one makes it go on to the end. */
				const size_t wanted = specials[i] == '"'                        ? place + 1
				                      : specials[i] == '\\' && place == len - 2 ? len
				                                                                : place;
				ck_assert_uint_eq(fault.offset, wanted);
			}
		}
	}
	json_fini(&json);
}
END_TEST

UNIT_MAIN("base/json", the_table_of_cases, every_prefix_of_a_document_is_refused, the_depth_limit_counts_containers,
          a_text_of_4_gib_is_refused_unread, every_span_is_a_document_of_its_own, walking_the_tree_reproduces_the_text,
          storage_is_reused_and_a_failure_leaves_no_nodes, special_bytes_are_seen_at_every_place)
