/* HTTP/1.1 message heads and chunked bodies, strict by construction: whatever two implementations could read differently
 * is refused, never repaired (RFC 9112; the reasons are the request-smuggling cases in test/unit/http).
 *
 * Pure functions over bytes: no I/O, no allocation, no policy. Fuzzed. Used for both sides: requests from clients and
 * responses from upstreams. */
#ifndef PENSTOCK_HTTP_HTTP_PARSE_H
#define PENSTOCK_HTTP_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define HTTP_HEADERS_MAX 100

/* What a head may cost. All counts are inclusive limits. */
struct http_limits {
	size_t head_bytes;   /* start line and headers with their line ends; over it: 431 */
	size_t target_bytes; /* the request target alone; over it: 414 */
	unsigned headers;    /* at most HTTP_HEADERS_MAX; over it: 431 */
};

/* head_bytes 32 KiB, target_bytes 8 KiB, headers 100. */
extern const struct http_limits http_limits_default;

struct http_header {
	struct span name;
	struct span value; /* without leading and trailing blanks */
};

enum http_body_kind {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_CLOSE /* responses only */
};

/* A parsed head; every span borrows from the bytes that were parsed. */
struct http_head {
	struct span method; /* requests; only letters */
	struct span
		target; /* requests; origin form, starts with '/' (an absolute form loses its authority), or "*" for OPTIONS */
	struct span path;  /* target up to '?' */
	struct span query; /* after '?', may be empty */
	int status;        /* responses, 100..599 */
	int minor_version; /* 0 or 1 */
	struct http_header headers[HTTP_HEADERS_MAX];
	unsigned header_count;
	enum http_body_kind body;
	uint64_t content_length; /* HTTP_BODY_LENGTH: exact bytes */
	bool keep_alive;         /* the connection may be used again after this message */
	bool expect_continue;
};

enum http_result { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* Why a message was refused. */
struct http_fault {
	int status;       /* what to answer a client: 400, 414, 431, 501 or 505; 502 for every bad response head */
	const char *text; /* static, one sentence for a person, ends without a full stop */
};

/* Reads one request head from the start of `data`. HTTP_DONE: *used bytes belong to the head (empty lines before it
 * included, at most two). HTTP_MORE: call again with more bytes; *scanned (start with 0) keeps repeated calls linear.
 * HTTP_BAD: fault says why; close the connection after answering.
 * Refused beside plain syntax errors: bare CR or LF, NUL or other control bytes, obs-fold, blanks before a colon, empty names,
 * no Host or two in 1.1, versions but 1.0 and 1.1, any Transfer-Encoding but one "chunked", it in 1.0, it beside Content-Length,
 * repeated or non-digit Content-Length, CONNECT, absolute-form targets whose authority differs from Host, methods of other
 * bytes than letters, targets with bytes that RFC 3986 does not allow or a % without two digits, a Host that is no host. */
enum http_result http_parse_request(const char *data, size_t len, const struct http_limits *limits, size_t *scanned,
                                    struct http_head *head, size_t *used, struct http_fault *fault);

/* The same for a response to a request whose method was HEAD (`no_body`) or another. 1xx other than 101 are returned as heads with
 * HTTP_BODY_NONE: the caller reads on; 101 is HTTP_BAD. No empty lines before it. A 204 that announces a body gives HTTP_BODY_NONE
 * and no keep_alive. */
enum http_result http_parse_response(const char *data, size_t len, const struct http_limits *limits, size_t *scanned,
                                     bool no_body, struct http_head *head, size_t *used, struct http_fault *fault);

/* The value of the first header `name` (any case), or an empty span with at == NULL. */
struct span http_header_value(const struct http_head *head, const char *name);

/* The text of a status code, "Unknown" where there is none. */
const char *http_status_text(int status);

/* ---- chunked bodies ---- */

struct http_chunked {
	uint64_t chunk_left; /* bytes of the current chunk not yet handed out */
	uint32_t line_bytes; /* of the current size line or trailer section */
	uint8_t state;
	uint8_t digits;
};

void http_chunked_init(struct http_chunked *chunked);
/* Takes a step through `data`: consumes *used bytes and hands out at most one piece of payload (borrowed from data, may be empty).
 * HTTP_MORE: all consumed or a piece handed out, call again with what is left; HTTP_DONE: the last chunk and its (discarded) trailers
 * are consumed; HTTP_BAD: fault says why (a later call says so again). Sizes up to 15 digits, size lines up to 256 bytes with
 * extensions, trailers up to 8 KiB. */
enum http_result http_chunked_feed(struct http_chunked *chunked, const char *data, size_t len, size_t *used,
                                   struct span *payload, struct http_fault *fault);

#endif
