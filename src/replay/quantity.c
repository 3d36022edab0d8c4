#include "replay/quantity.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

#define DURATION_NS_MAX (10 * 366 * 86400e9)
#define SECONDS_MAX (100.0 * 366 * 86400)

enum error quantity_number(struct span text, double *out)
{
	char copy[64];
	if (text.len == 0 || text.len >= sizeof(copy))
		return ERROR_SYNTAX;
	for (size_t i = 0; i < text.len; i++) {
		/* strtod takes hexadecimal, inf and nan as well. */
		if (!strchr("0123456789+-.eE", text.at[i]) || text.at[i] == '\0')
			return ERROR_SYNTAX;
	}
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	char *end;
	double value = strtod(copy, &end);
	if (*end || end == copy)
		return ERROR_SYNTAX;
	*out = value;
	return isfinite(value) ? OK : ERROR_RANGE;
}

/* A number and its unit at the start of *text, which moves on. */
static enum error take_part(struct span *text, double *out_ns)
{
	/* The longest suffix first: "ms" isn't minutes. */
	static const struct {
		const char *suffix;
		double factor;
	} units[] = { { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 } };
	size_t digits = 0;
	while (digits < text->len && ((text->at[digits] >= '0' && text->at[digits] <= '9') || text->at[digits] == '.'))
		digits++;
	double value;
	enum error error = quantity_number((struct span){ text->at, digits }, &value);
	const struct span rest = { text->at + digits, text->len - digits };
	for (size_t i = 0; i < COUNT_OF(units) && !error; i++) {
		const struct span suffix = span_of(units[i].suffix);
		if (!span_starts_with(rest, suffix))
			continue;
		*out_ns = value * units[i].factor;
		*text = (struct span){ rest.at + suffix.len, rest.len - suffix.len };
		return *out_ns > DURATION_NS_MAX ? ERROR_RANGE : OK;
	}
	return error ? error : ERROR_SYNTAX;
}

enum error quantity_duration(struct span text, int64_t *out_ns)
{
	double total_ns = 0;
	enum error error = text.len ? OK : ERROR_SYNTAX;
	*out_ns = 0;
	if (span_is(text, "0"))
		return OK;
	while (text.len && !error) {
		double part_ns;
		error = take_part(&text, &part_ns);
		total_ns += error ? 0 : part_ns;
	}
	if (!error && total_ns > DURATION_NS_MAX)
		error = ERROR_RANGE;
	if (!error)
		*out_ns = llround(total_ns);
	return error;
}

enum error quantity_seconds(struct span text, int64_t *out_ns)
{
	double value;
	enum error error = quantity_number(span_trim(text), &value);
	if (error)
		return error;
	if (fabs(value) > SECONDS_MAX)
		return ERROR_RANGE;
	*out_ns = llround(value * 1e9);
	return OK;
}

/* Exactly `count` digits at *at, which moves on; -1 where there are fewer. */
static int64_t take_digits(struct span *at, size_t count)
{
	int64_t value = 0;
	if (at->len < count)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (at->at[i] < '0' || at->at[i] > '9')
			return -1;
		value = value * 10 + (at->at[i] - '0');
	}
	*at = (struct span){ at->at + count, at->len - count };
	return value;
}

static bool take_byte(struct span *at, const char *choices)
{
	if (at->len == 0 || at->at[0] == '\0' || !strchr(choices, at->at[0]))
		return false;
	*at = (struct span){ at->at + 1, at->len - 1 };
	return true;
}

/* Days since 1970-01-01 of a Gregorian date (Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	int64_t era = year / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static int64_t take_fraction_ns(struct span *at)
{
	int64_t value = 0;
	int digits = 0;
	while (at->len && at->at[0] >= '0' && at->at[0] <= '9') {
		if (digits < 9) {
			value = value * 10 + (at->at[0] - '0');
			digits++;
		}
		*at = (struct span){ at->at + 1, at->len - 1 };
	}
	for (; digits < 9; digits++)
		value *= 10;
	return value;
}

enum error quantity_timestamp(struct span text, int64_t *out_ns)
{
	struct span at = span_trim(text);
	const int64_t year = take_digits(&at, 4);
	if (!take_byte(&at, "-"))
		return ERROR_SYNTAX;
	const int64_t month = take_digits(&at, 2);
	if (!take_byte(&at, "-"))
		return ERROR_SYNTAX;
	const int64_t day = take_digits(&at, 2);
	if (!take_byte(&at, " T"))
		return ERROR_SYNTAX;
	const int64_t hour = take_digits(&at, 2);
	if (!take_byte(&at, ":"))
		return ERROR_SYNTAX;
	const int64_t minute = take_digits(&at, 2);
	if (!take_byte(&at, ":"))
		return ERROR_SYNTAX;
	const int64_t second = take_digits(&at, 2);
	const int64_t fraction_ns = take_byte(&at, ".") ? take_fraction_ns(&at) : 0;
	take_byte(&at, "Z");
	if (at.len || year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
	    hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return ERROR_SYNTAX;
	*out_ns = (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * NS_PER_S + fraction_ns;
	return OK;
}

struct span quantity_split(struct span *rest, char byte)
{
	const size_t at = span_find(*rest, byte);
	const struct span first = { rest->at, at };
	*rest = at < rest->len ? (struct span){ rest->at + at + 1, rest->len - at - 1 } : (struct span){ rest->at + at, 0 };
	return first;
}

void quantity_write_duration(struct bytes *out, int64_t duration_ns)
{
	const double ns = (double)duration_ns;
	if (ns < 1e6)
		bytes_printf(out, "%.0f us", ns / 1e3);
	else if (ns < 1e9)
		bytes_printf(out, ns < 1e8 ? "%.1f ms" : "%.0f ms", ns / 1e6);
	else if (ns < 120e9)
		bytes_printf(out, "%.2f s", ns / 1e9);
	else
		bytes_printf(out, "%.1f min", ns / 60e9);
}
