/* The text of a recording: what it looks like, that all of it comes back, that damage is noticed. */
#include "policy/control_text.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

START_TEST(it_looks_like_this)
{
	const struct control_pool pools[] = { { 32, 10 * NS_PER_S, 1 }, { 8, NS_NEVER, 2 } };
	const struct event events[] = {
		{ .kind = EVENT_ARRIVE,
		  .request = 42,
		  .class = CLASS_STANDARD,
		  .prompt_tokens = 30,
		  .output_tokens = 64,
		  .deadline_ns = 180 * NS_PER_S },
		{ .kind = EVENT_LOAD,
		  .replica = 1,
		  .state = REPLICA_READY,
		  .sequences = 16,
		  .rates = { 5000000, 1500, 2, -7 } },
		{ .kind = EVENT_TIMER },
		{ .kind = EVENT_GONE, .request = 7, .ticket = 3 },
	};
	const struct order orders[] = {
		{ .kind = ORDER_PREPARE, .request = 42, .ticket = 3, .predicted_ns = 240 * NS_PER_MS },
		{ .kind = ORDER_REFUSE,
		  .request = 43,
		  .ticket = CONTROL_TICKET_NONE,
		  .refusal = REFUSAL_QUEUE_FULL,
		  .retry_after_ns = 1 },
	};
	struct bytes text = { 0 };
	control_text_write_settings(
		&text, &(struct control_settings){ .pools = pools, .pool_count = 2, .in_flight_max = 64, .seed = UINT64_MAX });
	control_text_write_step(&text, 120000450000, events, COUNT_OF(events), orders, COUNT_OF(orders));
	ck_assert_str_eq(
		bytes_text(&text),
		"settings version=1 in_flight_max=64 seed=18446744073709551615 pool queue_max=32 wait_max=10.000000000 "
		"replicas=1 pool queue_max=8 wait_max=never replicas=2\n"
		"120.000450000 step events=4 orders=2\n"
		"120.000450000 arrive request=42 pool=0 class=standard prompt=30 output=64 deadline=180.000000000\n"
		"120.000450000 load replica=1 state=ready sequences=16 fixed_ns=5000000 prefill_ns=1500 decode_ns=2 "
		"context_ns=-7\n"
		"120.000450000 timer\n"
		"120.000450000 gone request=7 ticket=3\n"
		"120.000450000 -> prepare request=42 ticket=3 predicted=0.240000000 ahead=0\n"
		"120.000450000 -> refuse request=43 ticket=4294967295 refusal=queue_full retry_after=0.000000001 "
		"predicted=0.000000000\n");
	bytes_fini(&text);
}
END_TEST

static int64_t odd_time(struct random *random)
{
	const int64_t odd[] = { 0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, NS_PER_S, -NS_PER_S, 999999999, -999999999 };
	size_t index = random_below(random, 2 * COUNT_OF(odd));
	return index < COUNT_OF(odd) ? odd[index] : (int64_t)random_u64(random);
}

static uint32_t odd_number(struct random *random)
{
	return random_below(random, 3) ? (uint32_t)random_below(random, 5) : (uint32_t)random_u64(random);
}

/* Every member takes any value, whether the kind has it or not. */
static struct event odd_event(struct random *random)
{
	return (struct event){
		.kind = (enum event_kind)random_below(random, EVENT_KINDS),
		.request = random_u64(random),
		.ticket = odd_number(random),
		.pool = odd_number(random),
		.class = odd_number(random),
		.prompt_tokens = odd_number(random),
		.output_tokens = odd_number(random),
		.deadline_ns = odd_time(random),
		.replica = odd_number(random),
		.state = odd_number(random),
		.sequences = odd_number(random),
		.cells = odd_number(random),
		.percent = odd_number(random),
		.rates = { odd_time(random), odd_time(random), odd_time(random), odd_time(random) },
	};
}

static struct order odd_order(struct random *random)
{
	return (struct order){
		.kind = (enum order_kind)random_below(random, ORDER_KINDS),
		.request = random_u64(random),
		.ticket = odd_number(random),
		.replica = odd_number(random),
		.refusal = (enum refusal)odd_number(random),
		.retry_after_ns = odd_time(random),
		.predicted_ns = odd_time(random),
		.queue_ahead = odd_number(random),
	};
}

#define LINES 5

START_TEST(all_of_it_comes_back)
{
	struct random random;
	random_seed(&random, 3);
	struct control_record record = { 0 };
	struct bytes text = { 0 };
	for (int round = 0; round < 3000; round++) {
		struct event events[LINES];
		struct order orders[LINES];
		size_t event_count = random_below(&random, LINES + 1);
		size_t order_count = random_below(&random, LINES + 1);
		int64_t now_ns = odd_time(&random);
		/* Also the padding is 0, so that memcmp compares. */
		memset(events, 0, sizeof(events));
		memset(orders, 0, sizeof(orders));
		for (size_t i = 0; i < LINES; i++) {
			events[i] = odd_event(&random);
			orders[i] = odd_order(&random);
		}
		bytes_clear(&text);
		control_text_write_step(&text, now_ns, events, event_count, orders, order_count);
		struct span rest = bytes_span(&text);
		ck_error_is(control_text_read_step(&rest, &record), OK);
		ck_assert_uint_eq(rest.len, 0);
		ck_assert_int_eq(record.now_ns, now_ns);
		ck_assert_uint_eq(record.event_count, event_count);
		ck_assert_uint_eq(record.order_count, order_count);
		struct bytes again = { 0 };
		control_text_write_step(&again, record.now_ns, record.events, event_count, record.orders, order_count);
		ck_assert(span_equal(bytes_span(&again), bytes_span(&text)));
		bytes_fini(&again);
		for (size_t i = 0; i < event_count; i++) {
			ck_assert_uint_eq(record.events[i].request, events[i].request);
			ck_assert_int_eq(record.events[i].deadline_ns, events[i].deadline_ns);
			ck_assert_uint_eq(record.events[i].class, events[i].class);
			ck_assert_uint_eq(record.events[i].percent, events[i].percent);
			ck_assert_int_eq(record.events[i].rates.context_ns, events[i].rates.context_ns);
		}
		for (size_t i = 0; i < order_count; i++) {
			ck_assert_int_eq((int)record.orders[i].refusal, (int)orders[i].refusal);
			ck_assert_int_eq(record.orders[i].retry_after_ns, orders[i].retry_after_ns);
			ck_assert_uint_eq(record.orders[i].queue_ahead, orders[i].queue_ahead);
		}
	}
	struct span nothing = { 0 };
	ck_error_is(control_text_read_step(&nothing, &record), ERROR_NOT_FOUND);
	control_record_fini(&record);
	bytes_fini(&text);
}
END_TEST

/* A struct whose every byte is set: what a member without a row would lose shows. */
START_TEST(no_member_is_without_a_row)
{
	struct event event;
	struct order order;
	memset(&event, 0x11, sizeof(event));
	memset(&order, 0x11, sizeof(order));
	event.kind = EVENT_ARRIVE;
	order.kind = ORDER_REFUSE;
	struct bytes text = { 0 };
	struct control_record record = { 0 };
	control_text_write_step(&text, 0, &event, 1, &order, 1);
	struct span rest = bytes_span(&text);
	ck_error_is(control_text_read_step(&rest, &record), OK);
	size_t zeros = 0;
	for (size_t i = 0; i < sizeof(event); i++)
		zeros += ((const char *)&record.events[0])[i] == 0 && ((const char *)&event)[i] != 0;
	for (size_t i = 0; i < sizeof(order); i++)
		zeros += ((const char *)&record.orders[0])[i] == 0 && ((const char *)&order)[i] != 0;
	/* Padding of 4 bytes: after kind, output_tokens and percent; after kind, refusal and queue_ahead. */
	const size_t padding = 3 * 4 + 3 * 4;
	ck_assert_uint_le(zeros, padding);
	control_record_fini(&record);
	bytes_fini(&text);
}
END_TEST

START_TEST(settings_come_back)
{
	const struct control_pool pools[] = { { 1, 2, 3 }, { UINT32_MAX, INT64_MAX, 0 }, { 0, 0, 7 } };
	struct bytes text = { 0 };
	struct control_record record = { 0 };
	control_text_write_settings(
		&text, &(struct control_settings){ .pools = pools, .pool_count = 3, .in_flight_max = 9, .seed = 1ull << 63 });
	for (int round = 0; round < 2; round++) {
		struct span rest = bytes_span(&text);
		ck_error_is(control_text_read_settings(&rest, &record), OK);
		ck_assert_uint_eq(rest.len, 0);
		ck_assert_uint_eq(record.settings.pool_count, 3);
		ck_assert_uint_eq(record.settings.in_flight_max, 9);
		ck_assert_uint_eq(record.settings.seed, 1ull << 63);
		for (int i = 0; i < 3; i++) {
			ck_assert_uint_eq(record.settings.pools[i].queue_max, pools[i].queue_max);
			ck_assert_int_eq(record.settings.pools[i].wait_max_ns, pools[i].wait_max_ns);
			ck_assert_uint_eq(record.settings.pools[i].replica_count, pools[i].replica_count);
		}
	}
	control_record_fini(&record);
	bytes_fini(&text);
}
END_TEST

START_TEST(damage_is_noticed)
{
	static const char *const bad[] = {
		"x",
		"1.000000000 step events=1 orders=0\n",                                      /* cut off */
		"1.000000000 step events=1 orders=0\n1.000000000 gone request=1 ticket=2",   /* its last line, too */
		"1.000000000 step events=1 orders=0\n2.000000000 gone request=1 ticket=2\n", /* another time */
		"1.000000000 step events=1 orders=0\n1.000000000 went request=1 ticket=2\n", /* no such event */
		"1.000000000 step events=1 orders=0\n1.000000000 gone request=1 cheese=2\n", /* no such field */
		"1.000000000 step events=1 orders=0\n1.000000000 gone request=-1 ticket=2\n",
		"1.000000000 step events=1 orders=0\n1.000000000 gone request=1 ticket=4294967296\n",
		"1.000000000 step events=1 orders=0\n1.000000000 gone request ticket=2\n",
		"1.000000000 step events=1 orders=0\n1.000000000 arrive class=urgent\n",
		"1.000000000 step events=0 orders=1\n1.000000000 dispatch request=1 ticket=2\n", /* no arrow */
		"1.00000000 step events=0 orders=0\n",                                           /* eight decimals */
		"9223372036.854775808 step events=0 orders=0\n",                                 /* one too many */
		"1.000000000 step events=99999999999 orders=0\n",
		"1.000000000 step orders=0 events=0\n",
	};
	struct control_record record = { 0 };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct span text = span_of(bad[i]);
		ck_error_is(control_text_read_step(&text, &record), ERROR_SYNTAX);
		text = span_of(bad[i]);
		ck_error_is(control_text_read_settings(&text, &record), ERROR_SYNTAX);
	}
	struct span version = span_of("settings version=2 in_flight_max=1 seed=1\n");
	ck_error_is(control_text_read_settings(&version, &record), ERROR_SYNTAX);
	struct span largest =
		span_of("9223372036.854775806 step events=0 orders=0\n-9223372036.854775808 step events=0 orders=0\n");
	ck_error_is(control_text_read_step(&largest, &record), OK);
	ck_assert_int_eq(record.now_ns, INT64_MAX - 1);
	ck_error_is(control_text_read_step(&largest, &record), OK);
	ck_assert_int_eq(record.now_ns, INT64_MIN);
	control_record_fini(&record);
}
END_TEST

START_TEST(promises_and_ladders_come_back)
{
	const struct control_pool pool = {
		.queue_max = 1, .replica_count = 1, .scale_min = 1, .scale_max = 4, .scale_spare = 1
	};
	const struct control_route routes[] = {
		{ .requests_per_minute = 6 },
		{ .ttft_ns = 800 * NS_PER_MS,
		  .tpot_ns = 80 * NS_PER_MS,
		  .e2e_ns = 9 * NS_PER_S,
		  .rung_count = 3,
		  .rungs = { { RUNG_OUTPUT, 256 }, { RUNG_TIER, 0 }, { RUNG_TRY_AGAIN, 0 } },
		  .tokens_per_minute = 7,
		  .repeats_per_minute = 8 },
	};
	const struct control_settings settings = { .pools = &pool,
		                                       .pool_count = 1,
		                                       .routes = routes,
		                                       .route_count = 2,
		                                       .tenant_count = 5,
		                                       .in_flight_max = 2,
		                                       .seed = 3 };
	struct control_record record = { 0 };
	struct bytes text = { 0 }, again = { 0 };
	control_text_write_settings(&text, &settings);
	struct span rest = bytes_span(&text);
	ck_error_is(control_text_read_settings(&rest, &record), OK);
	ck_assert_uint_eq(record.settings.route_count, 2);
	ck_assert_int_eq(record.settings.routes[1].rungs[2].kind, RUNG_TRY_AGAIN);
	control_text_write_settings(&again, &record.settings);
	ck_assert_str_eq(bytes_text(&again), bytes_text(&text));
	/* A rung before any route, and one more than there may be. */
	struct span odd = span_of("settings version=1 rung kind=output\n");
	ck_error_is(control_text_read_settings(&odd, &record), ERROR_SYNTAX);
	control_record_fini(&record);
	bytes_fini(&text);
	bytes_fini(&again);
}
END_TEST

UNIT_MAIN("policy/control_text", promises_and_ladders_come_back, it_looks_like_this, all_of_it_comes_back,
          no_member_is_without_a_row, settings_come_back, damage_is_noticed)
