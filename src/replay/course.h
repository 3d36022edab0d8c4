/* A run over time, in equal buckets: what the page's plots show. Computed from the records and samples alone. */
#ifndef PENSTOCK_REPLAY_COURSE_H
#define PENSTOCK_REPLAY_COURSE_H

#include "replay/run.h"

enum course_line {
	COURSE_OFFERED, /* by intended send; a second */
	COURSE_SERVED,  /* by end; so the next two */
	COURSE_REFUSED,
	COURSE_FAILED,
	COURSE_IN_FLIGHT, /* at the bucket's end */
	COURSE_TTFT_P50,  /* seconds, by intended send; NAN where none came; so the next */
	COURSE_TTFT_P95,
	COURSE_QUEUE, /* as the gateway said; NAN = not known; so the next */
	COURSE_RUNG,
	COURSE_LINES
};

struct course {
	double *lines[COURSE_LINES]; /* owned; `count` values each */
	size_t count;
	double bucket_s;
	bool has_queue; /* the gateway said so at least once; so the next */
	bool has_rung;
};

/* Of every request that was sent, the warm-up's too. ERROR_MEMORY. */
enum error course_make(const struct run_result *result, struct course *out);
void course_fini(struct course *course);

#endif
