/* fields.def, row by row: what each kind of field accepts and refuses at each endpoint, and that the table itself is sound. */
#include "api/bodies.h"

#include <stdio.h>

#include "base/macros.h"

enum kind { KIND_BOOLEAN, KIND_INTEGER, KIND_NUMBER, KIND_STRING, KIND_NODE, KIND_HARMLESS, KIND_REFUSED };

struct row {
	const char *name;
	enum kind kind;
	unsigned endpoints;
	const char *member;
	double minimum;
	double maximum;
	const char *harmless;
	const char *instead;
	bool hop;
};

static const struct row rows[] = {
#define FIELD(name, kind, endpoints, member, ...) { name, KIND_##kind, endpoints, #member, __VA_ARGS__ },
#include "api/fields.def"
#undef FIELD
};

static const enum api_endpoint endpoints[] = { API_CHAT, API_COMPLETION, API_EMBEDDING };

static bool is_required(const struct row *row)
{
	return strcmp(row->name, "model") == 0 || strcmp(row->name, "messages") == 0 || strcmp(row->name, "prompt") == 0 ||
	       strcmp(row->name, "input") == 0;
}

/* Parses the least request with this field; where the field only makes sense beside another, that one is there, too. */
static void parse_field(struct parsed *parsed, const struct row *row, enum api_endpoint endpoint, const char *value)
{
	struct bytes more = { 0 };
	bytes_printf(&more, "\"%s\":%s", row->name, value);
	if (strcmp(row->name, "top_logprobs") == 0)
		bytes_append_text(&more, ",\"logprobs\":true");
	parse_with(parsed, endpoint, row->name, bytes_text(&more));
	bytes_fini(&more);
}

static void accept_field(const struct row *row, enum api_endpoint endpoint, const char *value)
{
	struct parsed parsed;
	parse_field(&parsed, row, endpoint, value);
	ck_assert_msg(parsed.error == OK, "%s: %s: %s", row->name, value, parsed.fault.message);
	ck_assert_uint_eq(parsed.request.ignored_count, 0);
	parsed_fini(&parsed);
}

static void refuse_field(const struct row *row, enum api_endpoint endpoint, const char *value, enum error error)
{
	struct parsed parsed;
	parse_field(&parsed, row, endpoint, value);
	check_fault(&parsed, error, row->name, value);
	ck_assert_ptr_nonnull(strstr(parsed.fault.message, row->name));
	parsed_fini(&parsed);
}

START_TEST(the_table_is_sound)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		ck_assert(row->endpoints != 0 &&
		          (row->endpoints & ~(unsigned)(API_CHAT | API_COMPLETION | API_EMBEDDING)) == 0);
		for (size_t j = 0; j < i; j++)
			ck_assert_msg((rows[j].endpoints & row->endpoints) == 0 || strcmp(rows[j].name, row->name) != 0,
			              "%s stands twice for one endpoint", row->name);
		const bool is_bounded = row->kind == KIND_INTEGER || row->kind == KIND_NUMBER;
		ck_assert_msg(is_bounded == (row->minimum < row->maximum || strcmp(row->name, "n") == 0), "%s: bounds",
		              row->name);
		const bool is_refused = row->kind == KIND_REFUSED;
		ck_assert_msg(is_refused || (!row->harmless && !row->instead), "%s: texts of a refusal", row->name);
		const bool goes_nowhere = is_refused || row->kind == KIND_HARMLESS;
		ck_assert_msg(goes_nowhere == (strcmp(row->member, "none") == 0), "%s: member", row->name);
	}
}
END_TEST

START_TEST(null_is_as_good_as_absent)
{
	for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(endpoints); i++) {
		const struct row *row = &rows[i / COUNT_OF(endpoints)];
		const enum api_endpoint endpoint = endpoints[i % COUNT_OF(endpoints)];
		if (!(row->endpoints & endpoint))
			continue;
		if (is_required(row))
			refuse_field(row, endpoint, "null", ERROR_SYNTAX);
		else
			accept_field(row, endpoint, "null");
	}
}
END_TEST

static void check_wrong_types(const struct row *row, enum api_endpoint endpoint)
{
	static const char *const booleans[] = { "1", "\"true\"", "{}", "[true]" };
	static const char *const integers[] = { "1.5", "\"1\"", "true", "[1]", "{}", "1e400", "99999999999999999999" };
	static const char *const numbers[] = { "\"1\"", "true", "[1]", "{}", "1e400" };
	static const char *const strings[] = { "1", "true", "[\"a\"]", "{}" };
	const char *const *values = row->kind == KIND_BOOLEAN   ? booleans
	                            : row->kind == KIND_INTEGER ? integers
	                            : row->kind == KIND_NUMBER  ? numbers
	                                                        : strings;
	const size_t count = row->kind == KIND_BOOLEAN   ? COUNT_OF(booleans)
	                     : row->kind == KIND_INTEGER ? COUNT_OF(integers)
	                     : row->kind == KIND_NUMBER  ? COUNT_OF(numbers)
	                                                 : COUNT_OF(strings);
	for (size_t i = 0; i < count; i++)
		refuse_field(row, endpoint, values[i], ERROR_SYNTAX);
}

START_TEST(wrong_types_are_refused)
{
	for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(endpoints); i++) {
		const struct row *row = &rows[i / COUNT_OF(endpoints)];
		const enum api_endpoint endpoint = endpoints[i % COUNT_OF(endpoints)];
		if ((row->endpoints & endpoint) && row->kind <= KIND_STRING)
			check_wrong_types(row, endpoint);
	}
}
END_TEST

static void check_bounds(const struct row *row, enum api_endpoint endpoint)
{
	const double step = row->kind == KIND_INTEGER ? 1 : 0.001;
	char text[40];
	snprintf(text, sizeof(text), "%.17g", row->minimum);
	accept_field(row, endpoint, text);
	snprintf(text, sizeof(text), "%.17g", row->maximum);
	accept_field(row, endpoint, text);
	snprintf(text, sizeof(text), "%.17g", row->minimum - step);
	refuse_field(row, endpoint, text, ERROR_UNSUPPORTED);
	snprintf(text, sizeof(text), "%.17g", row->maximum + step);
	refuse_field(row, endpoint, text, ERROR_UNSUPPORTED);
}

START_TEST(bounds_are_inclusive)
{
	for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(endpoints); i++) {
		const struct row *row = &rows[i / COUNT_OF(endpoints)];
		const enum api_endpoint endpoint = endpoints[i % COUNT_OF(endpoints)];
		if (!(row->endpoints & endpoint) || (row->kind != KIND_INTEGER && row->kind != KIND_NUMBER))
			continue;
		if (strcmp(row->name, "seed") == 0) {
			/* Its bounds are those of the type. */
			accept_field(row, endpoint, "9223372036854775807");
			accept_field(row, endpoint, "-9223372036854775808");
			refuse_field(row, endpoint, "9223372036854775808", ERROR_SYNTAX);
		} else {
			check_bounds(row, endpoint);
		}
	}
}
END_TEST

START_TEST(what_cannot_be_honoured_is_refused)
{
	static const char *const values[] = { "true", "7", "\"x\"", "{\"a\":1}", "[\"x\"]" };
	for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(endpoints); i++) {
		const struct row *row = &rows[i / COUNT_OF(endpoints)];
		const enum api_endpoint endpoint = endpoints[i % COUNT_OF(endpoints)];
		if (!(row->endpoints & endpoint))
			continue;
		for (size_t v = 0; v < COUNT_OF(values); v++) {
			if (row->kind == KIND_REFUSED)
				refuse_field(row, endpoint, values[v], ERROR_UNSUPPORTED);
			else if (row->kind == KIND_HARMLESS)
				accept_field(row, endpoint, values[v]);
		}
		if (row->harmless)
			accept_field(row, endpoint, row->harmless);
		if (row->instead) {
			struct parsed parsed;
			parse_field(&parsed, row, endpoint, "[]");
			ck_assert_ptr_nonnull(strstr(parsed.fault.message, row->instead));
			parsed_fini(&parsed);
		}
	}
}
END_TEST

START_TEST(a_field_of_the_other_endpoint_is_ignored_and_named)
{
	for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(endpoints); i++) {
		const struct row *row = &rows[i / COUNT_OF(endpoints)];
		const enum api_endpoint endpoint = endpoints[i % COUNT_OF(endpoints)];
		if ((row->endpoints & endpoint) || strcmp(row->name, "logprobs") == 0)
			continue;
		struct parsed parsed;
		struct bytes more = { 0 };
		bytes_printf(&more, "\"%s\":{\"a\":[]}", row->name);
		must_accept(&parsed, endpoint, bytes_text(&more));
		ck_assert_uint_eq(parsed.request.ignored_count, 1);
		ck_span_is(parsed.request.ignored[0], row->name);
		parsed_fini(&parsed);
		bytes_fini(&more);
	}
}
END_TEST

START_TEST(twice_is_refused)
{
	for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(endpoints); i++) {
		const struct row *row = &rows[i / COUNT_OF(endpoints)];
		const enum api_endpoint endpoint = endpoints[i % COUNT_OF(endpoints)];
		if (!(row->endpoints & endpoint))
			continue;
		struct bytes more = { 0 };
		struct parsed parsed;
		/* The second time with its first letter escaped: the same name. */
		bytes_printf(&more, "\"%s\":null,\"\\u%04x%s\":null", row->name, (unsigned)row->name[0], row->name + 1);
		parse_with(&parsed, endpoint, row->name, bytes_text(&more));
		check_fault(&parsed, ERROR_DUPLICATE, row->name, bytes_text(&more));
		parsed_fini(&parsed);
		bytes_fini(&more);
	}
}
END_TEST

UNIT_MAIN("api/fields", the_table_is_sound, null_is_as_good_as_absent, wrong_types_are_refused, bounds_are_inclusive,
          what_cannot_be_honoured_is_refused, a_field_of_the_other_endpoint_is_ignored_and_named, twice_is_refused)
