/* A loop's window on the one struct control: gathers a turn's events, steps under the lock once, carries out its own orders and posts the
 * others' to their loops. */
#ifndef PENSTOCK_STAGES_DESK_H
#define PENSTOCK_STAGES_DESK_H

#include "base/error.h"
#include "policy/control.h"
#include "stages/services.h"

struct desk;
struct desk_room; /* the control and its lock, shared by all desks */

/* Keys that control tells apart as tenants; further ones share their numbers. */
#define TENANTS_MAX 1024

/* What control decides for all requests. Called on whichever loop has stepped, one at a time. */
struct desk_events {
	void (*on_rung)(void *owner, uint32_t route, uint32_t rung);
	void (*on_scale)(void *owner, uint32_t pool, uint32_t wanted);
};

/* control: owned from here. record: descriptor for the record of all steps (--record), -1 = none; borrowed. */
enum error desk_room_new(struct control *control, unsigned desk_count, int record, const struct desk_events *events,
                         void *owner, struct desk_room **out);
/* The record's first line; call it before the first step. */
void desk_record_settings(struct desk_room *room, const struct control_settings *settings);
/* Desks must have been freed. */
void desk_room_free(struct desk_room **room);
/* services->loop runs it; index as in services->loop_index. */
enum error desk_new(struct desk_room *room, struct services *services, struct desk **out);
void desk_free(struct desk **desk);
/* Notes an event for the end of this turn. */
void desk_add(struct desk *desk, const struct event *event);
/* A pool, a replica as control sees it. Any thread. */
void desk_view_pool(struct desk_room *room, uint32_t pool, struct control_pool_view *out);
void desk_view_replica(struct desk_room *room, uint32_t replica, struct control_replica_view *out);
void desk_view_route(struct desk_room *room, uint32_t route, struct control_route_view *out);
/* Tickets in use. Any thread. */
uint32_t desk_tickets(struct desk_room *room);

#endif
