/* Values are read whole and strictly: "8080abc", "08" or a time without its unit are faults that say how to write it. */
#include "config/config_value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "config/config.h"

struct scale {
	const char *suffix;
	int64_t factor;
};

/* Largest first: the writer takes the first that divides. */
static const struct scale durations[] = {
	{ "h", 3600 * NS_PER_S }, { "m", 60 * NS_PER_S }, { "s", NS_PER_S }, { "ms", NS_PER_MS }
};
static const struct scale sizes[] = { { "GiB", INT64_C(1) << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "", 1 } };

static enum error refuse(struct bytes *why, struct span shown, const char *what)
{
	bytes_printf(why, "\"%.*s\" %s", (int)min_ll((long long)shown.len, 80), shown.len == 0 ? "" : shown.at, what);
	return ERROR_SYNTAX;
}

/* Digits with an optional minus and no leading zero. ERROR_SYNTAX, ERROR_RANGE. */
static enum error read_integer(struct span text, int64_t *out)
{
	const bool is_negative = text.len > 0 && text.at[0] == '-';
	const struct span digits = { text.at + is_negative, text.len - is_negative };
	if (digits.len > 1 && digits.at[0] == '0')
		return ERROR_SYNTAX;
	uint64_t magnitude;
	const enum error error = span_to_u64(digits, INT64_MAX, &magnitude);
	if (error == OK)
		*out = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return error;
}

/* A whole number and one of the suffixes. ERROR_SYNTAX, ERROR_RANGE, ERROR_NOT_FOUND for a number with another or no suffix. */
static enum error read_scaled(struct span text, const struct scale *scales, size_t count, int64_t *out)
{
	size_t digits = 0;
	while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	int64_t number;
	const enum error error = read_integer((struct span){ text.at, digits }, &number);
	if (error != OK)
		return error;
	const struct span suffix = { text.at + digits, text.len - digits };
	for (size_t i = 0; i < count; i++) {
		if (span_is(suffix, scales[i].suffix))
			return __builtin_mul_overflow(number, scales[i].factor, out) ? ERROR_RANGE : OK;
	}
	return ERROR_NOT_FOUND;
}

void config_value_write(struct bytes *out, const struct config_row *row, int64_t value)
{
	const bool is_duration = row->type == CONFIG_DURATION;
	if (!is_duration && row->type != CONFIG_SIZE) {
		bytes_printf(out, "%lld", (long long)value);
		return;
	}
	const struct scale *scales = is_duration ? durations : sizes;
	for (size_t i = 0; i < COUNT_OF(durations); i++) {
		if (value != 0 && value % scales[i].factor == 0) {
			bytes_printf(out, "%lld%s", (long long)(value / scales[i].factor), scales[i].suffix);
			return;
		}
	}
	bytes_append_text(out, is_duration ? "0s" : "0");
}

static enum error check_bounds(const struct config_row *row, double value, struct span shown, struct bytes *why)
{
	if (value >= (double)row->minimum && value <= (double)row->maximum)
		return OK;
	bytes_append_text(why, "must be between ");
	config_value_write(why, row, row->minimum);
	bytes_append_text(why, " and ");
	config_value_write(why, row, row->maximum);
	if (row->type == CONFIG_SHARE)
		bytes_append_byte(why, '%');
	if (row->unit != NULL)
		bytes_printf(why, " %s", row->unit);
	bytes_append_text(why, ", not ");
	bytes_append(why, shown.at, (size_t)min_ll((long long)shown.len, 80));
	return ERROR_SYNTAX;
}

static enum error read_number(struct span text, double *out)
{
	char copy[64];
	if (text.len == 0 || text.len >= sizeof(copy))
		return ERROR_SYNTAX;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	/* strtod alone takes hexadecimal, "inf", "nan" and leading blanks. */
	if (strspn(copy, "0123456789+-.eE") < text.len || (copy[0] != '-' && (copy[0] < '0' || copy[0] > '9')))
		return ERROR_SYNTAX;
	char *end;
	*out = strtod(copy, &end);
	return *end == '\0' && isfinite(*out) ? OK : ERROR_SYNTAX;
}

/* 5% or 2.5%, as a share of one. */
static enum error read_share(const struct config_row *row, struct span text, struct span shown, double *field,
                             struct bytes *why)
{
	const bool has_sign = text.len > 0 && text.at[text.len - 1] == '%';
	if (!has_sign || read_number((struct span){ text.at, text.len - 1 }, field) != OK)
		return refuse(why, shown, "is not a share: write it in percent, as 5%");
	const double percent = *field;
	*field = percent / 100;
	return check_bounds(row, percent, shown, why);
}

static enum error read_bounded(const struct config_row *row, struct span text, struct span shown, void *field,
                               struct bytes *why)
{
	if (row->automatic && span_is(text, "auto")) {
		*(int64_t *)field = CONFIG_AUTO;
		return OK;
	}
	int64_t value = 0;
	enum error error;
	if (row->type == CONFIG_NUMBER) {
		if (read_number(text, field) != OK)
			return refuse(why, shown, "is not a number");
		return check_bounds(row, *(double *)field, shown, why);
	}
	if (row->type == CONFIG_SHARE)
		return read_share(row, text, shown, field, why);
	if (row->type == CONFIG_DURATION)
		error = read_scaled(text, durations, COUNT_OF(durations), &value);
	else if (row->type == CONFIG_SIZE)
		error = read_scaled(text, sizes, COUNT_OF(sizes), &value);
	else
		error = read_integer(text, &value);
	if (error == ERROR_RANGE)
		return check_bounds(row, INFINITY, shown, why);
	if (error != OK && row->type == CONFIG_DURATION)
		return refuse(why, shown, "is not a time: write a whole number with its unit, as 300ms, 2s, 5m or 1h");
	if (error != OK && row->type == CONFIG_SIZE)
		return refuse(why, shown, "is not a size: write bytes, or a whole number with KiB, MiB or GiB");
	if (error != OK)
		return refuse(why, shown, row->automatic ? "is not a whole number or auto" : "is not a whole number");
	*(int64_t *)field = value;
	return check_bounds(row, (double)value, shown, why);
}

static enum error read_choice(const struct config_row *row, struct span text, struct span shown, int *field,
                              struct bytes *why)
{
	*field = config_choice_find(row->choices, text);
	if (*field >= 0)
		return OK;
	struct config_guess guess;
	config_guess_init(&guess, text);
	const enum error error = refuse(why, shown, "is not one of ");
	struct span rest = span_of(row->choices);
	while (rest.len > 0) {
		const size_t len = span_find(rest, '|');
		const struct span choice = { rest.at, len };
		config_guess_offer(&guess, choice);
		bytes_append_span(why, choice);
		rest = (struct span){ rest.at + len, rest.len - len };
		if (rest.len > 0) {
			bytes_append_text(why, ", ");
			rest = (struct span){ rest.at + 1, rest.len - 1 };
		}
	}
	if (guess.best[0] != '\0')
		bytes_printf(why, " (did you mean %s?)", guess.best);
	return error;
}

static enum error read_string(const struct config_row *row, struct span text, struct arena *arena, const char **field,
                              struct bytes *why)
{
	if (span_find(text, '\0') < text.len) {
		bytes_append_text(why, "holds a NUL byte");
		return ERROR_SYNTAX;
	}
	if (!row->expand_home || !span_starts_with(text, SPAN("~/"))) {
		*field = arena_copy_text(arena, text);
		return *field == NULL ? ERROR_MEMORY : OK;
	}
	const char *home = getenv("HOME");
	if (home == NULL || home[0] != '/') {
		bytes_append_text(why, "starts with ~/, but HOME is not set: write the whole path");
		return ERROR_SYNTAX;
	}
	struct bytes whole = { 0 };
	bytes_append_text(&whole, home);
	bytes_append(&whole, text.at + 1, text.len - 1);
	*field = bytes_ok(&whole) ? arena_copy_text(arena, bytes_span(&whole)) : NULL;
	bytes_fini(&whole);
	return *field == NULL ? ERROR_MEMORY : OK;
}

enum error config_value_read(const struct config_row *row, struct span text, struct span shown, struct arena *arena,
                             void *field, struct bytes *why)
{
	switch (row->type) {
	case CONFIG_STRING:
	case CONFIG_STRING_LIST:
		return read_string(row, text, arena, field, why);
	case CONFIG_BOOLEAN:
		*(bool *)field = span_is(text, "true");
		if (span_is(text, "true") || span_is(text, "false"))
			return OK;
		return refuse(why, shown, "is not true or false");
	case CONFIG_CHOICE:
		return read_choice(row, text, shown, field, why);
	case CONFIG_INTEGER:
	case CONFIG_NUMBER:
	case CONFIG_SHARE:
	case CONFIG_DURATION:
	case CONFIG_SIZE:
		break;
	}
	return read_bounded(row, text, shown, field, why);
}

static bool is_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		const char byte = name.at[i];
		const bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
		if (!is_letter && (i == 0 || byte < '0' || byte > '9'))
			return false;
	}
	return name.len > 0;
}

/* Appends the variable that `text`, which starts with ${, names; *used bytes are its reference. */
static enum error expand_one(struct span text, struct bytes *out, struct bytes *why, size_t *used)
{
	const size_t end = span_find(text, '}');
	const struct span name = { text.at + 2, end == text.len ? 0 : end - 2 };
	if (end == text.len || !is_name(name))
		return refuse(why, (struct span){ text.at, end == text.len ? end : end + 1 },
		              "is not a variable: write ${NAME}, or $${ for the two characters themselves");
	struct bytes copy = { 0 };
	bytes_append_span(&copy, name);
	const char *value = getenv(bytes_text(&copy));
	const bool is_complete = bytes_ok(&copy);
	bytes_fini(&copy);
	if (!is_complete)
		return ERROR_MEMORY;
	if (value == NULL) {
		bytes_printf(why, "the environment has no %.*s", (int)name.len, name.at);
		return ERROR_SYNTAX;
	}
	bytes_append_text(out, value);
	*used = end + 1;
	return OK;
}

enum error config_value_expand(struct span text, struct bytes *out, struct bytes *why)
{
	size_t at = 0;
	while (at < text.len) {
		/* A short text can name a long variable many times. */
		if (out->len > CONFIG_FILE_BYTES_MAX) {
			bytes_printf(why, "is longer than %u KiB with what the environment gives", CONFIG_FILE_BYTES_MAX >> 10);
			return ERROR_SYNTAX;
		}
		const struct span rest = { text.at + at, text.len - at };
		size_t used = 1;
		if (span_starts_with(rest, SPAN("$${"))) {
			bytes_append_text(out, "${");
			used = 3;
		} else if (span_starts_with(rest, SPAN("${"))) {
			const enum error error = expand_one(rest, out, why, &used);
			if (error != OK)
				return error;
		} else {
			bytes_append_byte(out, text.at[at]);
		}
		at += used;
	}
	return bytes_ok(out) ? OK : ERROR_MEMORY;
}
