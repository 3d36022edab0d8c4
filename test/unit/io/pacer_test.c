/* Deadlines to microseconds: never early, moved, taken away. */
#include "unit.h"

#include "base/clock.h"
#include "io/pacer.h"

struct paced {
	struct loop *loop;
	struct pacer *pacer;
	int64_t due_ns;
	int fired;
};

static void on_fire(void *owner)
{
	struct paced *paced = owner;
	ck_assert_int_ge(clock_now_ns(), paced->due_ns);
	if (++paced->fired == 3) {
		loop_stop(paced->loop);
		return;
	}
	/* Moved before it is due: only the last one counts. */
	pacer_arm(paced->pacer, clock_now_ns() + NS_PER_S * 100);
	pacer_arm(paced->pacer, NS_NEVER);
	paced->due_ns = paced->fired == 1 ? clock_now_ns() + 300 * NS_PER_US : 1;
	pacer_arm(paced->pacer, paced->due_ns);
}

START_TEST(fires_when_due)
{
	struct paced paced = { 0 };
	ck_error_is(loop_new(&paced.loop), OK);
	ck_error_is(pacer_new(paced.loop, on_fire, &paced, &paced.pacer), OK);
	paced.due_ns = clock_now_ns() + NS_PER_MS;
	pacer_arm(paced.pacer, paced.due_ns);
	loop_run(paced.loop);
	ck_assert_int_eq(paced.fired, 3);
	pacer_free(&paced.pacer);
	ck_assert_ptr_null(paced.pacer);
	loop_free(&paced.loop);
}
END_TEST

UNIT_MAIN("io/pacer", fires_when_due)
