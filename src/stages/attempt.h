/* How attempts end for the client: deadlines, and the answer when the last one has failed. Used by admit, forward and relay. */
#ifndef PENSTOCK_STAGES_ATTEMPT_H
#define PENSTOCK_STAGES_ATTEMPT_H

#include "stages/pipeline.h"

/* When the first token must be there, of a request or attempt that begins now. One that comes whole from an engine that tells nothing before has all its time. */
int64_t attempt_deadline_ns(const struct request *request, int64_t now_ns);
/* Whether its first token will come with its last. */
bool attempt_is_whole(const struct request *request);
/* The replica says that the request is at fault: its words, its status. */
enum verdict attempt_answer_refusal(struct request *request);
/* The answer had begun, and its replica says that it failed, or breaks off. */
enum verdict attempt_answer_cut(struct request *request);
/* No attempt is left: what the last one failed of. */
enum verdict attempt_answer_failure(struct request *request);

#endif
