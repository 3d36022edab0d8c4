/* The text format as /metrics writes it, and what may stand there besides. */
#include "watch/prometheus.h"

#include "unit.h"

#include <math.h>

static const char page_text[] =
	"# HELP a_total Things.\n# TYPE a_total counter\n"
	"a_total{route=\"one\",outcome=\"ok\"} 3\n"
	"a_total{route=\"two \\\"x\\\" }\\\\\\nend\",outcome=\"ok\"} 4.5\n"
	"b 7\nb_never +Inf\n"
	"c{} 1 1700000000\n"
	"not a sample\nd{x=\"unclosed} 1\n=\n{x=\"1\"} 2\n\n"
	"e{a=\"1\",b=\"2\",c=\"3\",d=\"4\",e=\"5\"} 9\n"
	"h_bucket{le=\"0.1\"} 10\nh_bucket{le=\"1\"} 90\nh_bucket{le=\"+Inf\"} 100\nh_sum 50\nh_count 100";

START_TEST(samples)
{
	struct prometheus_page page;
	ck_error_is(prometheus_read(span_of(page_text), &page), OK);
	ck_assert_double_eq(prometheus_sum(&page, "a_total", NULL, NULL), 7.5);
	ck_assert_double_eq(prometheus_sum(&page, "a_total", "route", "one"), 3);
	ck_assert_double_eq(prometheus_sum(&page, "a_total", "route", "two \"x\" }\\\nend"), 4.5);
	ck_assert_double_eq(prometheus_sum(&page, "a_total", "route", "three"), 0);
	ck_assert_double_eq(prometheus_sum(&page, "b", NULL, NULL), 7);
	ck_assert_double_infinite(prometheus_sum(&page, "b_never", NULL, NULL));
	ck_assert_double_eq(prometheus_sum(&page, "c", NULL, NULL), 1);
	ck_assert_ptr_null(prometheus_next(&page, "d", NULL));
	const struct prometheus_sample *many = prometheus_next(&page, "e", NULL);
	ck_assert_uint_eq(many->label_count, PROMETHEUS_LABELS_MAX);
	ck_assert_str_eq(prometheus_label(many, "d"), "4");
	ck_assert_str_eq(prometheus_label(many, "e"), "");
	ck_assert_ptr_null(prometheus_next(&page, "e", many));
	prometheus_fini(&page);
	prometheus_fini(&page);
}
END_TEST

START_TEST(quantiles_between_two_pages)
{
	struct prometheus_page now;
	struct prometheus_page before;
	struct prometheus_page none = { 0 };
	double count;
	ck_error_is(prometheus_read(span_of(page_text), &now), OK);
	ck_error_is(
		prometheus_read(SPAN("h_bucket{le=\"0.1\"} 10\nh_bucket{le=\"1\"} 10\nh_bucket{le=\"+Inf\"} 10\n"), &before),
		OK);
	/* 10 up to 0.1, 80 up to 1, 10 beyond. */
	ck_assert_double_eq_tol(prometheus_quantile(&now, &none, "h", NULL, NULL, 0.5, &count), 0.1 + 0.9 * 40 / 80, 1e-9);
	ck_assert_double_eq(count, 100);
	ck_assert_double_eq(prometheus_quantile(&now, &none, "h", NULL, NULL, 0.95, &count), 1);
	/* 80 up to 1, 10 beyond. */
	ck_assert_double_eq_tol(prometheus_quantile(&now, &before, "h", NULL, NULL, 0.5, &count), 0.1 + 0.9 * 45 / 80,
	                        1e-9);
	ck_assert_double_eq(count, 90);
	ck_assert_double_eq(prometheus_quantile(&now, &now, "h", NULL, NULL, 0.5, &count), 0);
	ck_assert_double_eq(count, 0);
	prometheus_fini(&now);
	prometheus_fini(&before);
}
END_TEST

START_TEST(nothing)
{
	struct prometheus_page page;
	ck_error_is(prometheus_read((struct span){ 0 }, &page), OK);
	ck_assert_uint_eq(page.count, 0);
	ck_assert_double_eq(prometheus_sum(&page, "a", NULL, NULL), 0);
	prometheus_fini(&page);
}
END_TEST

UNIT_MAIN("watch/prometheus", samples, quantiles_between_two_pages, nothing)
