/* Says when a run can't be saved: more and more in flight and ever longer waits, or mostly errors. After GuideLLM's over-saturation detector. Pure. */
#ifndef PENSTOCK_REPLAY_DETECTOR_H
#define PENSTOCK_REPLAY_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define DETECTOR_WINDOW 120 /* seconds that are looked at, at most */
#define DETECTOR_SECONDS_MIN 30

/* One second of a run. */
struct detector_second {
	double in_flight;
	double
		ttft_s; /* mean of the first tokens that came, from the intended send; where none came, the age of the oldest that waits */
	uint32_t ended;
	uint32_t failed; /* of them; refusals are none */
};

/* Zeroed is ready. */
struct detector {
	struct detector_second seconds[DETECTOR_WINDOW]; /* ring */
	uint64_t count;
};

void detector_add(struct detector *detector, const struct detector_second *second);
/* True: hopeless, with a sentence in *why. */
bool detector_is_hopeless(const struct detector *detector, struct bytes *why);

#endif
