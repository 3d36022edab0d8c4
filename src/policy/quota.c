#include "policy/quota.h"

#include "base/clock.h"
#include "base/macros.h"

#define MINUTE_NS (60 * NS_PER_S)
/* Longer debts than an hour are not kept: amounts come from estimates. */
#define AMOUNT_MINUTES_MAX 60

/* How long `amount` takes to flow in. */
static int64_t duration_ns(uint64_t amount, uint64_t per_minute)
{
	double minutes = (double)amount / (double)per_minute;
	return (int64_t)((minutes < AMOUNT_MINUTES_MAX ? minutes : AMOUNT_MINUTES_MAX) * (double)MINUTE_NS);
}

int64_t quota_wait_ns(const struct quota *quota, int64_t now_ns, uint64_t amount, uint64_t per_minute)
{
	if (per_minute == 0)
		return 0;
	int64_t used_ns = max_ll(quota->flowed_ns - now_ns, 0);
	int64_t room_ns = MINUTE_NS - min_ll(duration_ns(amount, per_minute), MINUTE_NS);
	return max_ll(used_ns - room_ns, 0);
}

void quota_use(struct quota *quota, int64_t now_ns, uint64_t amount, uint64_t per_minute)
{
	if (per_minute)
		quota->flowed_ns = max_ll(quota->flowed_ns, now_ns) + duration_ns(amount, per_minute);
}

void quota_correct(struct quota *quota, int64_t more, uint64_t per_minute)
{
	if (per_minute == 0)
		return;
	int64_t by_ns = duration_ns((uint64_t)(more < 0 ? -more : more), per_minute);
	quota->flowed_ns += more < 0 ? -by_ns : by_ns;
}
