#include "policy/health.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

#define FAILURES_MIN 5
#define OPEN_NS (5 * NS_PER_S)
#define OPEN_MAX_NS (20 * NS_PER_S)
/* 529 and 503 are about load, not about a quota: a short pause, whatever they ask for (field notes, reliability F10). */
/* A probe that is out comes back in about this. */
#define PROBE_NS NS_PER_S
#define BUSY_MAX_NS (10 * NS_PER_S)
#define RATE_MIN_NS (NS_PER_S / 2)
#define RATE_MAX_NS (8 * NS_PER_S)

const char *const *failure_texts(void)
{
	static const char *const texts[FAILURES] = {
		[FAILURE_NONE] = "none",     [FAILURE_CONNECT] = "connect", [FAILURE_RESET] = "reset",
		[FAILURE_SILENT] = "silent", [FAILURE_SERVER] = "server",   [FAILURE_BUSY] = "busy",
		[FAILURE_RATE] = "rate",     [FAILURE_BROKEN] = "broken",   [FAILURE_CUT] = "cut",
		[FAILURE_LOCAL] = "local",
	};
	return texts;
}

/* Clears the seconds that have passed unseen. */
static void turn(struct health *health, int64_t now_ns)
{
	int64_t slot = now_ns / NS_PER_S;
	if (slot - health->slot >= HEALTH_SLOTS) {
		memset(health->good, 0, sizeof(health->good));
		memset(health->bad, 0, sizeof(health->bad));
	}
	for (int64_t i = max_ll(health->slot + 1, slot - HEALTH_SLOTS + 1); i <= slot; i++)
		health->good[i % HEALTH_SLOTS] = health->bad[i % HEALTH_SLOTS] = 0;
	health->slot = max_ll(health->slot, slot);
}

static uint32_t sum(const uint16_t counts[HEALTH_SLOTS])
{
	uint32_t total = 0;
	for (int i = 0; i < HEALTH_SLOTS; i++)
		total += counts[i];
	return total;
}

static void count(uint16_t *slot)
{
	if (*slot < UINT16_MAX)
		(*slot)++;
}

static void open_circuit(struct health *health, int64_t now_ns)
{
	int64_t open_ns = OPEN_NS;
	for (uint32_t i = 0; i < health->opened && open_ns < OPEN_MAX_NS; i++)
		open_ns *= 2;
	health->state = HEALTH_OPEN;
	health->is_probe_out = false;
	health->opened++;
	health->open_until_ns = now_ns + min_ll(open_ns, OPEN_MAX_NS);
}

static void pause_until(struct health *health, int64_t until_ns)
{
	health->pause_until_ns = max_ll(health->pause_until_ns, until_ns);
}

/* Equal jitter: half, and up to as much again; full jitter can be next to nothing. */
static int64_t back_off_ns(struct health *health, double jitter)
{
	int64_t wait_ns = RATE_MIN_NS;
	for (uint32_t i = 0; i < health->refusals && wait_ns < RATE_MAX_NS; i++)
		wait_ns *= 2;
	health->refusals++;
	return wait_ns / 2 + (int64_t)((double)(wait_ns / 2) * jitter) + RATE_MIN_NS / 2;
}

void health_failed(struct health *health, int64_t now_ns, enum failure failure, int64_t retry_after_ns, double jitter)
{
	turn(health, now_ns);
	if (failure == FAILURE_RATE) {
		pause_until(health, now_ns + (retry_after_ns > 0 ? retry_after_ns : back_off_ns(health, jitter)));
		health->is_probe_out = false;
		return;
	}
	if (failure == FAILURE_BUSY && retry_after_ns > 0)
		pause_until(health, now_ns + min_ll(retry_after_ns, BUSY_MAX_NS));
	count(&health->bad[now_ns / NS_PER_S % HEALTH_SLOTS]);
	if (health->state == HEALTH_PROBING) {
		open_circuit(health, now_ns);
	} else if (health->state == HEALTH_CLOSED) {
		uint32_t bad = sum(health->bad);
		if (bad >= FAILURES_MIN && bad >= sum(health->good))
			open_circuit(health, now_ns);
	}
}

void health_succeeded(struct health *health, int64_t now_ns)
{
	turn(health, now_ns);
	count(&health->good[now_ns / NS_PER_S % HEALTH_SLOTS]);
	health->refusals = 0;
	if (health->state != HEALTH_PROBING)
		return;
	health->state = HEALTH_CLOSED;
	health->is_probe_out = false;
	health->opened = 0;
	memset(health->bad, 0, sizeof(health->bad));
}

void health_untold(struct health *health)
{
	health->is_probe_out = false;
}

bool health_admits(const struct health *health, int64_t now_ns)
{
	return health_ready_ns(health, now_ns) == now_ns;
}

void health_dispatched(struct health *health, int64_t now_ns)
{
	if (health->state == HEALTH_OPEN && now_ns >= health->open_until_ns)
		health->state = HEALTH_PROBING;
	health->is_probe_out = health->state == HEALTH_PROBING;
}

int64_t health_ready_ns(const struct health *health, int64_t now_ns)
{
	int64_t ready_ns = max_ll(now_ns, health->pause_until_ns);
	if (health->state == HEALTH_OPEN)
		return max_ll(ready_ns, health->open_until_ns);
	return health->is_probe_out ? max_ll(ready_ns, now_ns + PROBE_NS) : ready_ns;
}

uint32_t health_recent_failures(struct health *health, int64_t now_ns)
{
	turn(health, now_ns);
	return sum(health->bad);
}
