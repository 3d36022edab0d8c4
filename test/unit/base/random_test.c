/* Known numbers, bounds without bias, and the kernel's generator. */
#include "base/random.h"

#include <string.h>

#include "base/macros.h"
#include "unit.h"

START_TEST(the_numbers_are_those_of_the_reference_code)
{
	/* State {1, 2, 3, 4}: the first outputs of the published xoshiro256** code. */
	static const uint64_t wanted[] = { 11520, 0, 1509978240, 1215971899390074240 };
	struct random random = { { 1, 2, 3, 4 } };
	for (size_t i = 0; i < COUNT_OF(wanted); i++)
		ck_assert_uint_eq(random_u64(&random), wanted[i]);
	/* Seed 0: the first output of splitmix64. */
	random_seed(&random, 0);
	ck_assert_uint_eq(random.state[0], UINT64_C(0xe220a8397b1dcdaf));
}
END_TEST

START_TEST(a_seed_decides_everything)
{
	struct random first, second, other;
	random_seed(&first, 42);
	random_seed(&second, 42);
	random_seed(&other, 43);
	int same = 0;
	for (int i = 0; i < 1000; i++) {
		const uint64_t number = random_u64(&first);
		ck_assert_uint_eq(number, random_u64(&second));
		same += number == random_u64(&other);
	}
	ck_assert_int_eq(same, 0);
}
END_TEST

START_TEST(bounded_numbers_are_uniform)
{
	struct random random;
	random_seed(&random, 1);
	ck_assert_uint_eq(random_below(&random, 0), 0);
	ck_assert_uint_eq(random_below(&random, 1), 0);
	unsigned counts[7] = { 0 };
	for (int i = 0; i < 70000; i++)
		counts[random_below(&random, 7)]++;
	/* 10,000 expected, standard deviation 93: five of them. */
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		ck_assert(counts[i] > 9535 && counts[i] < 10465);
	/* A bound at which a modulo would favour the lower half twofold. */
	const uint64_t bound = (UINT64_C(1) << 63) + (UINT64_C(1) << 62);
	unsigned low = 0;
	for (int i = 0; i < 30000; i++) {
		const uint64_t number = random_below(&random, bound);
		ck_assert_uint_lt(number, bound);
		low += number < bound / 3;
	}
	ck_assert(low > 9592 && low < 10408);
}
END_TEST

START_TEST(unit_numbers_stay_below_one)
{
	struct random random;
	random_seed(&random, 2);
	double sum = 0;
	for (int i = 0; i < 10000; i++) {
		const double number = random_unit(&random);
		ck_assert(number >= 0 && number < 1);
		sum += number;
	}
	ck_assert(sum > 4850 && sum < 5150);
}
END_TEST

START_TEST(secure_bytes_differ_and_stay_in_their_place)
{
	unsigned char first[40] = { 0 }, second[40] = { 0 };
	random_secure(first, 32);
	random_secure(second, 32);
	ck_assert_int_ne(memcmp(first, second, 32), 0);
	for (size_t i = 32; i < 40; i++)
		ck_assert_uint_eq(first[i], 0);
	random_secure(first, 0);
	/* More than the kernel gives without a chance of a short read. */
	static unsigned char many[100000];
	random_secure(many, sizeof(many));
	size_t zeros = 0;
	for (size_t i = 0; i < sizeof(many); i++)
		zeros += many[i] == 0;
	ck_assert(zeros > 200 && zeros < 600);
}
END_TEST

UNIT_MAIN("base/random", the_numbers_are_those_of_the_reference_code, a_seed_decides_everything,
          bounded_numbers_are_uniform, unit_numbers_stay_below_one, secure_bytes_differ_and_stay_in_their_place)
