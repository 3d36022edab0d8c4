/* More workers, or fewer: those beyond what is wanted take nothing more, finish what they have, and end. */
#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "config/config_pool.h"
#include "fleet/fleet_parts.h"

#define LOOK_NS (200 * NS_PER_MS)

static void on_retire(struct timer *timer)
{
	struct replica *replica = container_of(timer, struct replica, retire);
	struct fleet *fleet = replica->fleet;
	if (!replica->is_parked || !replica->process)
		return;
	if (fleet->events->in_flight(fleet->owner, replica->index) == 0)
		process_close_input(replica->process);
	else
		timer_start_after(timer, LOOK_NS);
}

void replica_init_scale(struct replica *replica)
{
	timer_init(&replica->retire, replica->fleet->loop, on_retire);
}

void replica_park(struct replica *replica)
{
	if (replica->is_parked)
		return;
	/* The order counts: what it reports from now is kept here. */
	struct load_report report = replica->report;
	report.state = ENGINE_STOPPED;
	report.percent = 0;
	replica_publish(replica, &report);
	replica->is_parked = true;
	timer_stop(&replica->deadline);
	if (!replica->process)
		timer_stop(&replica->retry); /* of the next start */
	else
		timer_start_after(&replica->retire, LOOK_NS);
}

static void unpark(struct replica *replica)
{
	if (!replica->is_parked)
		return;
	replica->is_parked = false;
	timer_stop(&replica->retire);
	/* One that still runs, on its way out: it ends, and is started again like one that died. */
	if (replica->process) {
		process_close_input(replica->process);
		replica_publish_state(replica, ENGINE_STARTING);
	} else if (replica_start_process(replica) != OK) {
		timer_start_after(&replica->retry, NS_PER_S);
	}
}

void fleet_scale(struct fleet *fleet, uint32_t pool, uint32_t wanted)
{
	uint32_t first = fleet_first(fleet, pool);
	if (fleet->stopping || config_pool_is_upstream(&fleet->config->pools[pool]))
		return;
	for (uint32_t i = first; i < fleet->count && fleet->replicas[i].pool == pool; i++) {
		if (i - first < wanted)
			unpark(&fleet->replicas[i]);
		else
			replica_park(&fleet->replicas[i]);
	}
}
