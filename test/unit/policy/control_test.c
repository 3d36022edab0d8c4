/* What control decides, case by case: who is taken, who is refused and told to come back when, who goes first, what runs out of time. */
#include "rig.h"

/* One pool of one replica whose queue takes 4 and waits 2 s. */
static const struct control_pool small = { .queue_max = 4, .wait_max_ns = 2 * NS_PER_S, .replica_count = 1 };

static void refused(const struct rig *rig, enum refusal refusal, int64_t least_ns, int64_t most_ns)
{
	ck_assert_uint_ge(rig->count, 1);
	const struct order *order = &rig->orders[0];
	ck_assert_int_eq(order->kind, ORDER_REFUSE);
	ck_assert_int_eq(order->refusal, refusal);
	ck_assert_int_ge(order->retry_after_ns, least_ns);
	ck_assert_int_le(order->retry_after_ns, most_ns);
}

START_TEST(no_replica_no_admission)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	struct order order = rig_arrive(&rig, 1);
	/* A cold start is taken for 3 s until there was one; answers are spread over a quarter. */
	refused(&rig, REFUSAL_NO_REPLICA, 3 * NS_PER_S, 3750 * NS_PER_MS);
	ck_assert_uint_eq(order.ticket, CONTROL_TICKET_NONE);
	ck_assert_int_eq(rig.next_ns, NS_NEVER);
	rig_ready(&rig, 0, 0, 0);
	rig_arrive(&rig, 2);
	refused(&rig, REFUSAL_NO_REPLICA, 3 * NS_PER_S, 3750 * NS_PER_MS);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	ck_assert_int_eq(rig_view(&rig).predicted_wait_ns, NS_NEVER);
	rig_close(&rig);
}
END_TEST

START_TEST(the_queue_holds_as_many_as_it_may)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	rig_queue(&rig, 1);
	rig_said(&rig, ORDER_DISPATCH, 1);
	struct order second = rig_arrive(&rig, 2);
	ck_assert_uint_eq(second.queue_ahead, 0);
	for (uint64_t request = 3; request <= 5; request++)
		ck_assert_uint_eq(rig_queue(&rig, request).queue_ahead, request - 2);
	ck_assert_uint_eq(rig_view(&rig).queued, 4);
	rig_arrive(&rig, 6);
	refused(&rig, REFUSAL_QUEUE_FULL, 250 * NS_PER_MS, 1250 * NS_PER_MS);
	/* One leaves: there is room again. */
	rig_tell(&rig, EVENT_GONE, &second);
	ck_assert_int_eq(rig_arrive(&rig, 7).kind, ORDER_PREPARE);
	rig_close(&rig);
}
END_TEST

START_TEST(a_full_queue_makes_room_for_a_higher_class)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	rig_queue(&rig, 1);
	rig_queue_as(&rig, 2, CLASS_BATCH, NS_NEVER);
	rig_queue_as(&rig, 3, CLASS_STANDARD, NS_NEVER);
	struct order preparing = rig_arrive_as(&rig, 4, CLASS_BATCH, NS_NEVER);
	rig_queue_as(&rig, 5, CLASS_STANDARD, NS_NEVER);
	rig_arrive_as(&rig, 6, CLASS_BATCH, NS_NEVER);
	refused(&rig, REFUSAL_QUEUE_FULL, 250 * NS_PER_MS, 1250 * NS_PER_MS);
	/* The batch request that came last, though it is only being prepared; then the other; then the standard one that came last. */
	const uint64_t displaced[] = { 4, 2, 5, 3 };
	for (uint64_t i = 0; i < COUNT_OF(displaced); i++) {
		rig_send(&rig,
		         (struct event){
					 .kind = EVENT_ARRIVE, .request = 10 + i, .class = CLASS_INTERACTIVE, .deadline_ns = NS_NEVER });
		ck_assert_uint_eq(rig.count, 2);
		refused(&rig, REFUSAL_QUEUE_FULL, 250 * NS_PER_MS, 1250 * NS_PER_MS);
		ck_assert_uint_eq(rig.orders[0].request, displaced[i]);
		ck_assert_int_eq(rig.orders[1].kind, ORDER_PREPARE);
		ck_assert_uint_eq(rig_view(&rig).queued, 4);
	}
	rig_arrive_as(&rig, 20, CLASS_INTERACTIVE, NS_NEVER);
	refused(&rig, REFUSAL_QUEUE_FULL, 250 * NS_PER_MS, 1250 * NS_PER_MS);
	rig_tell(&rig, EVENT_PREPARED, &preparing); /* too late */
	ck_assert_uint_eq(control_tickets(rig.control), 5);
	rig_close(&rig);
}
END_TEST

START_TEST(hopeless_waits_are_refused_at_once)
{
	struct rig rig;
	const struct control_pool patient = { .queue_max = 100, .wait_max_ns = 10 * NS_PER_S, .replica_count = 1 };
	rig_open(&rig, &patient, 8);
	rig_ready(&rig, 0, 1, 0);
	/* Each runs for 10 + 10 ms of prompt and 10 steps of 11 ms: about 130 ms. */
	uint64_t request = 1;
	while (rig_arrive(&rig, request).kind == ORDER_PREPARE) {
		rig_tell(&rig, EVENT_PREPARED, &rig.orders[0]);
		request++;
	}
	/* As long as it would have waited. */
	refused(&rig, REFUSAL_HOPELESS, 8 * NS_PER_S, 11 * NS_PER_S);
	ck_assert_uint_gt(request, 10 * 1000 / 130 * 8 / 10);
	ck_assert_uint_lt(request, 10 * 1000 / 130 * 12 / 10 + 2);
	/* One that cannot wait that long: its deadline decides. */
	rig_arrive_as(&rig, 1000, CLASS_STANDARD, rig.now_ns + 3 * NS_PER_S);
	refused(&rig, REFUSAL_HOPELESS, 8 * NS_PER_S, 11 * NS_PER_S);
	/* A class that goes first does not wait for those. */
	ck_assert_int_eq(rig_arrive_as(&rig, 1001, CLASS_INTERACTIVE, rig.now_ns + NS_PER_S).kind, ORDER_PREPARE);
	rig_close(&rig);
}
END_TEST

START_TEST(a_prompt_too_long_for_its_deadline_is_hopeless)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 4, 0);
	struct event event = {
		.kind = EVENT_ARRIVE, .request = 1, .prompt_tokens = 5000, .output_tokens = 1, .deadline_ns = 4 * NS_PER_S
	};
	rig_send(&rig, event);
	refused(&rig, REFUSAL_HOPELESS, 250 * NS_PER_MS, 2 * NS_PER_S);
	event.deadline_ns = 6 * NS_PER_S;
	rig_send(&rig, event);
	rig_said(&rig, ORDER_PREPARE, 1);
	ck_assert_int_eq(rig.orders[0].predicted_ns, 5400 * NS_PER_MS);
	rig_close(&rig);
}
END_TEST

START_TEST(class_then_deadline_then_turn)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 16, .wait_max_ns = 100 * NS_PER_S, .replica_count = 1 }, 16);
	rig_ready(&rig, 0, 1, 0);
	struct order running = rig_queue(&rig, 99);
	rig_queue_as(&rig, 7, CLASS_BATCH, 20 * NS_PER_S);
	rig_queue_as(&rig, 5, CLASS_STANDARD, 50 * NS_PER_S);
	rig_queue_as(&rig, 4, CLASS_STANDARD, 40 * NS_PER_S);
	rig_queue_as(&rig, 1, CLASS_INTERACTIVE, 60 * NS_PER_S);
	rig_queue_as(&rig, 2, CLASS_INTERACTIVE, 60 * NS_PER_S);
	rig_queue_as(&rig, 6, CLASS_STANDARD, NS_NEVER);
	rig_queue_as(&rig, 3, CLASS_INTERACTIVE, NS_NEVER);
	for (uint64_t request = 1; request <= 7; request++) {
		rig_tell(&rig, EVENT_DONE, &running);
		rig_said(&rig, ORDER_DISPATCH, request);
		running = rig.orders[0];
	}
	rig_close(&rig);
}
END_TEST

START_TEST(credits_are_sequences)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 16, .wait_max_ns = 100 * NS_PER_S, .replica_count = 2 }, 16);
	rig_ready(&rig, 0, 2, 0);
	rig_ready(&rig, 1, 3, 0);
	uint32_t sent[2] = { 0 };
	for (uint64_t request = 1; request <= 8; request++) {
		rig_queue(&rig, request);
		ck_assert_uint_eq(rig.count, request <= 5);
		if (rig.count)
			sent[rig.orders[0].replica]++;
	}
	ck_assert_uint_eq(sent[0], 2);
	ck_assert_uint_eq(sent[1], 3);
	/* More of them now: two that waited go at once. */
	rig_ready(&rig, 0, 4, 0);
	ck_assert_uint_eq(rig.count, 2);
	/* Fewer: none goes until that many have ended. */
	rig_ready(&rig, 0, 1, 0);
	ck_assert_uint_eq(rig.count, 0);
	ck_assert_uint_eq(rig_view(&rig).in_flight, 7);
	rig_close(&rig);
}
END_TEST

START_TEST(credits_are_cells)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 16, .wait_max_ns = 100 * NS_PER_S, .replica_count = 1 }, 16);
	rig_ready(&rig, 0, 8, 50); /* 20 a request */
	struct order first = rig_queue(&rig, 1);
	rig_queue(&rig, 2);
	rig_said(&rig, ORDER_DISPATCH, 2);
	struct order third = rig_arrive(&rig, 3);
	rig_tell(&rig, EVENT_PREPARED, &third);
	ck_assert_uint_eq(rig.count, 0);
	rig_tell(&rig, EVENT_DONE, &first);
	rig_said(&rig, ORDER_DISPATCH, 3);
	/* One that never fits goes alone: the engine may know a way. */
	rig_send(&rig, (struct event){ .kind = EVENT_ARRIVE, .request = 4, .prompt_tokens = 500, .deadline_ns = NS_NEVER });
	struct order large = rig.orders[0];
	rig_tell(&rig, EVENT_PREPARED, &large);
	ck_assert_uint_eq(rig.count, 0);
	rig_tell(&rig, EVENT_GONE, &third);
	ck_assert_uint_eq(rig.count, 0);
	rig_send(&rig, (struct event){ .kind = EVENT_FAILED, .request = 2, .ticket = 1 });
	rig_said(&rig, ORDER_DISPATCH, 4);
	rig_close(&rig);
}
END_TEST

START_TEST(no_more_in_flight_than_allowed_over_all_pools)
{
	const struct control_pool pools[2] = { { .queue_max = 8, .wait_max_ns = 100 * NS_PER_S, .replica_count = 1 },
		                                   { .queue_max = 8, .wait_max_ns = 100 * NS_PER_S, .replica_count = 1 } };
	const struct control_settings settings = { .pools = pools, .pool_count = 2, .in_flight_max = 3 };
	struct rig rig = { 0 };
	ck_error_is(control_new(&settings, &rig.control), OK);
	rig_ready(&rig, 0, 8, 0);
	rig_ready(&rig, 1, 8, 0);
	struct order first = { 0 };
	for (uint32_t i = 0; i < 6; i++) {
		rig_send(&rig, (struct event){ .kind = EVENT_ARRIVE,
		                               .request = i,
		                               .pool = i % 2,
		                               .prompt_tokens = 1,
		                               .output_tokens = 1,
		                               .deadline_ns = NS_NEVER });
		ck_assert_int_eq(rig.orders[0].kind, ORDER_PREPARE);
		first = i ? first : rig.orders[0];
		rig_tell(&rig, EVENT_PREPARED, &rig.orders[0]);
		ck_assert_uint_eq(rig.count, i < 3);
	}
	rig_tell(&rig, EVENT_DONE, &first);
	ck_assert_uint_eq(rig.count, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(waiting_ends_exactly_when_it_should)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	rig_queue(&rig, 1);
	rig.now_ns = 5 * NS_PER_S;
	rig_queue(&rig, 2);                                  /* queued: 7 s */
	struct order third = rig_arrive(&rig, 3);            /* never prepared: 7 s, too */
	rig_queue_as(&rig, 4, CLASS_STANDARD, 6 * NS_PER_S); /* its deadline comes first */
	ck_assert_int_eq(rig.next_ns, 6 * NS_PER_S);
	rig_at(&rig, 6 * NS_PER_S - 1);
	ck_assert_uint_eq(rig.count, 0);
	rig_at(&rig, 6 * NS_PER_S);
	rig_said(&rig, ORDER_REFUSE, 4);
	refused(&rig, REFUSAL_EXPIRED, 250 * NS_PER_MS, 1250 * NS_PER_MS);
	ck_assert_int_eq(rig.next_ns, 7 * NS_PER_S);
	rig_at(&rig, 7 * NS_PER_S - 1);
	ck_assert_uint_eq(rig.count, 0);
	rig_at(&rig, 7 * NS_PER_S);
	ck_assert_uint_eq(rig.count, 2);
	ck_assert_uint_eq(rig.orders[0].request, 2);
	ck_assert_uint_eq(rig.orders[1].request, 3);
	ck_assert_int_eq(rig.orders[1].refusal, REFUSAL_EXPIRED);
	/* What comes late for it finds nothing. */
	rig_tell(&rig, EVENT_PREPARED, &third);
	rig_tell(&rig, EVENT_GONE, &third);
	ck_assert_uint_eq(rig.count, 0);
	ck_assert_uint_eq(control_tickets(rig.control), 1);
	rig_close(&rig);
}
END_TEST

START_TEST(a_first_token_that_does_not_come_is_cancelled)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 2, 0);
	struct order late = rig_queue_as(&rig, 1, CLASS_STANDARD, 3 * NS_PER_S);
	struct order timely = rig_queue_as(&rig, 2, CLASS_STANDARD, 3 * NS_PER_S);
	rig.now_ns = NS_PER_S;
	rig_tell(&rig, EVENT_FIRST_TOKEN, &timely);
	ck_assert_int_eq(rig.next_ns, 3 * NS_PER_S);
	rig_at(&rig, 3 * NS_PER_S);
	rig_said(&rig, ORDER_CANCEL, 1);
	ck_assert_int_eq(rig.orders[0].refusal, REFUSAL_DEADLINE);
	ck_assert_int_eq(rig.next_ns, NS_NEVER);
	/* Its place is taken until it has ended. */
	ck_assert_uint_eq(rig_view(&rig).in_flight, 2);
	rig_tell(&rig, EVENT_FIRST_TOKEN, &late);
	rig_tell(&rig, EVENT_FAILED, &late);
	ck_assert_uint_eq(rig_view(&rig).in_flight, 1);
	rig_tell(&rig, EVENT_DONE, &timely);
	ck_assert_uint_eq(control_tickets(rig.control), 0);
	rig_close(&rig);
}
END_TEST

START_TEST(nothing_is_sent_that_cannot_be_in_time)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	struct order first = rig_queue(&rig, 1);
	struct order second = rig_queue_as(&rig, 2, CLASS_STANDARD, NS_PER_S);
	struct order third = rig_arrive(&rig, 3);
	/* The prompt turned out longer than was thought. */
	rig_send(&rig, (struct event){ .kind = EVENT_PREPARED, .request = 3, .ticket = third.ticket, .prompt_tokens = 40 });
	rig.now_ns = NS_PER_S - 15 * NS_PER_MS; /* 20 ms of prefill */
	rig_tell(&rig, EVENT_DONE, &first);
	ck_assert_uint_eq(rig.count, 2);
	ck_assert_uint_eq(rig.orders[0].request, second.request);
	refused(&rig, REFUSAL_HOPELESS, 250 * NS_PER_MS, 1250 * NS_PER_MS);
	ck_assert_int_eq(rig.orders[1].kind, ORDER_DISPATCH);
	ck_assert_uint_eq(rig.orders[1].request, 3);
	rig_close(&rig);
}
END_TEST

START_TEST(no_deadline_and_odd_ones_are_survived)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 8, .wait_max_ns = INT64_MAX, .replica_count = 1 }, 8);
	rig_ready(&rig, 0, 1, 0);
	rig.now_ns = 1000 * NS_PER_S;
	rig_queue_as(&rig, 1, CLASS_BATCH, NS_NEVER);
	rig_queue_as(&rig, 2, CLASS_BATCH, INT64_MAX - 1);
	rig_arrive_as(&rig, 3, CLASS_STANDARD, INT64_MIN);
	refused(&rig, REFUSAL_HOPELESS, 250 * NS_PER_MS, 375 * NS_PER_S);
	rig_arrive_as(&rig, 4, CLASS_STANDARD, 0);
	refused(&rig, REFUSAL_HOPELESS, 250 * NS_PER_MS, 375 * NS_PER_S);
	rig_send(&rig, (struct event){ .kind = EVENT_ARRIVE,
	                               .request = 5,
	                               .prompt_tokens = UINT32_MAX,
	                               .output_tokens = UINT32_MAX,
	                               .deadline_ns = NS_NEVER });
	rig_tell(&rig, EVENT_PREPARED, &rig.orders[0]);
	rig_at(&rig, 5000 * NS_PER_S);
	ck_assert_int_gt(rig.next_ns, rig.now_ns);
	rig_close(&rig);
}
END_TEST

/* The wait that admission sees now. */
static int64_t wait_ns(const struct rig *rig)
{
	return rig_view(rig).predicted_wait_ns;
}

START_TEST(cold_starts_are_waited_for)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 8, .wait_max_ns = 60 * NS_PER_S, .replica_count = 1 }, 8);
	rig.now_ns = 100 * NS_PER_S;
	rig_state(&rig, 0, REPLICA_STARTING, 0);
	ck_assert_int_eq(wait_ns(&rig), 3 * NS_PER_S); /* nothing better is known */
	rig_at(&rig, 102 * NS_PER_S);
	ck_assert_int_eq(wait_ns(&rig), NS_PER_S);
	rig_at(&rig, 108 * NS_PER_S); /* late: a quarter more */
	ck_assert_int_eq(wait_ns(&rig), 2 * NS_PER_S);
	rig_state(&rig, 0, REPLICA_STARTING, 40); /* 8 s were 40 % */
	ck_assert_int_eq(wait_ns(&rig), 12 * NS_PER_S);
	rig_at(&rig, 109 * NS_PER_S);
	rig_state(&rig, 0, REPLICA_STARTING, 100);
	ck_assert_int_eq(wait_ns(&rig), 100 * NS_PER_MS);
	struct order prepare = rig_arrive_as(&rig, 1, CLASS_STANDARD, 200 * NS_PER_S);
	ck_assert_int_eq(prepare.kind, ORDER_PREPARE);
	ck_assert_int_ge(prepare.predicted_ns, 100 * NS_PER_MS);
	rig_tell(&rig, EVENT_PREPARED, &prepare);
	ck_assert_uint_eq(rig.count, 0);
	rig_at(&rig, 110 * NS_PER_S);
	rig_ready(&rig, 0, 4, 0);
	rig_said(&rig, ORDER_DISPATCH, 1);
	/* The next one is expected to take the 10 s of this one. */
	rig_state(&rig, 0, REPLICA_DOWN, 0);
	rig_arrive(&rig, 2);
	refused(&rig, REFUSAL_NO_REPLICA, 10 * NS_PER_S, 12500 * NS_PER_MS);
	rig_state(&rig, 0, REPLICA_STARTING, 0);
	ck_assert_int_eq(wait_ns(&rig), 10 * NS_PER_S);
	rig_close(&rig);
}
END_TEST

/* Runs `count` requests one after the other; each has its first token `factor` times as late as predicted. */
static void run_requests(struct rig *rig, int count, double factor, uint64_t first_request)
{
	for (int i = 0; i < count; i++) {
		struct order prepare = rig_queue(rig, first_request + (uint64_t)i);
		rig->now_ns += (int64_t)(20e6 * factor); /* 10 tokens alone take 20 ms */
		rig_tell(rig, EVENT_FIRST_TOKEN, &prepare);
		rig_tell(rig, EVENT_DONE, &prepare);
	}
}

START_TEST(what_predictions_get_wrong_scales_them)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	rig_queue(&rig, 1);
	int64_t before_ns = wait_ns(&rig);
	rig_send(&rig, (struct event){ .kind = EVENT_DONE, .request = 1, .ticket = 0 });
	run_requests(&rig, 60, 3, 100);
	ck_assert_double_eq_tol(rig_view(&rig).ratio_p95, 3.3636, 0.001);
	/* A ratio is of the bare forecast, so that it stays where it is. */
	run_requests(&rig, 60, 3, 200);
	ck_assert_double_eq_tol(rig_view(&rig).ratio_p95, 3.3636, 0.001);
	rig_queue(&rig, 2);
	ck_assert_double_eq_tol((double)wait_ns(&rig) / (double)before_ns, 3.3636, 0.01);
	/* What only just fitted is refused now. */
	rig_arrive_as(&rig, 3, CLASS_STANDARD, rig.now_ns + 2 * before_ns);
	refused(&rig, REFUSAL_HOPELESS, 250 * NS_PER_MS, 1250 * NS_PER_MS);
	/* Another class has its own. */
	ck_assert_int_eq(rig_arrive_as(&rig, 4, CLASS_INTERACTIVE, rig.now_ns + 2 * before_ns).kind, ORDER_PREPARE);
	rig_close(&rig);
}
END_TEST

START_TEST(a_ratio_that_grew_too_large_is_learned_anew)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	run_requests(&rig, 40, 240, 100);
	ck_assert_double_gt(rig_view(&rig).ratio_p95, 200);
	/* Idle: taken although 20 ms times the ratio is over its deadline. */
	struct order prepare = rig_queue_as(&rig, 1, CLASS_STANDARD, rig.now_ns + NS_PER_S);
	rig_said(&rig, ORDER_DISPATCH, 1);
	rig_arrive_as(&rig, 2, CLASS_STANDARD, rig.now_ns + NS_PER_S);
	refused(&rig, REFUSAL_HOPELESS, 250 * NS_PER_MS, 375 * NS_PER_S);
	rig_tell(&rig, EVENT_DONE, &prepare);
	rig.now_ns += PREDICT_MEMORY_NS + 1;
	run_requests(&rig, 25, 1, 200);
	ck_assert_double_eq(rig_view(&rig).ratio_p95, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(a_cold_start_is_not_scaled)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	run_requests(&rig, 40, 240, 100);
	rig_state(&rig, 0, REPLICA_STARTING, 50);
	rig.now_ns += 500 * NS_PER_MS;
	/* 0.5 s for the second half is within the 2 s allowed, whatever became of the answers of the last life. */
	ck_assert_int_eq(rig_arrive(&rig, 1).kind, ORDER_PREPARE);
	ck_assert_int_le(wait_ns(&rig), 2 * NS_PER_S);
	rig_close(&rig);
}
END_TEST

START_TEST(slow_preparation_is_not_the_engines_doing)
{
	struct rig rig;
	rig_open(&rig, &small, 8);
	rig_ready(&rig, 0, 1, 0);
	for (uint64_t request = 1; request <= 40; request++) {
		struct order prepare = rig_arrive(&rig, request);
		rig.now_ns += 500 * NS_PER_MS;
		rig_tell(&rig, EVENT_PREPARED, &prepare);
		rig.now_ns += 20 * NS_PER_MS;
		rig_tell(&rig, EVENT_FIRST_TOKEN, &prepare);
		rig_tell(&rig, EVENT_DONE, &prepare);
	}
	ck_assert_double_eq(rig_view(&rig).ratio_p95, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(the_least_loaded_replica_is_chosen_and_ties_are_spread)
{
	struct rig rig;
	rig_open(&rig, &(struct control_pool){ .queue_max = 8, .wait_max_ns = NS_PER_S, .replica_count = 4 }, 64);
	for (uint32_t i = 0; i < 4; i++)
		rig_ready(&rig, i, 8, 0);
	uint32_t chosen[4] = { 0 };
	for (uint64_t request = 1; request <= 4; request++) {
		rig_queue(&rig, request);
		chosen[rig.orders[0].replica]++;
	}
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_eq(chosen[i], 1);
	/* Alone each time: the four are equal, and each gets its share. */
	struct rig other;
	rig_open(&other, &(struct control_pool){ .queue_max = 8, .wait_max_ns = NS_PER_S, .replica_count = 4 }, 64);
	for (uint32_t i = 0; i < 4; i++)
		rig_ready(&other, i, 8, 0);
	uint32_t shares[4] = { 0 };
	for (uint64_t request = 1; request <= 4000; request++) {
		struct order prepare = rig_queue(&other, request);
		shares[other.orders[0].replica]++;
		rig_tell(&other, EVENT_DONE, &prepare);
	}
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_gt(shares[i], 850);
	rig_close(&other);
	rig_close(&rig);
}
END_TEST

START_TEST(too_many_orders_for_one_call_come_with_the_next)
{
	static struct rig rig; /* large */
	rig_open(&rig, &(struct control_pool){ .queue_max = 300, .wait_max_ns = 10 * NS_PER_S, .replica_count = 1 }, 300);
	rig_state(&rig, 0, REPLICA_STARTING, 0);
	for (uint64_t request = 0; request < 300; request++) {
		rig_send(&rig, (struct event){ .kind = EVENT_ARRIVE, .request = request, .deadline_ns = NS_NEVER });
		rig_tell(&rig, EVENT_PREPARED, &rig.orders[0]);
	}
	rig_ready(&rig, 0, 300, 0);
	size_t dispatched = rig.count;
	ck_assert_uint_eq(dispatched, 2 + CONTROL_ORDERS_EXTRA); /* however large the array */
	while (rig.next_ns == rig.now_ns) {
		rig_at(&rig, rig.now_ns);
		dispatched += rig.count;
	}
	ck_assert_uint_eq(dispatched, 300);
	rig_close(&rig);
}
END_TEST

START_TEST(nothing_at_all_is_a_control_too)
{
	const struct control_settings settings = { 0 };
	struct rig rig = { 0 };
	ck_error_is(control_new(&settings, &rig.control), OK);
	rig_at(&rig, 5);
	ck_assert_int_eq(rig.next_ns, NS_NEVER);
	rig_close(&rig);
	control_free(&rig.control);
}
END_TEST

UNIT_MAIN("policy/control", no_replica_no_admission, the_queue_holds_as_many_as_it_may,
          a_full_queue_makes_room_for_a_higher_class, hopeless_waits_are_refused_at_once,
          a_prompt_too_long_for_its_deadline_is_hopeless, class_then_deadline_then_turn, credits_are_sequences,
          credits_are_cells, no_more_in_flight_than_allowed_over_all_pools, waiting_ends_exactly_when_it_should,
          a_first_token_that_does_not_come_is_cancelled, nothing_is_sent_that_cannot_be_in_time,
          no_deadline_and_odd_ones_are_survived, cold_starts_are_waited_for, what_predictions_get_wrong_scales_them,
          a_ratio_that_grew_too_large_is_learned_anew, a_cold_start_is_not_scaled,
          slow_preparation_is_not_the_engines_doing, the_least_loaded_replica_is_chosen_and_ties_are_spread,
          too_many_orders_for_one_call_come_with_the_next, nothing_at_all_is_a_control_too)
