/* A connection and the request on it, as http_server.c (reading, life) and http_response.c (writing) share it. Not for others. */
#ifndef PENSTOCK_HTTP_HTTP_EXCHANGE_H
#define PENSTOCK_HTTP_HTTP_EXCHANGE_H

#include "http/http_server.h"
#include "io/stream.h"

enum http_exchange_state {
	STATE_IDLE,     /* no byte of a request yet */
	STATE_HEAD,     /* owner is set from here on */
	STATE_WAITING,  /* the head is complete, the owner has not asked for the body */
	STATE_BODY,     /* taking the body */
	STATE_COMPLETE, /* the whole request is here */
	STATE_FAULTY    /* refused: answer, then close */
};

enum http_response_state { RESPONSE_NONE, RESPONSE_OPEN, RESPONSE_DONE };

struct http_exchange {
	struct http_server *server;
	struct http_exchange *previous; /* the server's list */
	struct http_exchange *next;
	struct stream *stream;
	void *owner;        /* borrowed; NULL between requests */
	struct timer timer; /* between requests: idle for too long; in one: read on in the next turn */
	enum http_exchange_state state;
	enum http_response_state response;
	bool gone;
	bool is_processing; /* process_input is on the stack: it continues, nobody else starts it */
	bool close_after;
	bool is_broken; /* a piece of the response was lost: what is left must not look complete */
	bool is_bodiless;
	bool is_chunked_response;
	int64_t begin_ns;
	size_t scanned;
	uint64_t body_limit;
	struct http_chunked chunked;
	struct http_fault fault;
	struct bytes input;
	struct bytes head_storage; /* what head's spans point into */
	struct bytes body;
	struct http_head head;
};

struct http_server {
	struct loop *loop;
	struct http_server_settings settings;
	const struct http_server_events *events;
	void *context;
	struct http_exchange *first;
	unsigned connections;
	bool draining;
	int64_t date_second;
	char date[40];
};

/* Does a body follow this head? */
static inline bool http_exchange_announces_body(const struct http_head *head)
{
	return head->body == HTTP_BODY_CHUNKED || head->content_length > 0;
}

/* Writes pieces of a response, or of an interim one. What can't be written any more shows as HTTP_EVENT_GONE. */
void http_exchange_write(struct http_exchange *exchange, const struct span *pieces, size_t count);

#endif
