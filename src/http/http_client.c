/* A connection is idle (in the pool's list) or carries one call. Calls and connections are one struct, because a call that
 * starts on a stale connection must be able to move to a new one without its owner noticing. */
#include "http/http_client.h"

#include <stdlib.h>

#include "base/macros.h"
#include "io/stream.h"

enum reading { READING_HEAD, READING_BODY, READING_DONE };

struct http_call {
	struct http_pool *pool;
	struct http_call *next_idle;
	struct http_call **idle_slot; /* what points here; NULL while not idle */
	struct stream *stream;
	const struct http_call_events *events; /* NULL while idle */
	void *owner;
	struct timer timer; /* connecting, or idle in the pool */
	struct http_request request;
	struct bytes input;
	size_t scanned;
	struct http_chunked chunked;
	uint64_t body_left;
	enum http_body_kind body;
	enum reading reading;
	bool keep_alive;
	bool is_reused;  /* the connection has served a call before */
	bool has_answer; /* a byte of the response was seen */
	bool is_open;
	bool in_callback; /* the owner may cancel inside; the memory stays until the callback is back */
	bool cancelled;
};

struct http_pool {
	struct loop *loop;
	struct address address;
	struct http_pool_settings settings;
	struct http_call *idle; /* owned list */
	struct http_head head;  /* of the response that is being read */
	unsigned idle_count;
};

static const struct stream_events stream_events;

static void free_call(struct http_call *call)
{
	timer_stop(&call->timer);
	stream_close(&call->stream);
	bytes_fini(&call->input);
	free(call);
}

static void remove_idle(struct http_call *call)
{
	if (!call->idle_slot)
		return;
	*call->idle_slot = call->next_idle;
	if (call->next_idle)
		call->next_idle->idle_slot = call->idle_slot;
	call->idle_slot = NULL;
	call->pool->idle_count--;
}

static void add_idle(struct http_call *call)
{
	struct http_pool *pool = call->pool;
	call->next_idle = pool->idle;
	call->idle_slot = &pool->idle;
	if (pool->idle)
		pool->idle->idle_slot = &call->next_idle;
	pool->idle = call;
	pool->idle_count++;
}

/* The call is over: tells the owner, then keeps the connection or closes it. */
static void end_call(struct http_call *call, enum error why)
{
	const struct http_call_events *events = call->events;
	void *owner = call->owner;
	struct http_pool *pool = call->pool;
	/* Not with bytes of the request still on their way: the server answered early, and who knows what it does with the rest. */
	bool keep = why == OK && call->keep_alive && call->input.len == 0 && stream_queued_bytes(call->stream) == 0 &&
	            pool->idle_count < pool->settings.idle_max;
	call->events = NULL;
	if (keep) {
		add_idle(call);
		timer_start_after(&call->timer, pool->settings.idle_ns);
		stream_resume(call->stream); /* last: a failure frees the call */
	} else {
		free_call(call);
	}
	events->on_end(owner, why);
}

static enum error open_connection(struct http_call *call)
{
	const struct http_pool *pool = call->pool;
	const struct stream_target target = { .address = &pool->address,
		                                  .tls = pool->settings.tls,
		                                  .allow_local = pool->settings.allow_local,
		                                  .resets = pool->settings.resets };
	enum error error = stream_connect(pool->loop, &target, &stream_events, call, &call->stream);
	if (!error)
		timer_start_after(&call->timer, call->request.connect_ns);
	return error;
}

static void fail(struct http_call *call, enum error why)
{
	if (call->is_reused && !call->has_answer) {
		/* The server closed the kept connection while our request was on its way: not a failure of the request. */
		call->is_reused = false;
		call->is_open = false;
		stream_close(&call->stream);
		why = open_connection(call);
		if (!why)
			return;
	}
	end_call(call, why);
}

static enum error send_request(struct http_call *call)
{
	const struct http_request *request = &call->request;
	struct span pieces[1 + HTTP_REQUEST_PIECES_MAX] = { request->head };
	for (unsigned i = 0; i < request->body_pieces; i++)
		pieces[1 + i] = request->body[i];
	return stream_write_spans(call->stream, pieces, 1 + request->body_pieces);
}

static void on_open(void *owner)
{
	struct http_call *call = owner;
	timer_stop(&call->timer);
	call->is_open = true;
	enum error error = send_request(call);
	if (error)
		fail(call, error);
}

static void on_timer(struct timer *timer)
{
	struct http_call *call = container_of(timer, struct http_call, timer);
	if (call->events) {
		end_call(call, ERROR_TIMEOUT);
		return;
	}
	remove_idle(call);
	free_call(call);
}

/* ---- the response ---- */

/* What the owner's callback left: OVER when it cancelled, and the call is freed. */
enum progress { ONWARD, MORE, OVER };

static void skip(struct span *rest, size_t used)
{
	*rest = (struct span){ rest->at + used, rest->len - used };
}

static enum progress after_callback(struct http_call *call)
{
	call->in_callback = false;
	if (!call->cancelled)
		return ONWARD;
	free_call(call);
	return OVER;
}

static enum progress hand_out(struct http_call *call, struct span data)
{
	if (data.len == 0)
		return ONWARD;
	call->in_callback = true;
	call->events->on_body(call->owner, data);
	return after_callback(call);
}

static enum progress break_off(struct http_call *call)
{
	end_call(call, ERROR_SYNTAX);
	return OVER;
}

static enum progress read_head(struct http_call *call, struct span *rest)
{
	size_t used = 0;
	struct http_fault fault;
	/* Heads are looked at in the callback only, so that one is enough for all calls. */
	struct http_head *head = &call->pool->head;
	bool no_body = span_starts_with(call->request.head, SPAN("HEAD "));
	enum http_result result =
		http_parse_response(rest->at, rest->len, &http_limits_default, &call->scanned, no_body, head, &used, &fault);
	if (result == HTTP_MORE)
		return MORE;
	if (result == HTTP_BAD)
		return break_off(call);
	call->scanned = 0;
	if (head->status < 200) {
		skip(rest, used);
		return ONWARD;
	}
	call->keep_alive = head->keep_alive;
	call->body = head->body;
	call->body_left = head->content_length;
	http_chunked_init(&call->chunked);
	bool is_empty = call->body == HTTP_BODY_NONE || (call->body == HTTP_BODY_LENGTH && call->body_left == 0);
	call->reading = is_empty ? READING_DONE : READING_BODY;
	call->in_callback = true;
	call->events->on_head(call->owner, head);
	skip(rest, used);
	return after_callback(call);
}

static enum progress read_chunk(struct http_call *call, struct span *rest)
{
	size_t used = 0;
	struct span piece = { 0 };
	struct http_fault fault;
	enum http_result result = http_chunked_feed(&call->chunked, rest->at, rest->len, &used, &piece, &fault);
	if (result == HTTP_BAD)
		return break_off(call);
	if (result == HTTP_DONE)
		call->reading = READING_DONE;
	skip(rest, used);
	return hand_out(call, piece);
}

static enum progress read_plain(struct http_call *call, struct span *rest)
{
	struct span piece = *rest;
	if (call->body == HTTP_BODY_LENGTH && piece.len >= call->body_left) {
		piece.len = (size_t)call->body_left;
		call->reading = READING_DONE;
	}
	call->body_left -= piece.len;
	skip(rest, piece.len);
	return hand_out(call, piece);
}

static enum progress read_some(struct http_call *call, struct span *rest)
{
	if (call->reading == READING_HEAD)
		return read_head(call, rest);
	return call->body == HTTP_BODY_CHUNKED ? read_chunk(call, rest) : read_plain(call, rest);
}

static enum progress end_batch(struct http_call *call)
{
	if (call->reading != READING_BODY || !call->events->on_batch)
		return ONWARD;
	call->in_callback = true;
	call->events->on_batch(call->owner);
	return after_callback(call);
}

/* Takes what it can from the bytes that were read; what is left of a head is kept. */
static void process(struct http_call *call, struct span rest)
{
	enum progress progress = ONWARD;
	while (progress == ONWARD && call->reading != READING_DONE && rest.len)
		progress = read_some(call, &rest);
	if (progress == OVER)
		return;
	if (call->input.len)
		bytes_consume(&call->input, call->input.len - rest.len);
	else
		bytes_append_span(&call->input, rest);
	if (!bytes_ok(&call->input))
		end_call(call, ERROR_MEMORY);
	else if (call->reading == READING_DONE)
		end_call(call, OK);
	else
		(void)end_batch(call);
}

static void on_read(void *owner, const char *data, size_t len)
{
	struct http_call *call = owner;
	if (!call->events) {
		/* Bytes that nobody asked for. */
		remove_idle(call);
		free_call(call);
		return;
	}
	call->has_answer = true;
	if (call->input.len == 0) {
		process(call, (struct span){ data, len });
		return;
	}
	bytes_append(&call->input, data, len);
	if (!bytes_ok(&call->input))
		end_call(call, ERROR_MEMORY);
	else
		process(call, bytes_span(&call->input));
}

static void on_close(void *owner, enum error why)
{
	struct http_call *call = owner;
	if (!call->events) {
		remove_idle(call);
		free_call(call);
	} else if (call->reading == READING_BODY && call->body == HTTP_BODY_UNTIL_CLOSE && why == ERROR_CLOSED) {
		call->keep_alive = false;
		end_call(call, OK);
	} else {
		fail(call, why);
	}
}

static const struct stream_events stream_events = { .on_open = on_open, .on_read = on_read, .on_close = on_close };

/* ---- the pool ---- */

enum error http_pool_new(struct loop *loop, const struct address *address, const struct http_pool_settings *settings,
                         struct http_pool **out)
{
	struct http_pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return ERROR_MEMORY;
	*pool = (struct http_pool){ .loop = loop, .address = *address, .settings = *settings };
	if (settings->tls)
		tls_peer_ref(settings->tls);
	*out = pool;
	return OK;
}

unsigned http_pool_idle(const struct http_pool *pool)
{
	return pool->idle_count;
}

void http_pool_forget_idle(struct http_pool *pool)
{
	while (pool->idle) {
		struct http_call *call = pool->idle;
		remove_idle(call);
		free_call(call);
	}
}

void http_pool_free(struct http_pool **pool)
{
	if (!*pool)
		return;
	http_pool_forget_idle(*pool);
	tls_peer_unref(&(*pool)->settings.tls);
	free(*pool);
	*pool = NULL;
}

static struct http_call *take_idle(struct http_pool *pool)
{
	struct http_call *call = pool->idle;
	if (!call)
		return NULL;
	remove_idle(call);
	timer_stop(&call->timer);
	call->is_reused = true;
	call->has_answer = false;
	call->reading = READING_HEAD;
	return call;
}

enum error http_call_start(struct http_pool *pool, const struct http_request *request,
                           const struct http_call_events *events, void *owner, struct http_call **out)
{
	MUST(request->body_pieces <= HTTP_REQUEST_PIECES_MAX);
	struct http_call *call = take_idle(pool);
	if (!call) {
		call = calloc(1, sizeof(*call));
		if (!call)
			return ERROR_MEMORY;
		call->pool = pool;
		timer_init(&call->timer, pool->loop, on_timer);
	}
	call->events = events;
	call->owner = owner;
	call->request = *request;
	enum error error = call->is_open ? send_request(call) : open_connection(call);
	if (error) {
		free_call(call);
		return error;
	}
	*out = call;
	return OK;
}

void http_call_cancel(struct http_call **call_slot)
{
	struct http_call *call = *call_slot;
	*call_slot = NULL;
	if (!call)
		return;
	call->cancelled = true;
	if (!call->in_callback)
		free_call(call);
	else
		stream_close(&call->stream);
}

void http_call_pause(struct http_call *call)
{
	if (call->stream)
		stream_pause(call->stream);
}

void http_call_resume(struct http_call *call)
{
	if (call->stream)
		stream_resume(call->stream);
}
