/* Seeded random numbers (xoshiro256**, Blackman and Vigna 2018): same seed, same numbers, on every machine. Not for
 * secrets. */
#ifndef PENSTOCK_BASE_RANDOM_H
#define PENSTOCK_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state[4];
};

/* Any seed is fine, 0 too (expanded by splitmix64). */
void random_seed(struct random *random, uint64_t seed);
uint64_t random_u64(struct random *random);
/* Uniform in [0, bound), without modulo bias; 0 when bound is 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* Uniform in [0, 1). */
double random_unit(struct random *random);
/* Fills from the kernel's generator: ids, keys, seeds. Aborts where the kernel has none. */
void random_secure(void *out, size_t len);

/* The kernel's bytes fetched ahead, for ids: one call for many. Zeroed = empty. Not thread-safe. */
struct random_reserve {
	uint8_t bytes[1024];
	size_t left;
};

/* len: at most 1,024. What was given out is forgotten here. */
void random_reserve_take(struct random_reserve *reserve, void *out, size_t len);

#endif
