/* One run: sends a schedule in open loop and remembers what became of each request. */
#ifndef PENSTOCK_REPLAY_RUN_H
#define PENSTOCK_REPLAY_RUN_H

#include "base/histogram.h"
#include "base/url.h"
#include "replay/body.h"
#include "replay/goal.h"
#include "replay/record.h"
#include "replay/workload.h"

#define RUN_RUNGS_MAX 32
#define RUN_RUNG_BYTES 48

struct run_settings {
	struct body_settings body; /* url, model, keys, ... */
	const char *authorities;   /* PEM file to believe; NULL = the system's */
	struct goal goal;
	bool has_retrieval;
	bool retrieval_is_post;
	bool retrieval_is_beside; /* else before the completion */
	struct url retrieval;
	bool has_admin;
	struct url admin;
	uint32_t retries;
	uint64_t in_flight_max; /* a guard that fails the run; 0 = by the limit of open files */
	int64_t timeout_ns;     /* of an attempt */
	bool sessions_are_closed;
	bool stops_when_hopeless;
	int64_t warm_up_ns;
	bool is_quiet; /* no progress */
};

enum run_stop { RUN_WHOLE, RUN_HOPELESS, RUN_GUARD, RUN_INTERRUPTED, RUN_BROKEN };

/* Once a second. */
struct run_sample {
	int64_t at_ns;
	uint32_t in_flight;
	double queue; /* of the gateway; -1 = not known; so the next */
	double rung;
};

struct run_result {
	struct replay_record *records; /* owned; in the schedule's order */
	size_t count;                  /* of the schedule */
	size_t sent;
	struct run_sample *samples; /* owned */
	size_t sample_count;
	struct histogram gaps; /* between content events, of counted requests */
	char rungs[RUN_RUNGS_MAX][RUN_RUNG_BYTES];
	uint32_t rung_count; /* rung 0 is "" */
	enum run_stop stop;
	char why[512]; /* for a stop: a sentence */
	double bytes_per_token;
	int64_t warm_up_ns;
	int64_t elapsed_ns;
};

/* Blocks until every request has ended or the run is stopped. workload: shaped; borrowed. *out is filled as far as it came, also at a stop.
 * ERROR_MEMORY, ERROR_LIMIT, ERROR_TLS, with a sentence in *fault. */
enum error run_schedule(const struct run_settings *settings, const struct workload *workload, struct run_result *out,
                        struct bytes *fault);
void run_result_fini(struct run_result *result);

#endif
