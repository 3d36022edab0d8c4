/* Responses: the head with its framing, whole bodies, chunks. Who answers what is the owner's business. */
#include <time.h>

#include "base/clock.h"
#include "base/macros.h"
#include "http/http_exchange.h"

/* Status line, date, framing. */
#define OWN_HEADERS_BYTES 192

void http_exchange_write(struct http_exchange *exchange, const struct span *pieces, size_t count)
{
	if (exchange->gone || exchange->is_broken)
		return;
	if (stream_write_spans(exchange->stream, pieces, count) == ERROR_MEMORY)
		exchange->is_broken = true;
}

static const char *current_date(struct http_server *server)
{
	int64_t second = clock_wall_ns() / NS_PER_S;
	if (second != server->date_second) {
		time_t time = (time_t)second;
		struct tm parts;
		gmtime_r(&time, &parts);
		strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
		server->date_second = second;
	}
	return server->date;
}

static bool is_head_request(const struct http_exchange *exchange)
{
	return http_exchange_head(exchange) && span_is(exchange->head.method, "HEAD");
}

/* An unread rest of the request can't be told from the next one. */
static bool has_unread_rest(const struct http_exchange *exchange)
{
	if (exchange->state == STATE_WAITING)
		return http_exchange_announces_body(&exchange->head);
	return exchange->state != STATE_COMPLETE;
}

static void begin_response_head(struct http_exchange *exchange, struct bytes *out, int status, struct span headers)
{
	MUST(exchange->response == RESPONSE_NONE);
	bytes_reserve(out, headers.len + OWN_HEADERS_BYTES);
	if (has_unread_rest(exchange) || exchange->server->draining)
		exchange->close_after = true;
	exchange->is_bodiless = is_head_request(exchange) || status == 204 || status == 304;
	bytes_append_literal(out, "HTTP/1.1 ");
	bytes_append_number(out, status);
	bytes_append_byte(out, ' ');
	bytes_append_text(out, http_status_text(status));
	bytes_append_literal(out, "\r\ndate: ");
	bytes_append_text(out, current_date(exchange->server));
	bytes_append_literal(out, "\r\n");
	bytes_append_span(out, headers);
	if (exchange->close_after)
		bytes_append_text(out, "connection: close\r\n");
	else if (exchange->head.minor_version == 0)
		bytes_append_text(out, "connection: keep-alive\r\n");
}

static void write_head(struct http_exchange *exchange, struct bytes *head, struct span body)
{
	struct span pieces[2] = { bytes_span(head), exchange->is_bodiless ? (struct span){ 0 } : body };
	if (!bytes_ok(head))
		exchange->is_broken = true;
	http_exchange_write(exchange, pieces, 2);
	bytes_fini(head);
}

static void write_length(struct bytes *head, size_t len)
{
	bytes_append_literal(head, "content-length: ");
	bytes_append_number(head, (int64_t)len);
	bytes_append_literal(head, "\r\n");
}

void http_respond(struct http_exchange *exchange, int status, struct span headers, struct span body)
{
	struct bytes head = { 0 };
	begin_response_head(exchange, &head, status, headers);
	if (status != 204) /* RFC 9110, 8.6 */
		write_length(&head, body.len);
	bytes_append_literal(&head, "\r\n");
	write_head(exchange, &head, body);
	exchange->response = RESPONSE_DONE;
}

void http_respond_start(struct http_exchange *exchange, int status, struct span headers)
{
	struct bytes head = { 0 };
	const struct http_head *request = http_exchange_head(exchange);
	exchange->is_chunked_response = request && request->minor_version >= 1;
	if (!exchange->is_chunked_response)
		exchange->close_after = true;
	begin_response_head(exchange, &head, status, headers);
	bytes_append_text(&head, exchange->is_chunked_response ? "transfer-encoding: chunked\r\n\r\n" : "\r\n");
	write_head(exchange, &head, (struct span){ 0 });
	exchange->response = RESPONSE_OPEN;
}

/* Hexadecimal digits and CRLF, at the end of `line`. */
static struct span write_chunk_size(char *line, size_t size, size_t len)
{
	size_t at = size;
	line[--at] = '\n';
	line[--at] = '\r';
	for (; len; len >>= 4)
		line[--at] = "0123456789abcdef"[len & 15];
	return (struct span){ line + at, size - at };
}

void http_respond_write(struct http_exchange *exchange, struct span data)
{
	MUST(exchange->response == RESPONSE_OPEN);
	if (data.len == 0 || exchange->is_bodiless)
		return;
	if (!exchange->is_chunked_response) {
		http_exchange_write(exchange, &data, 1);
		return;
	}
	char size_line[24];
	struct span pieces[3] = { write_chunk_size(size_line, sizeof(size_line), data.len), data, SPAN("\r\n") };
	http_exchange_write(exchange, pieces, 3);
}

void http_respond_finish(struct http_exchange *exchange)
{
	MUST(exchange->response == RESPONSE_OPEN);
	struct span end = SPAN("0\r\n\r\n");
	if (exchange->is_chunked_response && !exchange->is_bodiless)
		http_exchange_write(exchange, &end, 1);
	exchange->response = RESPONSE_DONE;
}

bool http_exchange_has_started(const struct http_exchange *exchange)
{
	return exchange->response != RESPONSE_NONE;
}

size_t http_exchange_queued_bytes(const struct http_exchange *exchange)
{
	return exchange->stream ? stream_queued_bytes(exchange->stream) : 0;
}
