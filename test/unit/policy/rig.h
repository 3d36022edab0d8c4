/* A control object driven by hand, one event a call: for the unit tests of control. */
#ifndef PENSTOCK_TEST_POLICY_RIG_H
#define PENSTOCK_TEST_POLICY_RIG_H

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control.h"
#include "unit.h"

#define RIG_ORDERS 512

struct rig {
	struct control *control;
	int64_t now_ns;
	int64_t next_ns; /* when control wants to be called */
	struct order orders[RIG_ORDERS];
	size_t count; /* of the last call */
};

/* One pool. */
static inline void rig_open(struct rig *rig, const struct control_pool *pool, uint32_t in_flight_max)
{
	const struct control_settings settings = {
		.pools = pool, .pool_count = 1, .in_flight_max = in_flight_max, .seed = 1
	};
	*rig = (struct rig){ 0 };
	ck_error_is(control_new(&settings, &rig->control), OK);
}

static inline void rig_close(struct rig *rig)
{
	control_free(&rig->control);
	ck_assert_ptr_null(rig->control);
}

static inline void rig_step(struct rig *rig, const struct event *events, size_t count)
{
	rig->count = control_step(rig->control, rig->now_ns, events, count, rig->orders, RIG_ORDERS, &rig->next_ns);
}

static inline void rig_send(struct rig *rig, struct event event)
{
	rig_step(rig, &event, 1);
}

/* Moves time on and lets control look. */
static inline void rig_at(struct rig *rig, int64_t now_ns)
{
	rig->now_ns = now_ns;
	rig_step(rig, NULL, 0);
}

/* 10 ms a step of either lane, 1 ms each prompt token and each stream, 1 ms more a prompt token beside streams. */
static const struct predict_rates rig_rates = { 10 * NS_PER_MS, NS_PER_MS, NS_PER_MS, 0, 10 * NS_PER_MS, NS_PER_MS };

static inline void rig_ready(struct rig *rig, uint32_t replica, uint32_t sequences, uint32_t cells)
{
	rig_send(rig, (struct event){ .kind = EVENT_LOAD,
	                              .replica = replica,
	                              .state = REPLICA_READY,
	                              .sequences = sequences,
	                              .cells = cells,
	                              .backlog_tokens = CONTROL_NOT_TOLD,
	                              .rates = rig_rates });
}

static inline void rig_state(struct rig *rig, uint32_t replica, enum replica_state state, uint32_t percent)
{
	rig_send(rig, (struct event){ .kind = EVENT_LOAD, .replica = replica, .state = state, .percent = percent });
}

/* 10 tokens in, 10 out, whenever; returns the answer. */
static inline struct order rig_arrive_as(struct rig *rig, uint64_t request, enum request_class class,
                                         int64_t deadline_ns)
{
	rig_send(rig, (struct event){ .kind = EVENT_ARRIVE,
	                              .request = request,
	                              .class = class,
	                              .prompt_tokens = 10,
	                              .output_tokens = 10,
	                              .deadline_ns = deadline_ns });
	ck_assert_uint_ge(rig->count, 1);
	ck_assert_uint_eq(rig->orders[0].request, request);
	return rig->orders[0];
}

static inline struct order rig_arrive(struct rig *rig, uint64_t request)
{
	return rig_arrive_as(rig, request, CLASS_STANDARD, NS_NEVER);
}

/* Any event of a request that has this ticket. */
static inline void rig_tell(struct rig *rig, enum event_kind kind, const struct order *prepare)
{
	rig_send(rig, (struct event){ .kind = kind, .request = prepare->request, .ticket = prepare->ticket });
}

/* Arrives and is prepared: queued, or dispatched when there is a credit. */
static inline struct order rig_queue_as(struct rig *rig, uint64_t request, enum request_class class,
                                        int64_t deadline_ns)
{
	struct order prepare = rig_arrive_as(rig, request, class, deadline_ns);
	ck_assert_int_eq(prepare.kind, ORDER_PREPARE);
	rig_tell(rig, EVENT_PREPARED, &prepare);
	return prepare;
}

static inline struct order rig_queue(struct rig *rig, uint64_t request)
{
	return rig_queue_as(rig, request, CLASS_STANDARD, NS_NEVER);
}

static inline struct control_pool_view rig_view(const struct rig *rig)
{
	struct control_pool_view view;
	control_view_pool(rig->control, 0, &view);
	return view;
}

/* Exactly one order came with the last call: this one. */
static inline void rig_said(const struct rig *rig, enum order_kind kind, uint64_t request)
{
	ck_assert_uint_eq(rig->count, 1);
	ck_assert_int_eq(rig->orders[0].kind, kind);
	ck_assert_uint_eq(rig->orders[0].request, request);
}

#endif
