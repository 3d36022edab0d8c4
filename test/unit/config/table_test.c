/* config.def itself: what every row must keep to, so that a new one is right or the test says why not. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "config/config_table.h"
#include "config/config_value.h"

static const char *const known_units[] = {
	"threads",           "headers",        "levels",   "connections", "tokens", "layers",
	"sequences",         "replicas",       "requests", "ratio",       "shares", "money",
	"requests a minute", "tokens a minute"
};

START_TEST(names)
{
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		ck_assert_ptr_nonnull(row->path);
		/* A guess holds a path, and a part of it is looked up in a buffer of the same size. */
		ck_assert_uint_lt(strlen(row->path), sizeof(((struct config_guess *)0)->best));
		char field[64];
		for (size_t c = 0; c <= strlen(row->path); c++)
			field[c] = row->path[c] == '.' ? '_' : row->path[c];
		ck_assert_str_eq(field, row->field);
		for (size_t j = 0; j < i; j++) {
			ck_assert_msg(config_rows[j].section != row->section || strcmp(config_rows[j].path, row->path) != 0,
			              "%s stands twice", row->path);
		}
		/* A path cannot be a key and a group. */
		ck_assert_msg(!config_path_is_group(row->section, row->path), "%s is a group, too", row->path);
	}
}
END_TEST

START_TEST(help_and_units)
{
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		ck_assert_msg(row->help != NULL && strlen(row->help) > 10 && row->help[strlen(row->help) - 1] == '.', "%s",
		              row->path);
		ck_assert_msg(strchr(row->help, '|') == NULL, "%s: a | breaks the reference's table", row->path);
		const bool is_counted = row->type == CONFIG_INTEGER || row->type == CONFIG_NUMBER;
		ck_assert_msg(is_counted == (row->unit != NULL), "%s: a unit for INTEGER and NUMBER alone", row->path);
		bool is_known = row->unit == NULL;
		for (size_t j = 0; j < COUNT_OF(known_units); j++)
			is_known = is_known || strcmp(known_units[j], row->unit) == 0;
		ck_assert_msg(is_known, "%s: unit %s", row->path, row->unit);
		ck_assert_msg((row->type == CONFIG_CHOICE) == (row->choices != NULL), "%s", row->path);
		ck_assert_msg(!row->automatic || row->type == CONFIG_INTEGER, "%s", row->path);
		ck_assert_msg(!row->expand_home || row->type == CONFIG_STRING, "%s", row->path);
	}
}
END_TEST

START_TEST(bounds_hold_the_default)
{
	setenv("HOME", "/home/someone", 1);
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		ck_assert_msg(row->required == (row->initial == NULL), "%s: a default or .required", row->path);
		const bool is_bounded = row->type == CONFIG_INTEGER || row->type == CONFIG_NUMBER ||
		                        row->type == CONFIG_DURATION || row->type == CONFIG_SIZE || row->type == CONFIG_SHARE;
		ck_assert_msg(is_bounded == (row->minimum < row->maximum), "%s: bounds", row->path);
		if (row->required)
			continue;
		union {
			const char *text;
			int64_t integer;
			double number;
			int choice;
			bool boolean;
		} value;
		struct arena arena;
		arena_init(&arena, 0);
		struct bytes why = { 0 };
		const struct span initial = span_of(row->initial);
		const enum error error = config_value_read(row, initial, initial, &arena, &value, &why);
		ck_assert_msg(error == OK, "%s: %s", row->path, bytes_text(&why));
		bytes_fini(&why);
		arena_fini(&arena);
	}
}
END_TEST

START_TEST(guesses)
{
	static const struct {
		const char *word;
		const char *candidate;
		bool is_near;
	} cases[] = {
		{ "wieght", "weight", true },
		{ "prot", "port", true },
		{ "lisen", "listen", true },
		{ "listen", "listen", true },
		{ "li", "l", true },
		{ "x", "y", true },
		{ "abc", "xyz", false },
		{ "limit", "drain", false },
		{ "head_byte", "head_bytes", true },
		{ "headbytes", "head_bytes", true },
		{ "", "a", true },
		{ "a-word-that-is-longer-than-any-key-there-may-be", "a-word-that-is-longer-than-any-key-there-may-be", false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct config_guess guess;
		config_guess_init(&guess, span_of(cases[i].word));
		config_guess_offer(&guess, span_of(cases[i].candidate));
		ck_assert_str_eq(guess.best, cases[i].is_near ? cases[i].candidate : "");
	}
	/* The nearer one wins, and the first of equals. */
	struct config_guess guess;
	config_guess_init(&guess, SPAN("timeot"));
	config_guess_offer(&guess, SPAN("timer"));
	config_guess_offer(&guess, SPAN("timeout"));
	config_guess_offer(&guess, SPAN("timeott"));
	ck_assert_str_eq(guess.best, "timeout");
}
END_TEST

START_TEST(lookups)
{
	ck_assert_ptr_nonnull(config_row_find(CONFIG_POOL, "engine.context"));
	ck_assert_ptr_null(config_row_find(CONFIG_ROUTE, "engine.context"));
	ck_assert_ptr_null(config_row_find(CONFIG_POOL, "engine"));
	ck_assert(config_path_is_group(CONFIG_POOL, "engine"));
	ck_assert(!config_path_is_group(CONFIG_POOL, "eng"));
	ck_assert(!config_path_is_group(CONFIG_POOL, "engine.context"));
	ck_assert_int_eq(config_choice_find("a|bc|d", SPAN("bc")), 1);
	ck_assert_int_eq(config_choice_find("a|bc|d", SPAN("d")), 2);
	ck_assert_int_eq(config_choice_find("a|bc|d", SPAN("b")), -1);
	ck_assert_int_eq(config_choice_find("a|bc|d", SPAN("a|bc")), -1);
	ck_assert_int_eq(config_choice_find("a|bc|d", SPAN("")), -1);
}
END_TEST

UNIT_MAIN("config/table", names, help_and_units, bounds_hold_the_default, guesses, lookups)
