/* Rates that a tenant or a route may use: so many a minute, with a minute's worth at once. Pure: time is an argument.
 *
 * The generic cell rate algorithm (ITU-T I.371): one time per quota, that at which all used would have flowed in at the allowed rate. It may lie a minute
 * ahead. How long until an amount fits is then exact, and is what Retry-After says. */
#ifndef PENSTOCK_POLICY_QUOTA_H
#define PENSTOCK_POLICY_QUOTA_H

#include <stdint.h>

/* Zeroed = nothing used. */
struct quota {
	int64_t flowed_ns;
};

/* Until `amount` fits, ns; 0 = it does now. per_minute: 0 = no bound. An amount over the whole minute's fits when nothing is used. */
int64_t quota_wait_ns(const struct quota *quota, int64_t now_ns, uint64_t amount, uint64_t per_minute);
/* Uses the amount, whether it fits or not. */
void quota_use(struct quota *quota, int64_t now_ns, uint64_t amount, uint64_t per_minute);
/* What was used turns out to be more (or, negative, less). */
void quota_correct(struct quota *quota, int64_t more, uint64_t per_minute);

#endif
