/* Attempts that fail, and which replica a request is sent to: opaque engines, whose inside nobody sees. */
#include "rig.h"

#define CONCURRENCY 16

static const struct control_pool pair = {
	.queue_max = 200, .wait_max_ns = 10 * NS_PER_S, .replica_count = 2, .is_opaque = 1, .concurrency = CONCURRENCY
};
static const struct control_pool single = {
	.queue_max = 200, .wait_max_ns = 10 * NS_PER_S, .replica_count = 1, .is_opaque = 1, .concurrency = 100
};

static void open_pool(struct rig *rig, const struct control_pool *pool)
{
	rig_open(rig, pool, 1000);
	rig->now_ns = 1000 * NS_PER_S;
	for (uint32_t i = 0; i < pool->replica_count; i++)
		rig_ready(rig, i, 0, 0);
}

static void break_off(struct rig *rig, const struct order *prepare, enum failure failure, int64_t retry_after_ns)
{
	rig_send(rig, (struct event){ .kind = EVENT_RETRY,
	                              .request = prepare->request,
	                              .ticket = prepare->ticket,
	                              .failure = failure,
	                              .retry_after_ns = retry_after_ns });
}

/* Sends one and returns where it went; *prepare names it. */
static uint32_t dispatch(struct rig *rig, uint64_t request, struct order *prepare)
{
	*prepare = rig_queue(rig, request);
	rig_said(rig, ORDER_DISPATCH, request);
	return rig->orders[0].replica;
}

/* One that answers after this long. */
static void answer(struct rig *rig, const struct order *prepare, int64_t after_ns)
{
	rig->now_ns += after_ns;
	rig_tell(rig, EVENT_FIRST_TOKEN, prepare);
	rig_tell(rig, EVENT_DONE, prepare);
}

START_TEST(the_other_replica_is_asked_at_once)
{
	struct rig rig;
	struct order prepare;
	open_pool(&rig, &pair);
	uint32_t first = dispatch(&rig, 1, &prepare);
	break_off(&rig, &prepare, FAILURE_RESET, 0);
	rig_said(&rig, ORDER_DISPATCH, 1);
	ck_assert_uint_eq(rig.orders[0].replica, 1 - first);
	ck_assert_uint_eq(rig_view(&rig).in_flight, 1);
	answer(&rig, &prepare, NS_PER_MS);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	rig_close(&rig);
}
END_TEST

START_TEST(alone_it_is_asked_once_more_after_a_moment)
{
	struct rig rig;
	struct order prepare;
	open_pool(&rig, &single);
	dispatch(&rig, 1, &prepare);
	break_off(&rig, &prepare, FAILURE_SERVER, 0);
	ck_assert_uint_eq(rig.count, 0);
	ck_assert_int_ge(rig.next_ns, rig.now_ns + 50 * NS_PER_MS);
	ck_assert_int_le(rig.next_ns, rig.now_ns + 100 * NS_PER_MS);
	rig_at(&rig, rig.next_ns);
	rig_said(&rig, ORDER_DISPATCH, 1);
	break_off(&rig, &prepare, FAILURE_SERVER, 0);
	rig_said(&rig, ORDER_REFUSE, 1);
	ck_assert_int_eq(rig.orders[0].refusal, REFUSAL_ATTEMPTS);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	rig_close(&rig);
}
END_TEST

START_TEST(a_silent_one_is_not_asked_again)
{
	struct rig rig;
	struct order prepare;
	open_pool(&rig, &single);
	dispatch(&rig, 1, &prepare);
	break_off(&rig, &prepare, FAILURE_SILENT, 0);
	rig_said(&rig, ORDER_REFUSE, 1);
	ck_assert_int_eq(rig.orders[0].refusal, REFUSAL_DEADLINE);
	rig_close(&rig);
	open_pool(&rig, &pair);
	dispatch(&rig, 1, &prepare);
	break_off(&rig, &prepare, FAILURE_SILENT, 0);
	rig_said(&rig, ORDER_DISPATCH, 1);
	break_off(&rig, &prepare, FAILURE_SILENT, 0);
	rig_said(&rig, ORDER_REFUSE, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(at_most_four_attempts_two_at_a_replica)
{
	struct rig rig;
	struct order prepare;
	uint32_t asked[2] = { 0 };
	open_pool(&rig, &pair);
	asked[dispatch(&rig, 1, &prepare)]++;
	for (int i = 0; i < 10 && control_tickets(rig.control); i++) {
		break_off(&rig, &prepare, FAILURE_RESET, 0);
		if (rig.count == 0)
			rig_at(&rig, rig.next_ns);
		if (rig.count && rig.orders[0].kind == ORDER_DISPATCH)
			asked[rig.orders[0].replica]++;
	}
	ck_assert_uint_eq(asked[0], 2);
	ck_assert_uint_eq(asked[1], 2);
	rig_close(&rig);
}
END_TEST

START_TEST(retry_after_is_a_floor)
{
	struct rig rig;
	struct order prepare;
	open_pool(&rig, &single);
	dispatch(&rig, 1, &prepare);
	break_off(&rig, &prepare, FAILURE_RATE, 2 * NS_PER_S);
	ck_assert_uint_eq(rig.count, 0);
	ck_assert_int_ge(rig.next_ns, rig.now_ns + 2 * NS_PER_S);
	/* Nobody else is sent there either. */
	struct order other = rig_queue(&rig, 2);
	ck_assert_uint_eq(rig.count, 0);
	rig_at(&rig, rig.now_ns + 2 * NS_PER_S - 1);
	ck_assert_uint_eq(rig.count, 0);
	rig_at(&rig, rig.now_ns + 1);
	ck_assert_uint_eq(rig.count, 2);
	rig_tell(&rig, EVENT_GONE, &prepare);
	rig_tell(&rig, EVENT_GONE, &other);
	/* Longer than it may wait: refused now, with that time. */
	dispatch(&rig, 3, &prepare);
	break_off(&rig, &prepare, FAILURE_RATE, 3600 * NS_PER_S);
	rig_said(&rig, ORDER_REFUSE, 3);
	rig_close(&rig);
}
END_TEST

START_TEST(a_tenth_may_be_second_attempts)
{
	struct rig rig;
	struct order prepares[60];
	open_pool(&rig, &single);
	for (uint32_t i = 0; i < 60; i++)
		dispatch(&rig, i + 1, &prepares[i]);
	uint32_t again = 0;
	uint32_t refused = 0;
	for (uint32_t i = 0; i < 60; i++) /* a client's fault would be no retry; this one is nobody's: no circuit opens */
		break_off(&rig, &prepares[i], FAILURE_NONE, 0);
	int64_t end_ns = rig.now_ns + 3 * NS_PER_S;
	while (rig.next_ns < end_ns && control_tickets(rig.control) > again) {
		rig_at(&rig, rig.next_ns);
		for (size_t i = 0; i < rig.count; i++) {
			again += rig.orders[i].kind == ORDER_DISPATCH;
			refused += rig.orders[i].kind == ORDER_REFUSE;
		}
		/* None of them answers: the budget is all that goes out. */
		ck_assert_uint_le(again, 60 / 10 + 1);
	}
	ck_assert_uint_ge(again, 5);
	ck_assert_uint_eq(again + refused, 60);
	rig_close(&rig);
}
END_TEST

START_TEST(a_slow_replica_does_not_attract)
{
	struct rig rig;
	uint32_t slow = 0;
	open_pool(&rig, &pair);
	for (uint32_t i = 0; i < 400; i++) {
		struct order prepare;
		uint32_t replica = dispatch(&rig, i + 1, &prepare);
		slow += replica == 0;
		answer(&rig, &prepare, replica == 0 ? NS_PER_S : 100 * NS_PER_MS);
	}
	ck_assert_uint_le(slow, 20);
	rig_close(&rig);
}
END_TEST

/* It has nothing in flight, ever: least-busy would send it everything. */
START_TEST(one_that_fails_fast_attracts_least)
{
	struct rig rig;
	uint32_t failing = 0;
	open_pool(&rig, &pair);
	for (uint32_t i = 0; i < 300; i++) {
		struct order prepare;
		uint32_t replica = dispatch(&rig, i + 1, &prepare);
		if (replica == 0) {
			failing++;
			break_off(&rig, &prepare, FAILURE_SERVER, 0);
			rig_said(&rig, ORDER_DISPATCH, i + 1);
			ck_assert_uint_eq(rig.orders[0].replica, 1);
		}
		answer(&rig, &prepare, 100 * NS_PER_MS);
	}
	ck_assert_uint_le(failing, 15);
	rig_close(&rig);
}
END_TEST

START_TEST(equal_ones_are_chosen_evenly_and_by_the_seed)
{
	struct rig rig;
	uint32_t first[2] = { 0 };
	for (int run = 0; run < 2; run++) {
		open_pool(&rig, &pair);
		uint32_t counts[2] = { 0 };
		for (uint32_t i = 0; i < 200; i++) {
			struct order prepare;
			counts[dispatch(&rig, i + 1, &prepare)]++;
			rig_tell(&rig, EVENT_GONE, &prepare); /* nothing is learned */
		}
		ck_assert_uint_gt(counts[0], 70);
		ck_assert_uint_gt(counts[1], 70);
		ck_assert(run == 0 || (counts[0] == first[0] && counts[1] == first[1]));
		first[0] = counts[0];
		first[1] = counts[1];
		rig_close(&rig);
	}
}
END_TEST

static uint32_t send_known(struct rig *rig, uint64_t request, uint64_t replicas, struct order *prepare)
{
	rig_send(rig, (struct event){ .kind = EVENT_ARRIVE,
	                              .request = request,
	                              .class = CLASS_STANDARD,
	                              .prompt_tokens = 4000,
	                              .output_tokens = 10,
	                              .deadline_ns = NS_NEVER,
	                              .known_replicas = replicas,
	                              .known_tokens = 3900 });
	*prepare = rig->orders[0];
	rig_tell(rig, EVENT_PREPARED, prepare);
	rig_said(rig, ORDER_DISPATCH, request);
	return rig->orders[0].replica;
}

START_TEST(a_cached_prefix_attracts_until_the_load_is_dearer)
{
	struct rig rig;
	struct order prepare;
	const struct control_pool ours = { .queue_max = 200, .wait_max_ns = 10 * NS_PER_S, .replica_count = 2 };
	rig_open(&rig, &ours, 100);
	rig_ready(&rig, 0, 16, 0);
	rig_ready(&rig, 1, 16, 0);
	for (uint64_t i = 0; i < 20; i++) {
		ck_assert_uint_eq(send_known(&rig, i + 1, 2, &prepare), 1);
		rig_tell(&rig, EVENT_GONE, &prepare);
	}
	/* Three prompts that wait there cost more than this one's prefix saves. */
	uint32_t elsewhere = 0;
	for (uint64_t i = 0; i < 4; i++)
		elsewhere += send_known(&rig, i + 100, 2, &prepare) == 0;
	ck_assert_uint_ge(elsewhere, 1);
	ck_assert_uint_le(elsewhere, 3);
	rig_close(&rig);
}
END_TEST

START_TEST(repeats_go_behind_first_attempts)
{
	struct rig rig;
	const struct control_pool one = {
		.queue_max = 10, .wait_max_ns = NS_PER_S, .replica_count = 1, .is_opaque = 1, .concurrency = 1
	};
	open_pool(&rig, &one);
	struct order running = rig_queue(&rig, 1);
	rig_send(&rig, (struct event){ .kind = EVENT_ARRIVE,
	                               .request = 2,
	                               .class = CLASS_STANDARD,
	                               .prompt_tokens = 10,
	                               .output_tokens = 10,
	                               .deadline_ns = rig.now_ns + 5 * NS_PER_S,
	                               .is_repeat = 1 });
	struct order repeat = rig.orders[0];
	rig_tell(&rig, EVENT_PREPARED, &repeat);
	struct order later = rig_queue(&rig, 3);
	rig_tell(&rig, EVENT_DONE, &running);
	rig_said(&rig, ORDER_DISPATCH, 3);
	struct order batch = rig_queue_as(&rig, 4, CLASS_BATCH, NS_NEVER);
	rig_tell(&rig, EVENT_DONE, &later);
	rig_said(&rig, ORDER_DISPATCH, 2);
	rig_tell(&rig, EVENT_DONE, &repeat);
	rig_said(&rig, ORDER_DISPATCH, 4);
	rig_tell(&rig, EVENT_DONE, &batch);
	rig_close(&rig);
}
END_TEST

START_TEST(an_open_circuit_lets_one_probe_through)
{
	struct rig rig;
	struct order prepares[8];
	open_pool(&rig, &single);
	for (uint32_t i = 0; i < 5; i++)
		dispatch(&rig, i + 1, &prepares[i]);
	for (uint32_t i = 0; i < 5; i++)
		rig_send(&rig, (struct event){ .kind = EVENT_FAILED,
		                               .request = prepares[i].request,
		                               .ticket = prepares[i].ticket,
		                               .failure = FAILURE_CUT });
	struct control_replica_view view;
	control_view_replica(rig.control, 0, &view);
	ck_assert_int_eq(view.health, HEALTH_OPEN);
	/* Nobody waits to see the probe fail. */
	struct order refusal = rig_arrive(&rig, 9);
	ck_assert_int_eq(refusal.kind, ORDER_REFUSE);
	ck_assert_int_eq(refusal.refusal, REFUSAL_NO_REPLICA);
	ck_assert_int_ge(refusal.retry_after_ns, 5 * NS_PER_S);
	rig.now_ns += 5 * NS_PER_S;
	dispatch(&rig, 6, &prepares[5]);
	for (uint32_t i = 6; i < 8; i++) {
		prepares[i] = rig_queue(&rig, i + 1);
		ck_assert_uint_eq(rig.count, 0);
	}
	rig_tell(&rig, EVENT_FIRST_TOKEN, &prepares[5]);
	ck_assert_uint_eq(rig.count, 2); /* it is well: the others follow */
	for (uint32_t i = 5; i < 8; i++)
		rig_tell(&rig, EVENT_DONE, &prepares[i]);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	rig_close(&rig);
}
END_TEST

UNIT_MAIN("policy/control_retry", the_other_replica_is_asked_at_once, alone_it_is_asked_once_more_after_a_moment,
          a_silent_one_is_not_asked_again, at_most_four_attempts_two_at_a_replica, retry_after_is_a_floor,
          a_tenth_may_be_second_attempts, a_slow_replica_does_not_attract, one_that_fails_fast_attracts_least,
          equal_ones_are_chosen_evenly_and_by_the_seed, a_cached_prefix_attracts_until_the_load_is_dearer,
          repeats_go_behind_first_attempts, an_open_circuit_lets_one_probe_through)
