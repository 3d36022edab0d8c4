/* From a trace to a schedule: windows, speed, thinning and multiplying without changing the burst, idle gaps. */
#include "workloads.h"

#include <math.h>

static const char mooncake[] =
	"{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]}\n"
	"{\"timestamp\": 100000, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 3]}\n"
	"{\"timestamp\": 101000, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 4]}\n";

/* Requests in slices of a second: the mean, and the variance over the mean. */
static double dispersion(const struct workload *workload, size_t seconds, double *mean)
{
	double counts[1000] = { 0 };
	double sum = 0;
	double squares = 0;
	for (size_t i = 0; i < workload->count; i++)
		counts[workload->rows[i].at_ns / NS_PER_S]++;
	for (size_t i = 0; i < seconds; i++) {
		sum += counts[i];
		squares += counts[i] * counts[i];
	}
	*mean = sum / (double)seconds;
	return (squares / (double)seconds - *mean * *mean) / *mean;
}

START_TEST(takes_a_window)
{
	struct workload *workload = read_text(mooncake, NULL);
	struct shape_settings settings = shape_plain;
	settings.from_ns = 50 * NS_PER_S;
	settings.to_ns = 101 * NS_PER_S;
	ck_error_is(shape_apply(workload, &settings), OK);
	ck_assert_uint_eq(workload->count, 1);
	ck_assert_int_eq(workload->rows[0].at_ns, 50 * NS_PER_S);
	ck_assert_uint_eq(workload->dropped[DROP_BEFORE], 1);
	ck_assert_uint_eq(workload->dropped[DROP_AFTER], 1);
	check_counts(workload);
	workload_free(&workload);
}
END_TEST

START_TEST(caps_silences_before_speed)
{
	struct workload *workload = read_text(mooncake, NULL);
	struct shape_settings settings = shape_plain;
	settings.idle_gap_ns = 10 * NS_PER_S;
	settings.speed = 2;
	ck_error_is(shape_apply(workload, &settings), OK);
	ck_assert_int_eq(workload->rows[1].at_ns, 5 * NS_PER_S);
	ck_assert_int_eq(workload->rows[2].at_ns, 5500 * NS_PER_MS);
	workload_free(&workload);
}
END_TEST

START_TEST(thins_and_multiplies)
{
	double mean;
	struct workload *workload = draw("rate=50,duration=400s,arrivals=gamma,cv=4", 7);
	const double burst = dispersion(workload, 400, &mean);
	ck_assert_double_eq_tol(mean, 50, 5);
	ck_assert_double_gt(burst, 5);
	struct shape_settings settings = shape_plain;
	settings.scale = 3;
	ck_error_is(shape_apply(workload, &settings), OK);
	double larger_mean;
	const double larger = dispersion(workload, 400, &larger_mean);
	ck_assert_double_eq_tol(larger_mean, 3 * mean, 0.02 * mean);
	/* Copies stay where their originals are: the burst grows with them and isn't smoothed to a Poisson's 1. */
	ck_assert_double_gt(larger, 2.5 * burst);
	ck_assert_uint_gt(workload->copied, 0);
	check_counts(workload);
	for (size_t i = 1; i < workload->count; i++)
		ck_assert_int_le(workload->rows[i - 1].at_ns, workload->rows[i].at_ns);
	workload_free(&workload);
	workload = draw("rate=50,duration=400s,arrivals=gamma,cv=4", 7);
	settings.scale = 0.2;
	ck_error_is(shape_apply(workload, &settings), OK);
	double smaller_mean;
	ck_assert_double_gt(dispersion(workload, 400, &smaller_mean), 1.5);
	ck_assert_double_eq_tol(smaller_mean, 0.2 * mean, 0.02 * mean);
	check_counts(workload);
	workload_free(&workload);
}
END_TEST

START_TEST(copies_share_what_the_trace_shares)
{
	struct workload *workload = read_text(mooncake, NULL);
	struct shape_settings settings = shape_plain;
	settings.scale = 2;
	ck_error_is(shape_apply(workload, &settings), OK);
	ck_assert_uint_eq(workload->count, 6);
	size_t own = 0;
	for (size_t i = 0; i < workload->count; i++) {
		const struct workload_row *row = &workload->rows[i];
		ck_assert_uint_eq(row->pieces, 2);
		ck_assert(workload->piece_list[row->first_piece].id == 1);
		own += workload->piece_list[row->first_piece + 1].id > 4;
	}
	ck_assert_uint_eq(own, 3);
	workload_free(&workload);
}
END_TEST

START_TEST(thins_whole_sessions)
{
	struct workload *workload = draw("rate=5,duration=100s,turns=4,gap=5s", 7);
	struct shape_settings settings = shape_plain;
	settings.scale = 0.5;
	ck_error_is(shape_apply(workload, &settings), OK);
	ck_assert_uint_eq(workload->count % 4, 0);
	ck_assert_uint_gt(workload->count, 400);
	ck_assert_uint_lt(workload->count, 1600);
	workload_free(&workload);
}
END_TEST

START_TEST(draws_shapes)
{
	double flash = 0;
	struct workload *workload = draw("rate=10,duration=90s,arrivals=constant,shape=flash,factor=5,at=30s,for=10s", 1);
	for (size_t i = 0; i < workload->count; i++)
		flash += workload->rows[i].at_ns >= 30 * NS_PER_S && workload->rows[i].at_ns < 40 * NS_PER_S;
	ck_assert_double_eq_tol(flash, 500, 2);
	ck_assert_uint_ge(workload->count, 1299);
	ck_assert_uint_le(workload->count, 1301);
	workload_free(&workload);
	struct workload *again = draw("rate=10,duration=9s", 5);
	struct workload *same = draw("rate=10,duration=9s", 5);
	ck_assert_uint_eq(again->count, same->count);
	for (size_t i = 0; i < same->count; i++)
		ck_assert_int_eq(again->rows[i].at_ns, same->rows[i].at_ns);
	workload_free(&again);
	workload_free(&same);
}
END_TEST

START_TEST(refuses_bad_recipes)
{
	static const char *const bad[] = {
		"rate=0", "rate=x", "speed=3", "duration=5", "arrivals=uniform", "prompt=9-3", "rate=1000000,duration=1h"
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct workload *workload = NULL;
		struct bytes fault = { 0 };
		ck_error_is(workload_new(&workload), OK);
		ck_assert_msg(synthetic_make(span_of(bad[i]), 1, workload, &fault) != OK, "%s", bad[i]);
		ck_assert(fault.len > 0);
		workload_free(&workload);
		bytes_fini(&fault);
	}
}
END_TEST

UNIT_MAIN("replay/shape", takes_a_window, caps_silences_before_speed, thins_and_multiplies,
          copies_share_what_the_trace_shares, thins_whole_sessions, draws_shapes, refuses_bad_recipes)
