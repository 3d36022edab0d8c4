/* The degrade ladder: which rung a promise stands on. Pure: once a second somebody tells the pressure, and the ladder says whether to move.
 *
 * pressure = predicted / promised (of the 95th percentile of the time to first token; of the mean cost of a unit). Up when it has been over 1 for 3 s, down
 * when it has been under 0.6 for 30 s; a rung is kept for at least 15 s on the way up and 30 s on the way down. A seventh move within ten minutes latches the
 * ladder for ten: it still goes up, and does not come down. A load that swings faster than the ladder then meets the safe side of it. */
#ifndef PENSTOCK_POLICY_LADDER_H
#define PENSTOCK_POLICY_LADDER_H

#include <stdbool.h>
#include <stdint.h>

#define LADDER_RUNGS_MAX 8
#define LADDER_MOVES_MAX 6

enum rung_kind {
	RUNG_OUTPUT,   /* answers are at most this long */
	RUNG_TIER,     /* the route's tier of this number answers */
	RUNG_TRY_AGAIN /* first attempts of people get in, with room to spare; the others are told when to come again */
};

struct ladder_rung {
	enum rung_kind kind;
	uint32_t value; /* OUTPUT: tokens; TIER: place in the route's list, from 0 */
};

/* What a ladder has done so far. Zeroed = on the ground. */
struct ladder {
	uint32_t rung; /* 0 = none; n: the first n rungs are in effect */
	bool is_over;
	bool is_under;
	int64_t over_since_ns;
	int64_t under_since_ns;
	int64_t moved_ns;                   /* the last move */
	int64_t moves_ns[LADDER_MOVES_MAX]; /* a ring of the last ones */
	uint64_t move_count;                /* all */
	int64_t latched_until_ns;
};

/* now_ns: not before an earlier call's. count: rungs that there are, at most LADDER_RUNGS_MAX. Returns -1, 0 or 1: by how much `rung` has changed. */
int ladder_step(struct ladder *ladder, uint32_t count, int64_t now_ns, double pressure);
bool ladder_is_latched(const struct ladder *ladder, int64_t now_ns);

#endif
