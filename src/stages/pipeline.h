/* Runs stages.def: enters a stage, obeys its verdict, charges every instant to exactly one stage. */
#ifndef PENSTOCK_STAGES_PIPELINE_H
#define PENSTOCK_STAGES_PIPELINE_H

#include "stages/request.h"

enum verdict {
	NEXT,    /* go on to the following stage */
	WAIT,    /* entered again when it is woken; it has armed request->timer */
	ANSWERED /* the response is settled: go to finish */
};

#define STAGE(name, waits_for, may_answer) enum verdict stage_##name(struct request *request);
#include "stages/stages.def"
#undef STAGE

/* Something happened that the request's stage may wait for. Runs it at once, or after the stage that is on the stack. The request may be gone
 * when this returns. */
void pipeline_wake(struct request *request, enum wake why);
/* Arms the waiting stage's deadline: the earlier of due_ns and the request's total time. */
void pipeline_wait_until(struct request *request, int64_t due_ns);
/* When the request's total time is over (monotonic ns). */
int64_t pipeline_total_deadline_ns(const struct request *request);

#ifdef PENSTOCK_TEST_HOOKS
/* Reads PENSTOCK_TEST_DELAY ("shape=50,relay=20": ms) once, before the loops run: each request waits so long when it enters that stage. */
void pipeline_read_test_delays(void);
#endif

#endif
