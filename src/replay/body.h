/* A request as bytes, ready to send: built ahead of its time, never in the loop that sends. */
#ifndef PENSTOCK_REPLAY_BODY_H
#define PENSTOCK_REPLAY_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/url.h"
#include "replay/workload.h"

struct body_settings {
	const struct url *url;
	const char *model;
	const char *class;       /* for every request; NULL = the trace's own, where it has one */
	const char *const *keys; /* by tenant label; NULL entries and a NULL list: none */
	bool is_stream;
	double bytes_per_token;
	uint64_t seed;
};

/* One allocation: the body, then the head. */
struct body {
	char *memory; /* owned */
	size_t head_at;
	size_t head_len;
	size_t body_len;
	size_t text_len; /* of the prompt alone */
};

/* The row's request: its shared pieces first, then text that nobody else has. ERROR_MEMORY. */
enum error body_build(const struct body_settings *settings, const struct workload *workload, size_t row,
                      struct body *out);
void body_fini(struct body *body);
static inline struct span body_head(const struct body *body)
{
	return (struct span){ body->memory + body->head_at, body->head_len };
}
static inline struct span body_content(const struct body *body)
{
	return (struct span){ body->memory, body->body_len };
}

#endif
