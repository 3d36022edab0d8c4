/* The only place that takes control's lock. Called on the desk's own loop, but for the views, which any thread may ask for. */
#include "stages/desk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "policy/control_text.h"
#include "stages/pipeline.h"

/* Events of one step; a turn with more takes several, so that another loop never waits long for the lock. */
#define EVENTS_MAX 16
#define ORDERS_MAX (2 * EVENTS_MAX + CONTROL_ORDERS_EXTRA)
/* Orders lead to events (PREPARE to PREPARED) and those to orders; this many rounds settle any turn, the rest waits for the next. */
#define ROUNDS_MAX 64

struct desk {
	struct desk_room *room;
	struct services *services;
	struct timer timer; /* control's next deadline */
	bool is_due;
	struct event *events; /* owned */
	size_t event_count;
	size_t event_capacity;
	struct order orders[ORDERS_MAX];
};

struct desk_room {
	pthread_mutex_t lock; /* guards control */
	struct control *control;
	struct desk **desks; /* by loop; set before the loops run */
	unsigned desk_count;
	int record; /* descriptor; -1 = none */
	const struct desk_events *events;
	void *owner;
	struct bytes recorded; /* guarded by lock: not yet written */
};

/* Orders for requests of another loop. */
struct order_batch {
	struct desk *desk;
	size_t count;
	struct order orders[];
};

enum error desk_room_new(struct control *control, unsigned desk_count, int record, const struct desk_events *events,
                         void *owner, struct desk_room **out)
{
	struct desk_room *room = calloc(1, sizeof(*room));
	if (!room)
		return ERROR_MEMORY;
	pthread_mutex_init(&room->lock, NULL);
	room->control = control;
	room->desk_count = desk_count;
	room->record = record;
	room->events = events;
	room->owner = owner;
	room->desks = calloc(desk_count, sizeof(struct desk *));
	*out = room;
	return room->desks ? OK : ERROR_MEMORY;
}

void desk_record_settings(struct desk_room *room, const struct control_settings *settings)
{
	if (room->record >= 0)
		control_text_write_settings(&room->recorded, settings);
}

/* Recording is for finding out what happened, not for every day: it writes under the lock, so that steps stand in their order. */
static void record_step(struct desk_room *room, int64_t now_ns, const struct desk *desk, size_t event_count,
                        size_t order_count)
{
	if (room->record < 0 || (event_count == 0 && order_count == 0))
		return;
	control_text_write_step(&room->recorded, now_ns, desk->events, event_count, desk->orders, order_count);
	struct span rest = bytes_span(&room->recorded);
	while (rest.len) {
		ssize_t written = write(room->record, rest.at, rest.len);
		if (written <= 0)
			break;
		rest = (struct span){ rest.at + written, rest.len - (size_t)written };
	}
	if (rest.len) {
		log_line(LOG_ERROR, "the record can't be written; it ends here");
		room->record = -1;
	}
	bytes_clear(&room->recorded);
}

void desk_room_free(struct desk_room **room_slot)
{
	struct desk_room *room = *room_slot;
	if (!room)
		return;
	*room_slot = NULL;
	control_free(&room->control);
	pthread_mutex_destroy(&room->lock);
	bytes_fini(&room->recorded);
	free(room->desks);
	free(room);
}

/* ---- a step ---- */

/* Orders that name no request; once a second at most. Under the lock, so that they take effect in their order. Returns how many others there are, which
 * stand in front then. */
static size_t carry_out_for_all(const struct desk_room *room, struct order *orders, size_t count)
{
	size_t left = 0;
	for (size_t i = 0; i < count; i++) {
		if (orders[i].kind == ORDER_RUNG)
			room->events->on_rung(room->owner, orders[i].route, orders[i].rung);
		else if (orders[i].kind == ORDER_SCALE)
			room->events->on_scale(room->owner, orders[i].pool, orders[i].wanted);
		else if (left++ != i)
			orders[left - 1] = orders[i];
	}
	return left;
}

static size_t step(struct desk *desk)
{
	struct desk_room *room = desk->room;
	int64_t next_ns = NS_NEVER;
	size_t taken = desk->event_count < EVENTS_MAX ? desk->event_count : EVENTS_MAX;
	desk->is_due = false;
	pthread_mutex_lock(&room->lock);
	int64_t began_ns = clock_now_ns();
	size_t count = control_step(room->control, began_ns, desk->events, taken, desk->orders, ORDERS_MAX, &next_ns);
	int64_t held_ns = clock_now_ns() - began_ns;
	record_step(room, began_ns, desk, taken, count);
	count = carry_out_for_all(room, desk->orders, count);
	pthread_mutex_unlock(&room->lock);
	metric_observe_ns(desk->services->metrics, METRIC_control_hold_seconds, 0, 0, held_ns);
	metric_add(desk->services->metrics, METRIC_control_events_total, 0, 0, (int64_t)taken);
	desk->event_count -= taken;
	memmove(desk->events, desk->events + taken, sizeof(*desk->events) * desk->event_count);
	timer_start_at(&desk->timer, next_ns);
	return count;
}

static void carry_out(struct desk *desk, const struct order *order)
{
	struct request *request = request_find(desk->services, order->request);
	if (!request) {
		/* It ended in the turn that it arrived in, before it knew its ticket; later ones have said so themselves. */
		if (order->kind == ORDER_PREPARE)
			desk_add(desk, &(struct event){ .kind = EVENT_GONE, .request = order->request, .ticket = order->ticket });
		return;
	}
	request->order = *order;
	if (order->kind == ORDER_PREPARE)
		request->ticket = order->ticket;
	if (order->kind == ORDER_REFUSE)
		request->ticket = CONTROL_TICKET_NONE;
	if (order->kind == ORDER_DISPATCH) {
		if (!request->is_dispatched)
			request->dispatched_ns = loop_now_ns(desk->services->loop);
		request->is_dispatched = true;
		request->replica = order->replica;
	}
	pipeline_wake(request, WAKE_READY);
}

static void receive_batch(void *argument)
{
	struct order_batch *batch = argument;
	for (size_t i = 0; i < batch->count; i++)
		carry_out(batch->desk, &batch->orders[i]);
	free(batch);
}

/* A lost batch only delays its requests: each has a deadline of its own. */
static void post_batch(struct desk *target, const struct order *orders, size_t count, unsigned loop)
{
	size_t matching = 0;
	for (size_t i = 0; i < count; i++)
		matching += request_ref_loop(orders[i].request) == loop;
	if (matching == 0)
		return;
	struct order_batch *batch = malloc(sizeof(*batch) + sizeof(*orders) * matching);
	if (batch) {
		batch->desk = target;
		batch->count = 0;
		for (size_t i = 0; i < count; i++) {
			if (request_ref_loop(orders[i].request) == loop)
				batch->orders[batch->count++] = orders[i];
		}
	}
	if (!batch || loop_post(target->services->loop, receive_batch, batch) != OK) {
		log_line(LOG_ERROR, "out of memory: %zu orders for another loop are lost", matching);
		free(batch);
	}
}

static void share_out(struct desk *desk, size_t count)
{
	unsigned own = desk->services->loop_index;
	for (unsigned loop = 0; loop < desk->room->desk_count; loop++) {
		if (loop != own)
			post_batch(desk->room->desks[loop], desk->orders, count, loop);
	}
	for (size_t i = 0; i < count; i++) {
		if (request_ref_loop(desk->orders[i].request) == own)
			carry_out(desk, &desk->orders[i]);
	}
}

static void on_turn_end(void *argument)
{
	struct desk *desk = argument;
	for (int round = 0; round < ROUNDS_MAX && (desk->event_count || desk->is_due); round++)
		share_out(desk, step(desk));
	if (desk->event_count)
		timer_start_after(&desk->timer, 0);
}

static void on_deadline(struct timer *timer)
{
	container_of(timer, struct desk, timer)->is_due = true;
}

enum error desk_new(struct desk_room *room, struct services *services, struct desk **out)
{
	struct desk *desk = calloc(1, sizeof(*desk));
	if (!desk)
		return ERROR_MEMORY;
	desk->room = room;
	desk->services = services;
	timer_init(&desk->timer, services->loop, on_deadline);
	loop_on_turn_end(services->loop, on_turn_end, desk);
	room->desks[services->loop_index] = desk;
	*out = desk;
	return OK;
}

void desk_free(struct desk **desk)
{
	if (!*desk)
		return;
	loop_on_turn_end((*desk)->services->loop, NULL, NULL);
	timer_stop(&(*desk)->timer);
	free((*desk)->events);
	free(*desk);
	*desk = NULL;
}

void desk_add(struct desk *desk, const struct event *event)
{
	if (desk->event_count == desk->event_capacity) {
		size_t capacity = desk->event_capacity ? desk->event_capacity * 2 : EVENTS_MAX;
		struct event *events = realloc(desk->events, sizeof(*events) * capacity);
		MUST(events); /* an event that is lost would leave a ticket open for ever */
		desk->events = events;
		desk->event_capacity = capacity;
	}
	desk->events[desk->event_count++] = *event;
}

void desk_view_pool(struct desk_room *room, uint32_t pool, struct control_pool_view *out)
{
	pthread_mutex_lock(&room->lock);
	control_view_pool(room->control, pool, out);
	pthread_mutex_unlock(&room->lock);
}

void desk_view_replica(struct desk_room *room, uint32_t replica, struct control_replica_view *out)
{
	pthread_mutex_lock(&room->lock);
	control_view_replica(room->control, replica, out);
	pthread_mutex_unlock(&room->lock);
}

void desk_view_route(struct desk_room *room, uint32_t route, struct control_route_view *out)
{
	pthread_mutex_lock(&room->lock);
	control_view_route(room->control, route, out);
	pthread_mutex_unlock(&room->lock);
}

uint32_t desk_tickets(struct desk_room *room)
{
	pthread_mutex_lock(&room->lock);
	uint32_t tickets = control_tickets(room->control);
	pthread_mutex_unlock(&room->lock);
	return tickets;
}
