/* xoshiro256** 1.0 and splitmix64, after the public-domain reference code of Blackman and Vigna
 * (https://prng.di.unimi.it). Pure integer arithmetic, so every machine gives the same numbers. */
#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"

static uint64_t splitmix(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t mixed = *state;
	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

void random_seed(struct random *random, uint64_t seed)
{
	/* splitmix64 never gives four zeros in a row: the one state xoshiro cannot leave. */
	for (int i = 0; i < 4; i++)
		random->state[i] = splitmix(&seed);
}

static uint64_t rotate_left(uint64_t value, int count)
{
	return (value << count) | (value >> (64 - count));
}

uint64_t random_u64(struct random *random)
{
	uint64_t *state = random->state;
	const uint64_t result = rotate_left(state[1] * 5, 7) * 9;
	const uint64_t shifted = state[1] << 17;
	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= shifted;
	state[3] = rotate_left(state[3], 45);
	return result;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
	if (bound == 0)
		return 0;
	/* Lemire 2019, "Fast random integer generation in an interval": the low half tells which draws are biased. */
	const uint64_t biased = (0 - bound) % bound;
	for (;;) {
		const unsigned __int128 product = (unsigned __int128)random_u64(random) * bound;
		if ((uint64_t)product >= biased)
			return (uint64_t)(product >> 64);
	}
}

double random_unit(struct random *random)
{
	return (double)(random_u64(random) >> 11) * 0x1.0p-53;
}

void random_secure(void *out, size_t len)
{
	char *at = out;
	while (len > 0) {
		const ssize_t got = getrandom(at, len, 0);
		MUST(got > 0 || errno == EINTR);
		if (got > 0) {
			at += got;
			len -= (size_t)got;
		}
	}
}

void random_reserve_take(struct random_reserve *reserve, void *out, size_t len)
{
	MUST(len <= sizeof(reserve->bytes));
	if (reserve->left < len) {
		random_secure(reserve->bytes, sizeof(reserve->bytes));
		reserve->left = sizeof(reserve->bytes);
	}
	reserve->left -= len;
	memcpy(out, reserve->bytes + reserve->left, len);
	explicit_bzero(reserve->bytes + reserve->left, len);
}
