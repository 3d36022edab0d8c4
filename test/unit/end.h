/* A stream with an owner that notes everything it is told. */
#ifndef PENSTOCK_TEST_END_H
#define PENSTOCK_TEST_END_H

#include "turns.h"

#include "io/stream.h"

struct end {
	struct stream *stream;
	struct bytes got;
	int opens;
	int reads;
	int closes;
	int drains;
	enum error why;
	bool closes_in_read;
};

static inline void end_on_open(void *owner)
{
	((struct end *)owner)->opens++;
}

static inline void end_on_read(void *owner, const char *data, size_t len)
{
	struct end *end = owner;
	ck_assert_uint_gt(len, 0);
	end->reads++;
	bytes_append(&end->got, data, len);
	if (end->closes_in_read)
		stream_close(&end->stream);
}

static inline void end_on_close(void *owner, enum error why)
{
	struct end *end = owner;
	end->closes++;
	end->why = why;
}

static inline void end_on_drain(void *owner)
{
	struct end *end = owner;
	ck_assert_uint_eq(stream_queued_bytes(end->stream), 0);
	end->drains++;
}

static const struct stream_events end_events = {
	.on_open = end_on_open, .on_read = end_on_read, .on_close = end_on_close, .on_drain = end_on_drain
};

static inline void end_close(struct end *end)
{
	stream_close(&end->stream);
	bytes_fini(&end->got);
}

static inline void adopt_pair(struct loop *loop, struct end *end, struct peer *peer)
{
	int other;
	*end = (struct end){ 0 };
	peer_pair(peer, &other);
	ck_error_is(stream_adopt(loop, other, NULL, &end_events, end, &end->stream), OK);
}

static inline void adopt_pair_tcp(struct loop *loop, struct end *end, struct peer *peer)
{
	int other;
	*end = (struct end){ 0 };
	peer_pair_tcp(peer, &other);
	ck_error_is(stream_adopt(loop, other, NULL, &end_events, end, &end->stream), OK);
}

#endif
