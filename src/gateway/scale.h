/* Scaling: what control wishes is carried out where the engines are ours, and told at /scale where they are not. Runs on loop 0, but for scale_wish. */
#ifndef PENSTOCK_GATEWAY_SCALE_H
#define PENSTOCK_GATEWAY_SCALE_H

#include <stdint.h>

#include "base/bytes.h"

struct gateway;

/* Control wants so many replicas of the pool. Any thread. */
void scale_wish(struct gateway *gateway, uint32_t pool, uint32_t wanted);
/* GET /scale: JSON, a row a pool. */
void scale_write(struct gateway *gateway, struct bytes *out);
/* Gauges for a scrape. */
void scale_set_gauges(struct gateway *gateway);
/* A replica's state changed: keeps the length of its start. */
void scale_note_state(struct gateway *gateway, uint32_t replica, int state);

#endif
