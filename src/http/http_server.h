/* The serving side of HTTP/1.1: connections, keep-alive, strict requests in, responses out. No policy: who may ask what, and
 * how long anything may take, is the owner's business (stages/, gateway/admin, engine/worker).
 *
 * An exchange is a connection with the request on it that is being answered; one at a time, in order (pipelined bytes wait). It
 * belongs to its loop's thread. Reading never stops while a request is answered, so that a client that leaves is noticed at once. */
#ifndef PENSTOCK_HTTP_HTTP_SERVER_H
#define PENSTOCK_HTTP_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "http/http_parse.h"
#include "io/loop.h"
#include "io/tls.h"

struct http_server;
struct http_exchange;

enum http_event {
	HTTP_EVENT_HEAD,  /* the head is complete: http_exchange_head */
	HTTP_EVENT_BODY,  /* the accepted body is complete: http_exchange_body */
	HTTP_EVENT_FAULT, /* the request is malformed: http_exchange_fault; answer and end */
	HTTP_EVENT_GONE,  /* the client left or the connection broke; only http_exchange_end is left to do */
	HTTP_EVENT_DRAIN, /* everything written has left for the kernel */
};

struct http_server_events {
	/* The first byte of a request is here. Returns the owner of this exchange, NULL to close the connection. */
	void *(*on_begin)(void *context, struct http_exchange *exchange);
	/* May answer and end the exchange inside. */
	void (*on_event)(void *owner, struct http_exchange *exchange, enum http_event event);
	/* The number of connections has changed. May be NULL. */
	void (*on_connections)(void *context, unsigned open);
};

struct http_server_settings {
	struct http_limits limits;
	int64_t idle_ns; /* a kept-alive connection without a request is closed after this */
};

enum error http_server_new(struct loop *loop, const struct http_server_settings *settings,
                           const struct http_server_events *events, void *context, struct http_server **out);
/* Closes idle connections; those with an exchange must have been ended. Sets *server to NULL. */
void http_server_free(struct http_server **server);
/* Takes a connected socket (owned from here). tls: what to show its client, borrowed for the call; NULL: plain HTTP. */
void http_server_adopt(struct http_server *server, int fd, const struct tls_context *tls);
/* From now on every response says "connection: close", and idle connections end. */
void http_server_drain(struct http_server *server);
/* Connections open now. */
unsigned http_server_connections(const struct http_server *server);

/* ---- the request ---- */

/* NULL until HTTP_EVENT_HEAD. Valid until the end of the exchange. */
const struct http_head *http_exchange_head(const struct http_exchange *exchange);
/* When the first byte of the request was read, monotonic ns. */
int64_t http_exchange_begin_ns(const struct http_exchange *exchange);
/* Takes the body, whole, up to limit_bytes; HTTP_EVENT_BODY follows (at once for an empty one: ask http_exchange_body_is_complete).
 * ERROR_LIMIT when its announced length is over it; a chunked one that grows over it comes as HTTP_EVENT_FAULT with 413. Sends
 * "100 Continue" where the client waits for it. */
enum error http_exchange_accept_body(struct http_exchange *exchange, uint64_t limit_bytes);
bool http_exchange_body_is_complete(const struct http_exchange *exchange);
bool http_exchange_body_is_accepted(const struct http_exchange *exchange);
/* Borrowed until the end of the exchange. */
struct span http_exchange_body(const struct http_exchange *exchange);
const struct http_fault *http_exchange_fault(const struct http_exchange *exchange);
bool http_exchange_is_gone(const struct http_exchange *exchange);

/* ---- the response: one http_respond, or start, any number of writes, finish ---- */

/* headers: whole lines "name: value\r\n" beside those of framing and the date. */
void http_respond(struct http_exchange *exchange, int status, struct span headers, struct span body);
/* Chunked; to an HTTP/1.0 client ended by close. */
void http_respond_start(struct http_exchange *exchange, int status, struct span headers);
void http_respond_write(struct http_exchange *exchange, struct span data);
void http_respond_finish(struct http_exchange *exchange);
/* Has anything of a response been written? */
bool http_exchange_has_started(const struct http_exchange *exchange);
/* Response bytes not yet taken by the kernel: the owner's back-pressure. */
size_t http_exchange_queued_bytes(const struct http_exchange *exchange);
/* The owner is done: the connection goes on with the next request, or closes (always when the response is not finished, so that a cut
 * answer looks cut). Sets *exchange to NULL. */
void http_exchange_end(struct http_exchange **exchange);

#endif
