/* From a trace's requests to a schedule: a window of it, faster, thinned or multiplied, without long silences. Pure. */
#ifndef PENSTOCK_REPLAY_SHAPE_H
#define PENSTOCK_REPLAY_SHAPE_H

#include "base/error.h"
#include "replay/workload.h"

struct shape_settings {
	double speed;    /* over 0; 2 = in half the time */
	double scale;    /* over 0; of the number of requests */
	int64_t from_ns; /* of the trace's time, from its first request */
	int64_t to_ns;   /* NS_NEVER = to the end */
	int64_t
		idle_gap_ns; /* longer silences of the trace become that long, before `speed` divides them; 0 = left as they are */
	uint64_t limit;         /* requests; 0 = all */
	uint32_t output_tokens; /* for every request; 0 = the trace's */
	double size;            /* lengths of prompts and answers are multiplied by it; 0 = they are not */
	uint32_t prompt_max;    /* longer prompts are cut to it; 0 = none is */
	double cancel_share;    /* 0..1: clients that leave after a random part of their answer */
	uint64_t seed;
};

/* Afterwards rows are in the order of their sending, at_ns counts from the start. Every row that goes is counted as a drop. ERROR_MEMORY. */
enum error shape_apply(struct workload *workload, const struct shape_settings *settings);

#endif
