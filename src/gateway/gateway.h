/* serve's inside: loops, listeners, control, fleet, admin; how they start, reload, drain and stop. */
#ifndef PENSTOCK_GATEWAY_GATEWAY_H
#define PENSTOCK_GATEWAY_GATEWAY_H

#include "base/error.h"
#include "config/config.h"

struct gateway_options {
	const char *config_path; /* read again on SIGHUP */
	const char *record_path; /* every step of control goes there; NULL = nowhere */
};

/* Runs until it is told to stop (SIGTERM, SIGINT) and has drained. config: a reference, taken over. Returns the exit status: 0 stopped
 * as asked, 1 could not start, 2 the config can't be used. */
int gateway_run(struct config *config, const struct gateway_options *options);

#endif
