/* Calls that note what they are told, against a server that is a plain Unix socket. */
#ifndef PENSTOCK_TEST_CALLING_H
#define PENSTOCK_TEST_CALLING_H

#include "turns.h"

#include "http/http_client.h"

#define HEAD_TEXT "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"

struct upstream {
	struct loop *loop;
	struct http_pool *pool;
	struct address address;
	int listening;
	int accepted;
};

struct call {
	struct upstream *upstream;
	struct http_call *call; /* NULL once ended */
	int heads;
	int ends;
	int status;
	enum error why;
	struct bytes body;
	bool cancels_in_head;
	bool cancels_in_body;
	bool cancels_in_batch;
	int batches;
	bool pauses_in_body;
	struct call *next; /* started when this one ends */
};

static inline void call_start(struct upstream *upstream, const char *head, struct call *call);

static inline void call_on_head(void *owner, const struct http_head *head)
{
	struct call *call = owner;
	ck_assert_int_eq(call->heads++, 0);
	ck_assert_int_ge(head->status, 200);
	call->status = head->status;
	if (call->cancels_in_head)
		http_call_cancel(&call->call);
}

static inline void call_on_body(void *owner, struct span data)
{
	struct call *call = owner;
	ck_assert_int_eq(call->heads, 1);
	ck_assert_int_eq(call->ends, 0);
	ck_assert_ptr_nonnull(call->call);
	ck_assert_uint_gt(data.len, 0);
	bytes_append_span(&call->body, data);
	if (call->cancels_in_body)
		http_call_cancel(&call->call);
	else if (call->pauses_in_body)
		http_call_pause(call->call);
}

static inline void call_on_end(void *owner, enum error why)
{
	struct call *call = owner;
	ck_assert_int_eq(call->ends++, 0);
	ck_assert_ptr_nonnull(call->call);
	call->call = NULL;
	call->why = why;
	if (call->next)
		call_start(call->upstream, HEAD_TEXT, call->next);
}

static inline void call_on_batch(void *owner)
{
	struct call *call = owner;
	ck_assert_int_eq(call->heads, 1);
	ck_assert_int_eq(call->ends, 0);
	call->batches++;
	if (call->cancels_in_batch)
		http_call_cancel(&call->call);
}

static const struct http_call_events call_events = {
	.on_head = call_on_head, .on_body = call_on_body, .on_batch = call_on_batch, .on_end = call_on_end
};

static inline void upstream_init(struct upstream *upstream, unsigned idle_max)
{
	static int number;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	const struct http_pool_settings settings = { .idle_ns = PATIENCE_NS, .idle_max = idle_max };
	*upstream = (struct upstream){ .address.kind = ADDRESS_UNIX, .loop = new_loop() };
	snprintf(upstream->address.path, sizeof(upstream->address.path), "/tmp/penstock-upstream-%d-%d", (int)getpid(),
	         number++);
	memcpy(name.sun_path, upstream->address.path, sizeof(name.sun_path));
	unlink(upstream->address.path);
	upstream->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(upstream->listening, (const struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(upstream->listening, 16), 0);
	ck_error_is(http_pool_new(upstream->loop, &upstream->address, &settings, &upstream->pool), OK);
}

static inline void upstream_fini(struct upstream *upstream)
{
	http_pool_free(&upstream->pool);
	ck_assert_ptr_null(upstream->pool);
	http_pool_free(&upstream->pool);
	loop_free(&upstream->loop);
	close(upstream->listening);
	unlink(upstream->address.path);
}

/* The next connection that the client makes. */
static inline struct peer upstream_accept(struct upstream *upstream)
{
	struct peer peer = { .fd = -1 };
	run_until(upstream->loop, (peer.fd = accept4(upstream->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	upstream->accepted++;
	return peer;
}

static inline bool nobody_connects(struct upstream *upstream)
{
	run_turns(upstream->loop, 10);
	return accept(upstream->listening, NULL, NULL) < 0 && errno == EAGAIN;
}

/* The caller ends call->body. */
static inline void call_start(struct upstream *upstream, const char *head, struct call *call)
{
	call->upstream = upstream;
	const struct http_request request = { .head = span_of(head), .connect_ns = PATIENCE_NS };
	ck_error_is(http_call_start(upstream->pool, &request, &call_events, call, &call->call), OK);
	ck_assert_ptr_nonnull(call->call);
}

/* The request arrives whole; it is taken from what the peer got. */
static inline void expect_request(struct upstream *upstream, struct peer *peer, const char *text)
{
	run_until(upstream->loop, peer_pull(peer) >= strlen(text));
	ck_span_is(bytes_span(&peer->got), text);
	bytes_clear(&peer->got);
}

static inline void expect_end(struct upstream *upstream, struct call *call, enum error why, const char *body)
{
	run_until(upstream->loop, call->ends == 1);
	ck_error_is(call->why, why);
	ck_span_is(bytes_span(&call->body), body);
	bytes_fini(&call->body);
}

#endif
