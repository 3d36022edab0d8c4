/* When requests leave: the schedule and the retries, against the clock. No cap on what is in flight: a guard that fails the run instead. */
#include "base/clock.h"
#include "base/macros.h"
#include "replay/run_parts.h"

/* A timer wakes some microseconds late: where the next send is a while off it is armed this much early, and the rest is spun away. */
#define SPIN_NS (50 * NS_PER_US)
/* Sends closer than this aren't spun for: the wake-up's own lateness is small against the millisecond that counts, and a core that never
 * sleeps is the first to be put aside. */
#define SPIN_GAP_NS (1 * NS_PER_MS)
/* Where sends are closer than this, those of one interval leave together: a twentieth of the millisecond that counts. */
#define QUANTUM_NS (50 * NS_PER_US)
/* So late, at most so many sends of a turn are on connections that have to be made. */
#define LATE_NS (1 * NS_PER_MS)
#define FRESH_TURN 3
/* How soon to look again for a request that isn't built yet. */
#define STARVED_NS (200 * NS_PER_US)

static int64_t row_due_ns(const struct run *run)
{
	return run->next_row < run->workload->count && !run->is_stopping
	           ? run->start_ns + run->workload->rows[run->next_row].at_ns
	           : NS_NEVER;
}

static int64_t retry_due_ns(const struct run *run)
{
	const struct heap_node *node = heap_peek(&run->retries);
	return node ? node->key : NS_NEVER;
}

void dispatch_pump(struct run *run, unsigned most)
{
	if (run->is_pumping)
		return;
	run->is_pumping = true;
	int64_t now_ns = clock_now_ns();
	bool is_starved = false;
	unsigned fresh = 0;
	/* Bounded: behind its time it must still take answers, which free the connections that the next ones go on. */
	for (; most && !is_starved && row_due_ns(run) <= now_ns; most--) {
		/* Late, with no connection free: making one takes longer than an answer that would free one. */
		const bool needs_new = http_pool_idle(run->pool) == 0;
		if (needs_new && now_ns - row_due_ns(run) > LATE_NS && fresh++ == FRESH_TURN)
			break;
		is_starved = !exchange_begin(run, run->next_row);
		run->next_row += !is_starved;
		now_ns = clock_now_ns();
	}
	while (retry_due_ns(run) <= now_ns)
		exchange_resume(container_of(heap_pop(&run->retries), struct exchange, retry));
	run->is_pumping = false;
	run->is_starved = is_starved;
}

static void check_end(struct run *run)
{
	if (run->first == NULL && (run->is_stopping || run->next_row == run->workload->count))
		loop_stop(run->loop);
}

/* Once a turn and not once a send: setting the timer costs as much as a small write. */
void dispatch_end_turn(void *argument)
{
	struct run *run = argument;
	dispatch_pump(run, PUMP_TURN);
	check_end(run);
	const int64_t now_ns = clock_now_ns();
	const int64_t next_ns = min_ll(row_due_ns(run), retry_due_ns(run));
	if (run->is_starved)
		pacer_arm(run->pacer, now_ns + STARVED_NS);
	else if (next_ns == NS_NEVER || next_ns <= now_ns)
		pacer_arm(run->pacer, next_ns);
	else if (next_ns - now_ns < SPIN_GAP_NS)
		pacer_arm(run->pacer, max_ll(next_ns, now_ns + QUANTUM_NS));
	else
		pacer_arm(run->pacer, next_ns - SPIN_NS);
}

void dispatch_due(void *argument)
{
	struct run *run = argument;
	const int64_t due_ns = row_due_ns(run);
	if (due_ns != NS_NEVER && due_ns - clock_now_ns() <= SPIN_NS)
		while (clock_now_ns() < due_ns)
			;
	dispatch_pump(run, PUMP_TURN);
}
