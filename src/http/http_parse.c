/* Heads are read in two passes. The first looks for the end, and refuses control bytes and broken line ends as soon as
 * they come; it resumes where it stopped, so that a head in many pieces costs no more than one in a single piece.
 * The second runs once, over a whole head, and may rely on it: a CR always begins a line end, and nothing but tabs is
 * left of the control bytes. So the verdict depends on the bytes alone, never on how they were split. */
#include "http/http_parse.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/macros.h"
#include "http/http_bytes.h"

const struct http_limits http_limits_default = { .head_bytes = 32768, .target_bytes = 8192, .headers = 100 };

/* ---- both passes ---- */

/* What the header lines said about the message's framing; judged when all have been read. */
struct framing {
	unsigned hosts;
	unsigned lengths;
	unsigned encodings;
	struct span host;
	struct span length;
	struct span encoding;
	bool says_close;
	bool says_keep_alive;
	bool says_continue;
};

struct parser {
	const char *at;
	const char *end; /* behind the head's last line end */
	const struct http_limits *limits;
	struct http_head *head;
	struct http_fault *fault;
	struct framing framing;
};

static bool refuse(struct parser *parser, int status, const char *text)
{
	*parser->fault = (struct http_fault){ status, text };
	return false;
}

/* ---- the first pass ---- */

/* The first control byte, tabs included, at or after `at`; or end. */
static const char *find_control(const char *at, const char *end)
{
#ifdef __SSE2__
	const __m128i highest = _mm_set1_epi8(0x1f);
	const __m128i delete = _mm_set1_epi8(0x7f);
	while (end - at >= 16) {
		const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)at);
		const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(text, highest), text);
		const int mask = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(text, delete)));
		if (mask != 0)
			return at + __builtin_ctz((unsigned)mask);
		at += 16;
	}
#endif
	while (at < end && !http_is_control(*at) && *at != '\t')
		at++;
	return at;
}

/* Looks for the empty line in [start, end), from *at on; *at moves to behind it, or to where to go on. */
static enum http_result find_head_end(const char *start, const char **at, const char *end, struct http_fault *fault)
{
	for (;;) {
		*at = find_control(*at, end);
		if (*at == end || (**at == '\r' && end - *at < 2))
			return HTTP_MORE;
		if (**at == '\t') {
			(*at)++;
			continue;
		}
		if (**at != '\r' || (*at)[1] != '\n') {
			*fault = (struct http_fault){ 400, **at == '\n' || **at == '\r' ? "a line does not end in CR LF"
				                                                            : "a control byte in the head" };
			return HTTP_BAD;
		}
		*at += 2;
		/* A line feed before this line end is a line end, too: else it had been refused. */
		if (*at - start > 2 && (*at)[-3] == '\n')
			return HTTP_DONE;
	}
}

/* The head is over its limit; says whether the target alone is to blame. */
static enum http_result refuse_size(const char *start, const struct http_limits *limits, struct http_fault *fault)
{
	const struct span head = { start, limits->head_bytes };
	const size_t method_end = span_find(head, ' ');
	const size_t target_start = method_end < head.len ? method_end + 1 : head.len;
	size_t target_end = target_start;
	while (target_end < head.len && http_is(start[target_end], HTTP_TARGET))
		target_end++;
	if (target_end - target_start > limits->target_bytes)
		*fault = (struct http_fault){ 414, "the request target is too long" };
	else
		*fault = (struct http_fault){ 431, "the head is too large" };
	return HTTP_BAD;
}

/* Finds the head that starts at data + blank; *used becomes its end. */
static enum http_result measure(const char *data, size_t len, size_t blank, const struct http_limits *limits,
                                size_t *scanned, size_t *used, struct http_fault *fault)
{
	const char *start = data + blank;
	const bool is_over = len - blank >= limits->head_bytes;
	const char *end = is_over ? start + limits->head_bytes : data + len;
	const char *at = *scanned > blank ? data + *scanned : start;
	const enum http_result result = find_head_end(start, &at, end, fault);
	*scanned = *used = (size_t)(at - data);
	if (result == HTTP_MORE && is_over)
		return refuse_size(start, limits, fault);
	return result;
}

/* ---- the second pass: header lines ---- */

/* What Connection says, token by token; others name headers that nobody here forwards. */
static void read_connection(struct framing *framing, struct span value)
{
	while (value.len > 0) {
		const size_t comma = span_find(value, ',');
		const struct span token = span_trim((struct span){ value.at, comma });
		framing->says_close = framing->says_close || span_equal_nocase(token, SPAN("close"));
		framing->says_keep_alive = framing->says_keep_alive || span_equal_nocase(token, SPAN("keep-alive"));
		const size_t skipped = comma < value.len ? comma + 1 : comma;
		value = (struct span){ value.at + skipped, value.len - skipped };
	}
}

static void note_framing(struct framing *framing, const struct http_header *header)
{
	switch (header->name.len) {
	case sizeof("Host") - 1:
		if (span_equal_nocase(header->name, SPAN("Host"))) {
			framing->hosts++;
			framing->host = header->value;
		}
		break;
	case sizeof("Expect") - 1:
		if (span_equal_nocase(header->name, SPAN("Expect")))
			framing->says_continue = span_equal_nocase(header->value, SPAN("100-continue"));
		break;
	case sizeof("Connection") - 1:
		if (span_equal_nocase(header->name, SPAN("Connection")))
			read_connection(framing, header->value);
		break;
	case sizeof("Content-Length") - 1:
		if (span_equal_nocase(header->name, SPAN("Content-Length"))) {
			framing->lengths++;
			framing->length = header->value;
		}
		break;
	case sizeof("Transfer-Encoding") - 1:
		if (span_equal_nocase(header->name, SPAN("Transfer-Encoding"))) {
			framing->encodings++;
			framing->encoding = header->value;
		}
		break;
	default:
		break;
	}
}

/* The CR of the line that `at` stands in: the only control byte but tabs that the first pass left over. */
static const char *find_line_end(const char *at, const char *end)
{
	at = find_control(at, end);
	while (*at == '\t')
		at = find_control(at + 1, end);
	return at;
}

/* span_trim, in line: this is the hottest place of the parser. */
static struct span trim(const char *start, const char *end)
{
	while (start < end && (*start == ' ' || *start == '\t'))
		start++;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (struct span){ start, (size_t)(end - start) };
}

/* One header line; stands on its first byte. */
static bool read_header(struct parser *parser)
{
	struct http_head *head = parser->head;
	if (head->header_count >= parser->limits->headers || head->header_count >= HTTP_HEADERS_MAX)
		return refuse(parser, 431, "too many headers");
	const char *name = parser->at;
	const char *at = name;
	while (http_is(*at, HTTP_TOKEN))
		at++;
	if (*at != ':' || at == name) {
		if (*name == ' ' || *name == '\t')
			return refuse(parser, 400, "a folded header line");
		return refuse(parser, 400, at == name ? "a header without a name" : "a malformed header name");
	}
	const char *line_end = find_line_end(at + 1, parser->end);
	struct http_header *header = &head->headers[head->header_count++];
	header->name = (struct span){ name, (size_t)(at - name) };
	header->value = trim(at + 1, line_end);
	note_framing(&parser->framing, header);
	parser->at = line_end + 2;
	return true;
}

static bool read_headers(struct parser *parser)
{
	parser->head->header_count = 0;
	while (*parser->at != '\r') {
		if (!read_header(parser))
			return false;
	}
	return true;
}

/* Body and connection, as far as requests and responses agree. */
static bool judge_framing(struct parser *parser)
{
	struct http_head *head = parser->head;
	const struct framing *framing = &parser->framing;
	head->body = HTTP_BODY_NONE;
	head->content_length = 0;
	head->keep_alive = !framing->says_close && (head->minor_version == 1 || framing->says_keep_alive);
	head->expect_continue = framing->says_continue && head->minor_version == 1;
	if (framing->encodings > 0) {
		if (framing->lengths > 0)
			return refuse(parser, 400, "both Transfer-Encoding and Content-Length");
		if (head->minor_version == 0)
			return refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
		if (framing->encodings > 1 || !span_equal_nocase(framing->encoding, SPAN("chunked")))
			return refuse(parser, 400, "a Transfer-Encoding other than chunked");
		head->body = HTTP_BODY_CHUNKED;
	}
	if (framing->lengths > 1)
		return refuse(parser, 400, "Content-Length more than once");
	if (framing->lengths == 1) {
		if (span_to_u64(framing->length, INT64_MAX, &head->content_length) != OK)
			return refuse(parser, 400, "Content-Length is not a length");
		head->body = HTTP_BODY_LENGTH;
	}
	return true;
}

/* ---- requests ---- */

/* Every % is followed by two hexadecimal digits; stands in a whole head, so looking two bytes ahead is safe. */
static bool is_percent_encoded(struct span text)
{
	const char *at = text.at;
	const char *end = text.at + text.len;
	while ((at = memchr(at, '%', (size_t)(end - at))) != NULL) {
		if (http_hex_value(at[1]) < 0 || http_hex_value(at[2]) < 0)
			return false;
		at++;
	}
	return true;
}

/* A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port. */
static bool is_authority(struct span text)
{
	size_t at = 0;
	if (text.len > 0 && text.at[0] == '[') {
		const size_t close = span_find(text, ']');
		for (at = 1; at < close; at++) {
			if (http_hex_value(text.at[at]) < 0 && text.at[at] != ':' && text.at[at] != '.')
				return false;
		}
		if (close < 4 || close == text.len) /* [::] is the shortest */
			return false;
		at = close + 1;
	} else {
		while (at < text.len && http_is(text.at[at], HTTP_HOST))
			at++;
		if (at == 0)
			return false;
	}
	if (at == text.len)
		return true;
	uint64_t port;
	return text.at[at] == ':' &&
	       span_to_u64((struct span){ text.at + at + 1, text.len - at - 1 }, UINT16_MAX, &port) == OK;
}

/* Cuts the scheme and the authority off an absolute target. */
static bool read_absolute(struct parser *parser, struct span *target, struct span *authority)
{
	static const struct span schemes[] = { SPAN("http://"), SPAN("https://") };
	for (size_t i = 0; i < COUNT_OF(schemes); i++) {
		const size_t len = schemes[i].len;
		if (target->len < len || !span_equal_nocase((struct span){ target->at, len }, schemes[i]))
			continue;
		const struct span rest = { target->at + len, target->len - len };
		const size_t slash = span_find(rest, '/');
		*authority = (struct span){ rest.at, slash };
		*target = (struct span){ rest.at + slash, rest.len - slash };
		if (target->len == 0)
			break;
		return true;
	}
	return refuse(parser, 400, "a request target that is no path");
}

static bool read_target(struct parser *parser, struct span *authority)
{
	struct http_head *head = parser->head;
	const char *start = parser->at;
	while (http_is(*parser->at, HTTP_TARGET))
		parser->at++;
	struct span target = { start, (size_t)(parser->at - start) };
	if (target.len > parser->limits->target_bytes)
		return refuse(parser, 414, "the request target is too long");
	if (*parser->at != ' ' || target.len == 0)
		return refuse(parser, 400, "a malformed request target");
	parser->at++;
	if (!is_percent_encoded(target))
		return refuse(parser, 400, "a malformed % in the request target");
	const bool is_star = span_is(target, "*") && span_is(head->method, "OPTIONS");
	if (target.at[0] != '/' && !is_star && !read_absolute(parser, &target, authority))
		return false;
	head->target = target;
	const size_t mark = span_find(target, '?');
	head->path = (struct span){ target.at, mark };
	const size_t skipped = mark < target.len ? mark + 1 : mark;
	head->query = (struct span){ target.at + skipped, target.len - skipped };
	return true;
}

/* Reads "HTTP/1.x". */
static bool read_version(struct parser *parser)
{
	static const struct span name = SPAN("HTTP/");
	const char *at = parser->at;
	const bool is_version = (size_t)(parser->end - at) >= name.len + 4 && memcmp(at, name.at, name.len) == 0 &&
	                        at[5] >= '0' && at[5] <= '9' && at[6] == '.' && at[7] >= '0' && at[7] <= '9';
	if (!is_version)
		return refuse(parser, 400, "a malformed HTTP version");
	if (at[5] != '1' || at[7] > '1')
		return refuse(parser, 505, "an HTTP version other than 1.0 and 1.1");
	parser->head->minor_version = at[7] - '0';
	parser->at += name.len + 3;
	return true;
}

static bool is_letter(char byte)
{
	const char lower = (char)(byte | 0x20);
	return lower >= 'a' && lower <= 'z';
}

static bool read_request_line(struct parser *parser, struct span *authority)
{
	struct http_head *head = parser->head;
	const char *start = parser->at;
	while (is_letter(*parser->at))
		parser->at++;
	head->method = (struct span){ start, (size_t)(parser->at - start) };
	if (*parser->at != ' ')
		return refuse(parser, 400, "a malformed method");
	parser->at++;
	/* Its target is no path, and what follows is no HTTP. */
	if (span_is(head->method, "CONNECT"))
		return refuse(parser, 501, "CONNECT is not supported");
	if (!read_target(parser, authority) || !read_version(parser))
		return false;
	if (*parser->at != '\r')
		return refuse(parser, 400, "text after the HTTP version");
	parser->at += 2;
	return true;
}

static bool judge_host(struct parser *parser, struct span authority)
{
	const struct framing *framing = &parser->framing;
	if (framing->hosts == 0 && parser->head->minor_version == 0 && authority.at == NULL)
		return true;
	if (framing->hosts != 1)
		return refuse(parser, 400, framing->hosts == 0 ? "no Host header" : "more than one Host header");
	if (!is_authority(framing->host) || !is_percent_encoded(framing->host))
		return refuse(parser, 400, "a malformed Host header");
	if (authority.at != NULL && !span_equal_nocase(authority, framing->host))
		return refuse(parser, 400, "the request target and the Host header differ");
	return true;
}

enum http_result http_parse_request(const char *data, size_t len, const struct http_limits *limits, size_t *scanned,
                                    struct http_head *head, size_t *used, struct http_fault *fault)
{
	/* Some clients send an empty line after a body (RFC 9112, 2.2). */
	size_t blank = 0;
	while (blank < 4 && len - blank >= 2 && memcmp(data + blank, "\r\n", 2) == 0)
		blank += 2;
	*used = 0;
	if (len == blank || (len - blank == 1 && blank < 4 && data[blank] == '\r'))
		return HTTP_MORE;
	/* Seen at once, because who speaks TLS here waits for an answer. */
	if (!is_letter(data[blank])) {
		*fault = (struct http_fault){ 400, "no HTTP request" };
		return HTTP_BAD;
	}
	const enum http_result result = measure(data, len, blank, limits, scanned, used, fault);
	if (result != HTTP_DONE)
		return result;
	struct parser parser = { .at = data + blank, .end = data + *used, .limits = limits, .head = head, .fault = fault };
	head->status = 0;
	struct span authority = { 0 };
	const bool is_good = read_request_line(&parser, &authority) && read_headers(&parser) && judge_framing(&parser) &&
	                     judge_host(&parser, authority);
	return is_good ? HTTP_DONE : HTTP_BAD;
}

/* ---- responses ---- */

static bool read_status_line(struct parser *parser)
{
	if (!read_version(parser))
		return false;
	const char *at = parser->at;
	int status = 0;
	for (int i = 1; i <= 3; i++) {
		if (at[0] != ' ' || at[i] < '0' || at[i] > '9')
			return refuse(parser, 502, "a malformed status line");
		status = status * 10 + (at[i] - '0');
	}
	/* Servers that have no reason to give often leave out the blank before it. */
	if ((at[4] != ' ' && at[4] != '\r') || status < 100 || status > 599)
		return refuse(parser, 502, "a malformed status line");
	parser->head->status = status;
	parser->at = find_line_end(at, parser->end) + 2;
	return true;
}

static bool judge_body(struct parser *parser, bool no_body)
{
	struct http_head *head = parser->head;
	const bool has_body = head->body == HTTP_BODY_CHUNKED || head->content_length > 0;
	if (head->status == 101)
		return refuse(parser, 502, "an upgrade that nobody asked for");
	if (head->status < 200 && has_body)
		return refuse(parser, 502, "an interim response with a body");
	if (no_body || head->status < 200 || head->status == 204 || head->status == 304) {
		/* After a 204 that announces a body, nobody knows where the next response starts. */
		head->keep_alive = head->keep_alive && !(head->status == 204 && has_body);
		head->body = HTTP_BODY_NONE;
	} else if (head->body == HTTP_BODY_NONE) {
		head->body = HTTP_BODY_UNTIL_CLOSE;
		head->keep_alive = false;
	}
	return true;
}

enum http_result http_parse_response(const char *data, size_t len, const struct http_limits *limits, size_t *scanned,
                                     bool no_body, struct http_head *head, size_t *used, struct http_fault *fault)
{
	*used = 0;
	if (len == 0)
		return HTTP_MORE;
	enum http_result result = HTTP_BAD;
	*fault = (struct http_fault){ 502, "no HTTP response" };
	if (data[0] == 'H')
		result = measure(data, len, 0, limits, scanned, used, fault);
	if (result == HTTP_DONE) {
		struct parser parser = { .at = data, .end = data + *used, .limits = limits, .head = head, .fault = fault };
		head->method = head->target = head->path = head->query = (struct span){ 0 };
		const bool is_good = read_status_line(&parser) && read_headers(&parser) && judge_framing(&parser) &&
		                     judge_body(&parser, no_body);
		result = is_good ? HTTP_DONE : HTTP_BAD;
	}
	/* Whatever is wrong with it: to the client it is the upstream's fault. */
	if (result == HTTP_BAD)
		fault->status = 502;
	return result;
}

struct span http_header_value(const struct http_head *head, const char *name)
{
	const struct span wanted = span_of(name);
	for (unsigned i = 0; i < head->header_count; i++) {
		if (span_equal_nocase(head->headers[i].name, wanted))
			return head->headers[i].value;
	}
	return (struct span){ 0 };
}
