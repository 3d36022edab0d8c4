/* What `penstock why` says, for people and for machines. */
#ifndef PENSTOCK_WHY_REPORT_H
#define PENSTOCK_WHY_REPORT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "why/live.h"
#include "why/record.h"

/* Fewer requests, served and refused, say nothing. */
#define REPORT_COUNT_MIN 20

struct report_options {
	const char *route; /* only this one; NULL = all */
	bool as_json;
};

/* records: sorted. live: NULL = not known. *answered: whether any route had requests enough. ERROR_MEMORY. */
enum error report_write(struct records *records, const struct live *live, const struct report_options *options,
                        bool *answered, struct bytes *out);

#endif
