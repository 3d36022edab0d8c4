#include "policy/ladder.h"

#include "base/clock.h"

#define PRESSURE_UP 1.0
#define PRESSURE_DOWN 0.6
#define OVER_NS (3 * NS_PER_S)
#define UNDER_NS (30 * NS_PER_S)
#define KEEP_UP_NS (15 * NS_PER_S)
#define KEEP_DOWN_NS (30 * NS_PER_S)
#define MOVES_WITHIN_NS (600 * NS_PER_S)
#define LATCH_NS (600 * NS_PER_S)

/* Whether one more move would be one too many within the ten minutes. */
static bool moves_too_often(const struct ladder *ladder, int64_t now_ns)
{
	if (ladder->move_count < LADDER_MOVES_MAX)
		return false;
	return now_ns - ladder->moves_ns[ladder->move_count % LADDER_MOVES_MAX] < MOVES_WITHIN_NS;
}

static void move(struct ladder *ladder, int64_t now_ns, int by)
{
	ladder->rung = (uint32_t)((int)ladder->rung + by);
	ladder->moves_ns[ladder->move_count++ % LADDER_MOVES_MAX] = now_ns;
	ladder->moved_ns = now_ns;
	/* What was measured before says nothing of this rung. */
	ladder->is_over = false;
	ladder->is_under = false;
}

static void note(bool *is, int64_t *since_ns, bool holds, int64_t now_ns)
{
	if (holds && !*is)
		*since_ns = now_ns;
	*is = holds;
}

bool ladder_is_latched(const struct ladder *ladder, int64_t now_ns)
{
	return now_ns < ladder->latched_until_ns;
}

int ladder_step(struct ladder *ladder, uint32_t count, int64_t now_ns, double pressure)
{
	note(&ladder->is_over, &ladder->over_since_ns, pressure > PRESSURE_UP, now_ns);
	note(&ladder->is_under, &ladder->under_since_ns, pressure < PRESSURE_DOWN, now_ns);
	int64_t kept_ns = now_ns - ladder->moved_ns;
	bool is_first = ladder->move_count == 0;
	bool may_rise = ladder->rung < count && (ladder->rung == 0 || kept_ns >= KEEP_UP_NS);
	if (may_rise && ladder->is_over && now_ns - ladder->over_since_ns >= OVER_NS) {
		if (moves_too_often(ladder, now_ns))
			ladder->latched_until_ns = now_ns + LATCH_NS;
		move(ladder, now_ns, 1);
		return 1;
	}
	bool may_sink = ladder->rung > 0 && (is_first || kept_ns >= KEEP_DOWN_NS) && !ladder_is_latched(ladder, now_ns);
	if (may_sink && ladder->is_under && now_ns - ladder->under_since_ns >= UNDER_NS) {
		if (moves_too_often(ladder, now_ns)) {
			ladder->latched_until_ns = now_ns + LATCH_NS;
			return 0;
		}
		move(ladder, now_ns, -1);
		return -1;
	}
	return 0;
}
