/* JSON: nodes lie inside the text and in each other, every one is a document of its own, a cut document is none, and
 * what is written reads back. */
#include "base/json.h"

#include "fuzz.h"

#define DEPTH_MAX 20

static void check_scalar(const struct json *json, uint32_t node, struct arena *arena)
{
	int64_t integer;
	double number;
	struct span text;
	const enum json_type type = json_type(json, node);
	const enum error as_integer = json_int64(json, node, &integer);
	const enum error as_double = json_double(json, node, &number);
	MUST(type == JSON_NUMBER || (as_integer == ERROR_SYNTAX && as_double == ERROR_SYNTAX));
	MUST(as_double != ERROR_RANGE || as_integer == ERROR_RANGE);
	/* 2^53: up to there a double is exact. */
	if (type == JSON_NUMBER && as_integer == OK && integer > -(INT64_C(1) << 53) && integer < INT64_C(1) << 53)
		MUST(as_double == OK && (int64_t)number == integer);
	MUST((json_string(json, node, arena, &text) == OK) == (type == JSON_STRING));
}

static void check_children(const struct json *json, uint32_t node)
{
	const struct span raw = json_raw(json, node);
	uint32_t children = 0;
	const char *from = raw.at;
	for (uint32_t child = json_first(json, node); child != JSON_NONE; child = json_next(json, node, child)) {
		const struct span inner = json_raw(json, child);
		MUST(inner.at > from && inner.at + inner.len < raw.at + raw.len);
		from = inner.at + inner.len - 1;
		children++;
	}
	MUST(children == json->nodes[node].count * (json_type(json, node) == JSON_OBJECT ? 2 : 1));
}

static void check_document(const struct json *json, struct arena *arena)
{
	struct json again = { 0 };
	/* Each node once more as a text of its own: quadratic, so only in small documents. */
	for (uint32_t node = 0; node < json->count && json->count < 200; node++) {
		const struct span raw = json_raw(json, node);
		MUST(is_inside(raw, json->text, json->len) && raw.len > 0);
		MUST(json_parse(&again, raw.at, raw.len, DEPTH_MAX, NULL) == OK);
		MUST(again.count == json->nodes[node].next - node);
		check_children(json, node);
		check_scalar(json, node, arena);
	}
	json_fini(&again);
}

/* A document that ends in a bracket or quote is none without it. */
static void check_cut(const struct json *json)
{
	struct json again = { 0 };
	const struct span raw = json_raw(json, JSON_ROOT);
	if (json_type(json, JSON_ROOT) >= JSON_STRING)
		MUST(json_parse(&again, raw.at, raw.len - 1, DEPTH_MAX, NULL) == ERROR_SYNTAX);
	json_fini(&again);
}

/* Any bytes become a string; written again, it stays the same. */
static void check_writer(struct span text, struct arena *arena)
{
	struct bytes first = { 0 }, second = { 0 };
	struct json json = { 0 };
	struct span decoded;
	json_write_string(&first, text);
	MUST(json_parse(&json, first.data, first.len, 1, NULL) == OK && json.count == 1);
	MUST(json_string(&json, JSON_ROOT, arena, &decoded) == OK);
	json_write_string(&second, decoded);
	MUST(span_equal(bytes_span(&first), bytes_span(&second)));
	bytes_fini(&first);
	bytes_fini(&second);
	json_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	arena_init(&arena, 0);
	struct json json = { 0 };
	struct json_fault fault = { 0 };
	char *text = exact_copy(data, size);
	const enum error error = json_parse(&json, text, size, DEPTH_MAX, &fault);
	MUST(error == OK || error == ERROR_SYNTAX || error == ERROR_LIMIT);
	MUST(error == OK || (fault.reason != NULL && fault.offset <= size));
	if (error == OK) {
		check_document(&json, &arena);
		check_cut(&json);
	}
	check_writer((struct span){ text, size }, &arena);
	json_fini(&json);
	free(text);
	arena_fini(&arena);
	return 0;
}
