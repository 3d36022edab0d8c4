/* The only readers of the system clocks; the edges call them and hand the time inwards as an argument. */
#include "base/clock.h"

#include <time.h>

#include "base/error.h"

static int64_t read_ns(clockid_t id)
{
	struct timespec now;
	MUST(clock_gettime(id, &now) == 0);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_now_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}
