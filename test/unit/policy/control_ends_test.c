/* Whatever ends a request, in whatever state: everything comes back, once, and events of a ticket that was given back do nothing. */
#include "rig.h"

static const struct control_pool pool = { .queue_max = 4, .wait_max_ns = 2 * NS_PER_S, .replica_count = 1 };

/* The states that a ticket goes through. */
enum station { AT_PREPARING, AT_QUEUED, AT_DISPATCHED, AT_STREAMING, AT_CANCELLED, STATIONS };

static const enum event_kind endings[] = { EVENT_DONE, EVENT_FAILED, EVENT_GONE };

/* A request at this station; where it has to wait, `blocker` runs in the only place. */
static struct order bring_to(struct rig *rig, enum station station, struct order *blocker)
{
	if (station == AT_QUEUED)
		*blocker = rig_queue(rig, 1000);
	struct order prepare = rig_arrive_as(rig, 1, CLASS_STANDARD, rig->now_ns + NS_PER_S);
	ck_assert_int_eq(prepare.kind, ORDER_PREPARE);
	if (station >= AT_QUEUED)
		rig_tell(rig, EVENT_PREPARED, &prepare);
	if (station == AT_STREAMING)
		rig_tell(rig, EVENT_FIRST_TOKEN, &prepare);
	if (station == AT_CANCELLED) {
		rig_at(rig, rig->now_ns + NS_PER_S);
		rig_said(rig, ORDER_CANCEL, 1);
	}
	return prepare;
}

START_TEST(every_ending_in_every_state_gives_everything_back)
{
	for (int station = 0; station < STATIONS; station++) {
		for (size_t i = 0; i < COUNT_OF(endings); i++) {
			struct rig rig;
			rig_open(&rig, &pool, 8);
			rig_ready(&rig, 0, 1, 20);
			struct order blocker = { 0 };
			const struct order prepare = bring_to(&rig, (enum station)station, &blocker);
			rig_tell(&rig, endings[i], &prepare);
			ck_assert_uint_eq(rig.count, 0);
			if (station == AT_QUEUED)
				rig_tell(&rig, EVENT_DONE, &blocker);
			ck_assert_uint_eq(control_tickets(rig.control), 0);
			ck_assert_uint_eq(rig_view(&rig).queued, 0);
			ck_assert_uint_eq(rig_view(&rig).in_flight, 0);
			ck_assert_int_eq(rig.next_ns, NS_NEVER);
			/* The only place and all its cells are free again. */
			rig_queue(&rig, 2);
			rig_said(&rig, ORDER_DISPATCH, 2);
			rig_close(&rig);
		}
	}
}
END_TEST

START_TEST(a_second_ending_and_late_events_do_nothing)
{
	struct rig rig;
	rig_open(&rig, &pool, 8);
	rig_ready(&rig, 0, 2, 0);
	const struct order first = rig_queue(&rig, 1);
	rig_tell(&rig, EVENT_GONE, &first);
	for (int kind = EVENT_PREPARED; kind <= EVENT_GONE; kind++) {
		rig_tell(&rig, (enum event_kind)kind, &first);
		ck_assert_uint_eq(rig.count, 0);
		ck_assert_uint_eq(control_tickets(rig.control), 0);
	}
	/* The ticket has a new owner: the old one's events are not his. */
	const struct order second = rig_queue(&rig, 2);
	ck_assert_uint_eq(second.ticket, first.ticket);
	for (int kind = EVENT_PREPARED; kind <= EVENT_GONE; kind++)
		rig_tell(&rig, (enum event_kind)kind, &first);
	ck_assert_uint_eq(control_tickets(rig.control), 1);
	ck_assert_uint_eq(rig_view(&rig).in_flight, 1);
	/* Numbers that were never given out. */
	rig_send(&rig, (struct event){ .kind = EVENT_GONE, .request = 2, .ticket = CONTROL_TICKET_NONE });
	rig_send(&rig, (struct event){ .kind = EVENT_GONE, .request = 2, .ticket = 12 });
	ck_assert_uint_eq(control_tickets(rig.control), 1);
	rig_tell(&rig, EVENT_DONE, &second);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	rig_close(&rig);
}
END_TEST

START_TEST(events_out_of_turn_change_nothing)
{
	struct rig rig;
	rig_open(&rig, &pool, 8);
	rig_ready(&rig, 0, 1, 0);
	const struct order prepare = rig_arrive(&rig, 1);
	rig_tell(&rig, EVENT_FIRST_TOKEN, &prepare); /* before it was sent */
	rig_tell(&rig, EVENT_PROGRESS, &prepare);
	ck_assert_uint_eq(rig_view(&rig).queued, 1);
	rig_tell(&rig, EVENT_PREPARED, &prepare);
	rig_said(&rig, ORDER_DISPATCH, 1);
	rig_tell(&rig, EVENT_PREPARED, &prepare); /* twice */
	ck_assert_uint_eq(rig.count, 0);
	rig_tell(&rig, EVENT_FIRST_TOKEN, &prepare);
	rig_tell(&rig, EVENT_FIRST_TOKEN, &prepare);
	rig_send(&rig, (struct event){ .kind = EVENT_TIMER });
	ck_assert_uint_eq(rig_view(&rig).in_flight, 1);
	rig_tell(&rig, EVENT_DONE, &prepare);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	rig_close(&rig);
}
END_TEST

START_TEST(a_replica_that_dies_takes_no_more_and_gives_back)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 4, .wait_max_ns = 20 * NS_PER_S, .replica_count = 2 }, 8);
	rig_ready(&rig, 0, 1, 0);
	rig_ready(&rig, 1, 1, 0);
	struct order running[2];
	uint32_t places[2];
	for (uint64_t i = 0; i < 2; i++) {
		running[i] = rig_queue(&rig, i);
		places[i] = rig.orders[0].replica;
	}
	rig_queue(&rig, 2);
	rig_state(&rig, places[0], REPLICA_DOWN, 0);
	rig_tell(&rig, EVENT_FAILED, &running[0]);
	ck_assert_uint_eq(rig.count, 0); /* not to the dead one */
	ck_assert_uint_eq(rig_view(&rig).replicas_ready, 1);
	rig_tell(&rig, EVENT_DONE, &running[1]);
	rig_said(&rig, ORDER_DISPATCH, 2);
	ck_assert_uint_eq(rig.orders[0].replica, places[1]);
	rig_queue(&rig, 3);
	ck_assert_uint_eq(rig.count, 0);
	rig_ready(&rig, places[0], 1, 0);
	rig_said(&rig, ORDER_DISPATCH, 3);
	ck_assert_uint_eq(rig.orders[0].replica, places[0]);
	rig_close(&rig);
}
END_TEST

UNIT_MAIN("policy/control_ends", every_ending_in_every_state_gives_everything_back,
          a_second_ending_and_late_events_do_nothing, events_out_of_turn_change_nothing,
          a_replica_that_dies_takes_no_more_and_gives_back)
