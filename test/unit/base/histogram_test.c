/* Times in buckets: percentiles within their width, no overflow at the end. */
#include "unit.h"

#include "base/histogram.h"

START_TEST(keeps_percentiles)
{
	static struct histogram histogram;
	ck_assert_uint_eq(histogram_ns(&histogram, 0.5), 0);
	for (uint64_t i = 1; i <= 100000; i++)
		histogram_add(&histogram, i * 1000);
	ck_assert_double_eq_tol((double)histogram_ns(&histogram, 0.5), 50e6, 50e6 * 0.004);
	ck_assert_double_eq_tol((double)histogram_ns(&histogram, 0.99), 99e6, 99e6 * 0.004);
	ck_assert_uint_eq(histogram_ns(&histogram, 1), 100000000);
	histogram_add(&histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram_ns(&histogram, 1), UINT64_MAX);
}
END_TEST

UNIT_MAIN("base/histogram", keeps_percentiles)
