/* Whether a replica may be sent requests: a circuit breaker with single probes, and the pause that a refusal asked for. Pure: time is an argument.
 *
 * CLOSED: all may go. Five failures within ten seconds that are at least half of what came back open it. OPEN: none may go for five seconds, twice
 * as long after each failed probe, at most twenty. Then PROBING: one request at a time; its success closes, its failure opens again. */
#ifndef PENSTOCK_POLICY_HEALTH_H
#define PENSTOCK_POLICY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* What went wrong with an attempt. */
enum failure {
	FAILURE_NONE,
	FAILURE_CONNECT, /* refused, unreachable, or not up in time: nothing was sent */
	FAILURE_RESET,   /* the connection ended before the answer */
	FAILURE_SILENT,  /* no first token in time */
	FAILURE_SERVER,  /* a 5xx */
	FAILURE_BUSY,    /* 503, 529: it says that it has too much to do */
	FAILURE_RATE,    /* 429: a quota, not its health */
	FAILURE_BROKEN,  /* what came is no answer: framing, type, JSON */
	FAILURE_CUT,     /* broke off after content */
	FAILURE_LOCAL,   /* no descriptor, no memory here: not its doing */
	FAILURES
};

/* "none", "connect", ...: label values. Static. */
const char *const *failure_texts(void);

enum health_state { HEALTH_CLOSED, HEALTH_OPEN, HEALTH_PROBING };

#define HEALTH_SLOTS 10 /* of a second each */

/* Zeroed = healthy. */
struct health {
	enum health_state state;
	bool is_probe_out;
	uint32_t opened;       /* times in a row */
	int64_t open_until_ns; /* OPEN */
	int64_t pause_until_ns;
	uint32_t refusals; /* without a Retry-After, in a row */
	int64_t slot;      /* the second that is being counted */
	uint16_t good[HEALTH_SLOTS];
	uint16_t bad[HEALTH_SLOTS];
};

/* An attempt ended so. retry_after_ns: what the refusal asked for, 0 = nothing. jitter: [0, 1), for pauses that nobody named. */
void health_failed(struct health *health, int64_t now_ns, enum failure failure, int64_t retry_after_ns, double jitter);
/* An answer has begun. */
void health_succeeded(struct health *health, int64_t now_ns);
/* An attempt ended without telling anything: the client left. */
void health_untold(struct health *health);
/* Whether a request may go there now. */
bool health_admits(const struct health *health, int64_t now_ns);
/* One went there; the first after OPEN is the probe. */
void health_dispatched(struct health *health, int64_t now_ns);
/* When it may next admit one: now_ns or later. A probe that is out is expected back in a second. */
int64_t health_ready_ns(const struct health *health, int64_t now_ns);
/* Failures in the last ten seconds. */
uint32_t health_recent_failures(struct health *health, int64_t now_ns);

#endif
