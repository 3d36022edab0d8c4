/* One value at a time: every type, its edges, and what the environment may do. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "config/config_value.h"

static const struct config_row integer = {
	.type = CONFIG_INTEGER, .minimum = -5, .maximum = INT64_MAX, .unit = "tokens", .automatic = true
};
static const struct config_row number = { .type = CONFIG_NUMBER, .minimum = -10, .maximum = 10, .unit = "tokens" };
static const struct config_row duration = { .type = CONFIG_DURATION, .minimum = 0, .maximum = INT64_MAX };
static const struct config_row size = { .type = CONFIG_SIZE, .minimum = 0, .maximum = INT64_MAX };

static const struct {
	const struct config_row *row;
	const char *text;
	int64_t value;
} integers[] = {
	{ &integer, "0", 0 },
	{ &integer, "-5", -5 },
	{ &integer, "12345", 12345 },
	{ &integer, "9223372036854775807", INT64_MAX },
	{ &integer, "auto", -1 },
	{ &duration, "300ms", 300 * NS_PER_MS },
	{ &duration, "2s", 2 * NS_PER_S },
	{ &duration, "5m", 300 * NS_PER_S },
	{ &duration, "1h", 3600 * NS_PER_S },
	{ &duration, "0s", 0 },
	{ &size, "0", 0 },
	{ &size, "4096", 4096 },
	{ &size, "64KiB", 65536 },
	{ &size, "1MiB", 1 << 20 },
	{ &size, "3GiB", INT64_C(3) << 30 },
};

static const struct {
	const struct config_row *row;
	const char *text;
} refused[] = {
	{ &integer, "" },        { &integer, "+1" },   { &integer, "1 " },    { &integer, " 1" },
	{ &integer, "1.0" },     { &integer, "0x10" }, { &integer, "1_000" }, { &integer, "-" },
	{ &integer, "--1" },     { &integer, "-6" },   { &integer, "007" },   { &integer, "9223372036854775808" },
	{ &integer, "Auto" },    { &number, "" },      { &number, "nan" },    { &number, "inf" },
	{ &number, "0x1" },      { &number, "1e999" }, { &number, "1.5x" },   { &number, "10.5" },
	{ &number, "1,5" },      { &number, "." },     { &duration, "" },     { &duration, "5" },
	{ &duration, "0" },      { &duration, "ms" },  { &duration, "1.5s" }, { &duration, "-1s" },
	{ &duration, "2.5sec" }, { &duration, "1 s" }, { &duration, "1S" },   { &duration, "9999999999999h" },
	{ &duration, "auto" },   { &size, "" },        { &size, "-1" },       { &size, "1KB" },
	{ &size, "1k" },         { &size, "KiB" },     { &size, "1.5MiB" },   { &size, "9223372036854775807KiB" },
	{ &size, "08KiB" },      { &duration, "08s" },
};

START_TEST(integers_are_read)
{
	for (size_t i = 0; i < COUNT_OF(integers); i++) {
		int64_t value = 99;
		struct bytes why = { 0 };
		const struct span text = span_of(integers[i].text);
		ck_error_is(config_value_read(integers[i].row, text, text, NULL, &value, &why), OK);
		ck_assert_int_eq(value, integers[i].value);
		ck_assert_uint_eq(why.len, 0);
		/* And written as it was, but for auto. */
		bytes_clear(&why);
		config_value_write(&why, integers[i].row, value);
		if (value != -1)
			ck_assert_msg(span_is(bytes_span(&why), integers[i].text) || strcmp(integers[i].text, "4096") == 0, "%s",
			              bytes_text(&why));
		bytes_fini(&why);
	}
}
END_TEST

START_TEST(numbers_are_read)
{
	static const struct {
		const char *text;
		double value;
	} numbers[] = { { "0", 0 }, { "1.5", 1.5 }, { "-2.25", -2.25 }, { "1e1", 10 }, { "25e-2", 0.25 }, { "-10", -10 } };
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		double value = 99;
		struct bytes why = { 0 };
		const struct span text = span_of(numbers[i].text);
		ck_error_is(config_value_read(&number, text, text, NULL, &value, &why), OK);
		ck_assert_double_eq(value, numbers[i].value);
	}
}
END_TEST

START_TEST(others_are_refused)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		union {
			int64_t integer;
			double number;
		} value;
		struct bytes why = { 0 };
		const struct span text = span_of(refused[i].text);
		ck_assert_msg(config_value_read(refused[i].row, text, text, NULL, &value, &why) == ERROR_SYNTAX,
		              "\"%s\" was read", refused[i].text);
		ck_assert_uint_gt(why.len, 0);
		bytes_fini(&why);
	}
}
END_TEST

START_TEST(environment)
{
	static const struct {
		const char *text;
		const char *expanded; /* NULL: refused */
	} cases[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "${P_A}", "one" },
		{ "x${P_A}y${P_B}z", "xoney${P_A}z" }, /* what comes in is not expanded again */
		{ "$${P_A}", "${P_A}" },
		{ "$$${P_A}", "$${P_A}" },
		{ "$P_A $ $$ }", "$P_A $ $$ }" },
		{ "${P_EMPTY}", "" },
		{ "${P_MISSING}", NULL },
		{ "${", NULL },
		{ "${}", NULL },
		{ "${1A}", NULL },
		{ "${A-B}", NULL },
		{ "${P_A", NULL },
		{ "${P_A:-x}", NULL },
		{ "${ P_A}", NULL },
	};
	setenv("P_A", "one", 1);
	setenv("P_B", "${P_A}", 1);
	setenv("P_EMPTY", "", 1);
	unsetenv("P_MISSING");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bytes out = { 0 };
		struct bytes why = { 0 };
		const enum error error = config_value_expand(span_of(cases[i].text), &out, &why);
		if (cases[i].expanded == NULL) {
			ck_error_is(error, ERROR_SYNTAX);
			ck_assert_uint_gt(why.len, 0);
		} else {
			ck_error_is(error, OK);
			ck_span_is(bytes_span(&out), cases[i].expanded);
		}
		bytes_fini(&out);
		bytes_fini(&why);
	}
}
END_TEST

START_TEST(a_value_from_the_environment_is_not_shown)
{
	int64_t value;
	struct bytes why = { 0 };
	ck_error_is(config_value_read(&integer, SPAN("hush"), SPAN("${SECRET}"), NULL, &value, &why), ERROR_SYNTAX);
	ck_span_is(bytes_span(&why), "\"${SECRET}\" is not a whole number or auto");
	bytes_clear(&why);
	ck_error_is(config_value_read(&integer, SPAN("-7"), SPAN("${SECRET}"), NULL, &value, &why), ERROR_SYNTAX);
	ck_assert_ptr_null(strstr(bytes_text(&why), "-7"));
	bytes_fini(&why);
}
END_TEST

UNIT_MAIN("config/value", integers_are_read, numbers_are_read, others_are_refused, environment,
          a_value_from_the_environment_is_not_shown)
