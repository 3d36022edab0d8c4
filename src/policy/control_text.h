/* What control saw and said, as text: serve writes it with --record, and whoever asks what happened last night reads it or replays it.
 *
 *   settings version=1 in_flight_max=64 seed=7 pool queue_max=32 wait_max=10.000000000 replicas=1
 *   (then, where there are any: route ttft=0.800000000 rung kind=output value=256 rung kind=try_again)
 *   120.000450000 step events=1 orders=1
 *   120.000450000 arrive request=42 pool=0 class=standard prompt=30 output=64 deadline=180.000000000
 *   120.000450000 -> prepare request=42 ticket=3 predicted=0.240000000 ahead=0
 *
 * Times are seconds with nine decimals, so nothing is lost; "never" is NS_NEVER. A field stands where its kind has one, and wherever it
 * is not 0; one that is left out is 0. Words stand for enums; a value without a word is written as its number. What was written is read back
 * exactly. Fields are rows of the tables in control_text.c: a new one in struct event or order is one row. */
#ifndef PENSTOCK_POLICY_CONTROL_TEXT_H
#define PENSTOCK_POLICY_CONTROL_TEXT_H

#include "base/bytes.h"
#include "policy/control.h"

/* Static words, as in the text; "unknown" outside the enum. */
const char *control_event_word(enum event_kind kind);
const char *control_order_word(enum order_kind kind);
const char *control_refusal_word(enum refusal refusal);
const char *control_class_word(enum request_class class);
const char *control_state_word(enum replica_state state);

/* Appends the one line that a recording begins with. Failed memory: see bytes_ok. */
void control_text_write_settings(struct bytes *out, const struct control_settings *settings);
/* Appends one call of control_step: a line for the step, then one for each event and order. */
void control_text_write_step(struct bytes *out, int64_t now_ns, const struct event *events, size_t event_count,
                             const struct order *orders, size_t order_count);

/* What was read. Zeroed = empty; arrays grow as needed and are kept from step to step. */
struct control_record {
	struct control_settings settings; /* .pools points to `pools` */
	struct control_pool *pools;       /* owned */
	struct control_route *routes;     /* owned; .routes points to it */
	int64_t now_ns;
	struct event *events; /* owned, shape (event_count,) */
	size_t event_count;
	size_t event_capacity;
	struct order *orders; /* owned, shape (order_count,) */
	size_t order_count;
	size_t order_capacity;
};

/* Both take what they read off the front of `text`. ERROR_SYNTAX (and `text` stands at the line that is wrong), ERROR_MEMORY. */
enum error control_text_read_settings(struct span *text, struct control_record *record);
/* ERROR_NOT_FOUND at the end of the text. A step that is cut off is ERROR_SYNTAX. */
enum error control_text_read_step(struct span *text, struct control_record *record);
void control_record_fini(struct control_record *record);

#endif
