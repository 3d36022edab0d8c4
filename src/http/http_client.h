/* The asking side of HTTP/1.1: a pool of kept-alive connections to one address, one call at a time on each.
 *
 * Belongs to its loop's thread. Responses are parsed as hostile: strict framing, limits, no 101. No policy: clocks other than the
 * connect one, retries on other replicas and what an answer means are the owner's business. */
#ifndef PENSTOCK_HTTP_HTTP_CLIENT_H
#define PENSTOCK_HTTP_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bytes.h"
#include "base/error.h"
#include "http/http_parse.h"
#include "io/loop.h"
#include "io/tls.h"

struct http_pool;
struct http_call;

struct http_call_events {
	/* The final head (1xx are skipped); borrowed for the call. */
	void (*on_head)(void *owner, const struct http_head *head);
	/* A piece of the body, unchunked; borrowed for the call. May cancel, pause. */
	void (*on_body)(void *owner, struct span data);
	/* All that one read brought was handed out, and the call goes on. May cancel, pause. NULL: of no interest. */
	void (*on_batch)(void *owner);
	/* The last callback; the call is already freed. OK: the response is complete by its framing. ERROR_SYNTAX: the upstream broke
	 * the protocol. Else why the connection failed. */
	void (*on_end)(void *owner, enum error why);
};

/* What to send: the head (request line, headers, empty line), then the body's pieces one after another. All of it is borrowed until on_head or
 * on_end. */
#define HTTP_REQUEST_PIECES_MAX 11
struct http_request {
	struct span head;
	struct span body[HTTP_REQUEST_PIECES_MAX];
	unsigned body_pieces;
	int64_t connect_ns; /* for a connection to be up, TLS included */
};

struct http_pool_settings {
	int64_t idle_ns;      /* a kept connection is closed after this; shorter than the server's own patience */
	unsigned idle_max;    /* connections kept without a call */
	struct tls_peer *tls; /* NULL: plain. The pool takes a reference */
	bool allow_local;     /* the address may be a name that leads to this machine: see struct stream_target */
	bool resets;          /* connections are closed by a reset: see there */
};

enum error http_pool_new(struct loop *loop, const struct address *address, const struct http_pool_settings *settings,
                         struct http_pool **out);
/* All calls must have ended or been cancelled. Sets *pool to NULL. */
void http_pool_free(struct http_pool **pool);
/* Connections that are kept and free. */
unsigned http_pool_idle(const struct http_pool *pool);
/* Closes the kept connections: the server behind the address was replaced. */
void http_pool_forget_idle(struct http_pool *pool);

/* Sends a request. A kept connection that turns out to be dead before any byte of an answer is replaced by a fresh one, once, silently.
 * An error (memory, or why the connection can't even be tried): then no callback follows. */
enum error http_call_start(struct http_pool *pool, const struct http_request *request,
                           const struct http_call_events *events, void *owner, struct http_call **out);
/* Closes the connection now, which is how the other side learns it; no callback follows. Sets *call to NULL; NULL is fine. */
void http_call_cancel(struct http_call **call);
/* Back-pressure: stops and restarts reading. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

#endif
