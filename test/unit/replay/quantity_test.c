/* Numbers and times: what is read, and what is refused. */
#include "unit.h"

#include "base/clock.h"
#include "base/macros.h"
#include "replay/quantity.h"

START_TEST(reads_durations)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = { { "90s", 90 * NS_PER_S },
		         { "1.5m", 90 * NS_PER_S },
		         { "200ms", 200 * NS_PER_MS },
		         { "50us", 50000 },
		         { "0", 0 },
		         { "0s", 0 },
		         { "2h", 7200 * NS_PER_S },
		         { "1h30m", 5400 * NS_PER_S },
		         { "1d", 86400 * NS_PER_S } };
	static const char *const bad[] = { "", "5", "s", "-5s", "5 s", "5x", "1e99h", "nan", "5s5", "1000000d" };
	int64_t ns;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		ck_assert_msg(quantity_duration(span_of(good[i].text), &ns) == OK, "%s", good[i].text);
		ck_assert_int_eq(ns, good[i].ns);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		ck_assert_msg(quantity_duration(span_of(bad[i]), &ns) != OK, "%s", bad[i]);
}
END_TEST

START_TEST(reads_timestamps)
{
	int64_t ns;
	ck_error_is(quantity_timestamp(SPAN("1970-01-02 00:00:00.5"), &ns), OK);
	ck_assert_int_eq(ns, 86400 * NS_PER_S + NS_PER_S / 2);
	ck_error_is(quantity_timestamp(SPAN("2023-11-16 18:17:03.9799600"), &ns), OK);
	ck_assert_int_eq(ns, INT64_C(1700158623) * NS_PER_S + 979960000);
	ck_error_is(quantity_timestamp(SPAN("2026-11-25T13:50:43.957Z"), &ns), OK);
	ck_assert_int_eq(ns % NS_PER_S, 957 * NS_PER_MS);
	ck_assert(quantity_timestamp(SPAN("2023-13-16 18:17:03"), &ns) != OK);
	ck_assert(quantity_timestamp(SPAN("2023-11-16"), &ns) != OK);
	ck_assert(quantity_timestamp(SPAN(""), &ns) != OK);
}
END_TEST

START_TEST(refuses_what_only_looks_like_numbers)
{
	static const char *const bad[] = { "", "nan", "inf", "0x10", "1,5", "--1", "1e999", " 1" };
	double value;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		ck_assert_msg(quantity_number(span_of(bad[i]), &value) != OK, "%s", bad[i]);
}
END_TEST

UNIT_MAIN("replay/quantity", reads_durations, reads_timestamps, refuses_what_only_looks_like_numbers)
