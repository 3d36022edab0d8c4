/* Heads: what is read, what is refused, and that no split of the bytes changes either. */
#include "http/http_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "unit.h"

static const struct request_case {
	struct span text;
	int status; /* 0 = accepted */
} request_cases[] = {
#define GOOD(text) { SPAN(text), 0 },
#define BAD(status, text) { SPAN(text), status },
#include "request_cases.def"
#undef GOOD
#undef BAD
};

/* A parser's answer, with the head in it. */
struct answer {
	enum http_result result;
	size_t used;
	struct http_fault fault;
	struct http_head head;
	char *copy; /* what the head's spans point into */
};

enum kind { REQUEST, RESPONSE, RESPONSE_TO_HEAD };

static enum http_result parse_once(enum kind kind, const char *data, size_t len, const struct http_limits *limits,
                                   size_t *scanned, struct answer *answer)
{
	if (kind == REQUEST)
		return http_parse_request(data, len, limits, scanned, &answer->head, &answer->used, &answer->fault);
	return http_parse_response(data, len, limits, scanned, kind == RESPONSE_TO_HEAD, &answer->head, &answer->used,
	                           &answer->fault);
}

/* Parses the first `cut` bytes, then, where they were not enough, so many more each time. Each call gets a copy of
 * exactly the size, so that a sanitizer sees a read past the end, and moved, so that nothing may point into the old. */
static void parse_in_steps(enum kind kind, struct span text, size_t cut, size_t step, const struct http_limits *limits,
                           struct answer *answer)
{
	size_t scanned = 0;
	size_t len = cut;
	*answer = (struct answer){ 0 };
	for (;;) {
		answer->copy = malloc(len == 0 ? 1 : len);
		ck_assert_ptr_nonnull(answer->copy);
		memcpy(answer->copy, text.at, len);
		answer->result = parse_once(kind, answer->copy, len, limits, &scanned, answer);
		ck_assert_uint_le(scanned, len);
		if (answer->result != HTTP_MORE || len == text.len)
			return;
		free(answer->copy);
		len = len + step < text.len ? len + step : text.len;
	}
}

static void parse_whole(enum kind kind, const char *text, struct answer *answer)
{
	parse_in_steps(kind, span_of(text), strlen(text), 1, &http_limits_default, answer);
}

static void ck_same(const struct answer *a, const struct answer *b, size_t cut)
{
	ck_assert_msg(a->result == b->result, "cut at %zu: %d, not %d", cut, b->result, a->result);
	if (a->result == HTTP_BAD) {
		ck_assert_int_eq(a->fault.status, b->fault.status);
		ck_assert_str_eq(a->fault.text, b->fault.text);
	}
	if (a->result != HTTP_DONE)
		return;
	ck_assert_uint_eq(a->used, b->used);
	ck_assert_uint_eq(a->head.header_count, b->head.header_count);
	for (unsigned i = 0; i < a->head.header_count; i++) {
		ck_assert(span_equal(a->head.headers[i].name, b->head.headers[i].name));
		ck_assert(span_equal(a->head.headers[i].value, b->head.headers[i].value));
	}
	ck_assert(span_equal(a->head.method, b->head.method) && span_equal(a->head.target, b->head.target));
	ck_assert(a->head.body == b->head.body && a->head.content_length == b->head.content_length);
	ck_assert(a->head.keep_alive == b->head.keep_alive && a->head.status == b->head.status);
}

/* Any cut, and byte by byte, gives the same. */
static void ck_split_invariant(enum kind kind, struct span text, const struct http_limits *limits)
{
	struct answer whole, parts;
	parse_in_steps(kind, text, text.len, 1, limits, &whole);
	for (size_t cut = 0; cut < text.len; cut++) {
		parse_in_steps(kind, text, cut, text.len, limits, &parts);
		ck_same(&whole, &parts, cut);
		free(parts.copy);
	}
	parse_in_steps(kind, text, 0, 1, limits, &parts);
	ck_same(&whole, &parts, 0);
	free(parts.copy);
	free(whole.copy);
}

START_TEST(the_table_of_requests)
{
	for (size_t i = 0; i < COUNT_OF(request_cases); i++) {
		const struct request_case *row = &request_cases[i];
		struct answer answer;
		parse_in_steps(REQUEST, row->text, row->text.len, 1, &http_limits_default, &answer);
		ck_assert_msg(answer.result == (row->status == 0 ? HTTP_DONE : HTTP_BAD), "row %zu: %.*s: result %d (%s)", i,
		              (int)row->text.len, row->text.at, answer.result,
		              answer.result == HTTP_BAD ? answer.fault.text : "");
		ck_assert_msg(row->status == 0 || row->status == answer.fault.status, "row %zu: %.*s: status %d", i,
		              (int)row->text.len, row->text.at, answer.fault.status);
		ck_assert(answer.result != HTTP_DONE || answer.used == row->text.len);
		free(answer.copy);
	}
}
END_TEST

START_TEST(no_split_changes_a_request)
{
	for (size_t i = 0; i < COUNT_OF(request_cases); i++)
		ck_split_invariant(REQUEST, request_cases[i].text, &http_limits_default);
}
END_TEST

START_TEST(a_request_is_read_in_all_its_parts)
{
	struct answer answer;
	parse_whole(REQUEST,
	            "\r\nPOST /v1/chat?a=1?b HTTP/1.1\r\nHost: localhost:8080\r\nX-Empty:\r\nx-a: \t one two \t\r\n"
	            "X-A: 2\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\nGET / HTTP/1.1",
	            &answer);
	ck_assert_int_eq(answer.result, HTTP_DONE);
	const struct http_head *head = &answer.head;
	ck_span_is(head->method, "POST");
	ck_span_is(head->target, "/v1/chat?a=1?b");
	ck_span_is(head->path, "/v1/chat");
	ck_span_is(head->query, "a=1?b");
	ck_assert_int_eq(head->minor_version, 1);
	ck_assert_uint_eq(head->header_count, 6);
	ck_span_is(head->headers[1].name, "X-Empty");
	ck_span_is(head->headers[1].value, "");
	ck_span_is(http_header_value(head, "X-a"), "one two");
	ck_assert_ptr_null(http_header_value(head, "X-B").at);
	ck_assert_ptr_nonnull(http_header_value(head, "x-empty").at);
	ck_assert_int_eq(head->body, HTTP_BODY_LENGTH);
	ck_assert_uint_eq(head->content_length, 12);
	ck_assert(head->keep_alive && head->expect_continue);
	ck_assert_int_eq(memcmp(answer.copy + answer.used, "GET /", 5), 0);
	free(answer.copy);
}
END_TEST

START_TEST(absolute_targets_become_paths)
{
	struct answer answer;
	parse_whole(REQUEST, "GET http://h:1/a?b HTTP/1.1\r\nHost: H:1\r\n\r\n", &answer);
	ck_assert_int_eq(answer.result, HTTP_DONE);
	ck_span_is(answer.head.target, "/a?b");
	ck_span_is(answer.head.path, "/a");
	ck_span_is(answer.head.query, "b");
	free(answer.copy);
	parse_whole(REQUEST, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &answer);
	ck_span_is(answer.head.path, "*");
	ck_span_is(answer.head.query, "");
	free(answer.copy);
}
END_TEST

START_TEST(connections_are_kept_or_not)
{
	static const struct {
		const char *text;
		bool keep_alive;
		bool expect_continue;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false, false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: x ,\tCLOSE, y\r\n\r\n", false, false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false, false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", true, false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: ,,\r\n\r\n", true, false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", true, true },
		{ "GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", true, false },
		{ "GET / HTTP/1.0\r\n\r\n", false, false },
		{ "GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", false, false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, false },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct answer answer;
		parse_whole(REQUEST, rows[i].text, &answer);
		ck_assert_int_eq(answer.result, HTTP_DONE);
		ck_assert_msg(answer.head.keep_alive == rows[i].keep_alive, "%s", rows[i].text);
		ck_assert_msg(answer.head.expect_continue == rows[i].expect_continue, "%s", rows[i].text);
		free(answer.copy);
	}
}
END_TEST

static struct http_fault limit_fault(enum kind kind, const char *text, const struct http_limits *limits)
{
	struct answer answer;
	parse_in_steps(kind, span_of(text), strlen(text), 1, limits, &answer);
	ck_split_invariant(kind, span_of(text), limits);
	free(answer.copy);
	return answer.result == HTTP_BAD ? answer.fault : (struct http_fault){ 0, "" };
}

START_TEST(limits_are_inclusive)
{
	static const char text[] =
		"GET /abcdefghi HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"; /* a target of 10 bytes, 2 headers */
	const size_t len = sizeof(text) - 1;
	struct http_limits limits = { .head_bytes = len, .target_bytes = 10, .headers = 2 };
	ck_assert_int_eq(limit_fault(REQUEST, text, &limits).status, 0);
	/* Empty lines before it are not part of the head. */
	ck_assert_int_eq(limit_fault(REQUEST, "\r\n\r\nGET /abcdefghi HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n", &limits).status,
	                 0);
	limits.head_bytes = len - 1;
	ck_assert_int_eq(limit_fault(REQUEST, text, &limits).status, 431);
	limits.head_bytes = len;
	limits.target_bytes = 9;
	ck_assert_int_eq(limit_fault(REQUEST, text, &limits).status, 414);
	/* Both over: the target is to blame, as long as it is seen to be. */
	limits.head_bytes = 14;
	ck_assert_int_eq(limit_fault(REQUEST, text, &limits).status, 414);
	limits.head_bytes = 13;
	ck_assert_int_eq(limit_fault(REQUEST, text, &limits).status, 431);
	limits = (struct http_limits){ .head_bytes = 1000, .target_bytes = 10, .headers = 1 };
	ck_assert_int_eq(limit_fault(REQUEST, text, &limits).status, 431);
	limits = (struct http_limits){ .head_bytes = 30, .target_bytes = 10, .headers = 100 };
	ck_assert_int_eq(limit_fault(RESPONSE, "HTTP/1.1 200 OK\r\nX: 0123456789\r\n\r\n", &limits).status, 502);
}
END_TEST

START_TEST(large_heads_are_refused_by_the_default_limits)
{
	struct bytes text = { 0 };
	struct answer answer;
	/* A header of 70 KB; no end in sight. */
	bytes_append_text(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
	while (text.len < 70000)
		bytes_append_text(&text, "0123456789");
	parse_in_steps(REQUEST, bytes_span(&text), 0, 4000, &http_limits_default, &answer);
	ck_assert_int_eq(answer.result, HTTP_BAD);
	ck_assert_int_eq(answer.fault.status, 431);
	free(answer.copy);
	/* 3,000 headers, then 101, then 100. */
	static const struct {
		int headers;
		int status;
	} rows[] = { { 3000, 431 }, { 101, 431 }, { 100, 0 } };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bytes_clear(&text);
		bytes_append_text(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
		for (int j = 1; j < rows[i].headers; j++)
			bytes_append_text(&text, "a:b\r\n");
		bytes_append_text(&text, "\r\n");
		parse_in_steps(REQUEST, bytes_span(&text), text.len, 1, &http_limits_default, &answer);
		ck_assert_int_eq(answer.result, rows[i].status == 0 ? HTTP_DONE : HTTP_BAD);
		ck_assert_int_eq(answer.result == HTTP_BAD ? answer.fault.status : 0, rows[i].status);
		free(answer.copy);
	}
	bytes_fini(&text);
}
END_TEST

START_TEST(a_limit_above_the_array_is_cut_to_it)
{
	struct bytes text = { 0 };
	bytes_append_text(&text, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX + 1; i++)
		bytes_append_text(&text, "a:b\r\n");
	bytes_append_text(&text, "\r\n");
	const struct http_limits limits = { .head_bytes = 100000, .target_bytes = 10, .headers = 100000 };
	struct answer answer;
	parse_in_steps(RESPONSE, bytes_span(&text), text.len, 1, &limits, &answer);
	ck_assert_int_eq(answer.result, HTTP_BAD);
	free(answer.copy);
	bytes_fini(&text);
}
END_TEST

static const struct response_case {
	const char *text;
	enum kind kind;
	bool is_good;
	int status;
	enum http_body_kind body;
	uint64_t content_length;
	bool keep_alive;
} response_cases[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH, 5, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH, 0, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_CHUNKED, 0, true },
	{ "HTTP/1.1 200 OK\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_UNTIL_CLOSE, 0, false },
	{ "HTTP/1.0 200 OK\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_UNTIL_CLOSE, 0, false },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH, 5, false },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH,
	  5, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH, 5,
	  false },
	{ "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH, 5, true },
	{ "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 200, HTTP_BODY_LENGTH, 5, true },
	{ "HTTP/1.1 599 \tA \xc3\xa9\r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 599, HTTP_BODY_LENGTH, 5, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", RESPONSE_TO_HEAD, true, 200, HTTP_BODY_NONE, 5, true },
	{ "HTTP/1.1 200 OK\r\n\r\n", RESPONSE_TO_HEAD, true, 200, HTTP_BODY_NONE, 0, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE_TO_HEAD, true, 200, HTTP_BODY_NONE, 0, true },
	{ "HTTP/1.1 100 Continue\r\n\r\n", RESPONSE, true, 100, HTTP_BODY_NONE, 0, true },
	{ "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", RESPONSE, true, 103, HTTP_BODY_NONE, 0, true },
	{ "HTTP/1.1 204 No Content\r\n\r\n", RESPONSE, true, 204, HTTP_BODY_NONE, 0, true },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", RESPONSE, true, 204, HTTP_BODY_NONE, 0, true },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 204, HTTP_BODY_NONE, 5, false },
	{ "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE, true, 204, HTTP_BODY_NONE, 0, false },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", RESPONSE, true, 304, HTTP_BODY_NONE, 5, true },
	/* ---- refused ---- */
	{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", RESPONSE },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 OK\nContent-Length: 5\n\n", RESPONSE },
	{ "HTTP/1.1 200 O\rK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200 O\x01K\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 200OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 20 OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 2000 OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 099 OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 600 OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1 +20 OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1  200 OK\r\n\r\n", RESPONSE },
	{ "HTTP/1.1\r\n\r\n", RESPONSE },
	{ "HTTP/1.2 200 OK\r\n\r\n", RESPONSE },
	{ "HTTP/2 200 OK\r\n\r\n", RESPONSE },
	{ "H\r\n\r\n", RESPONSE },
	{ "\r\nHTTP/1.1 200 OK\r\n\r\n", RESPONSE },
	{ "ICY 200 OK\r\n\r\n", RESPONSE },
	{ "<html>", RESPONSE },
};

START_TEST(the_table_of_responses)
{
	for (size_t i = 0; i < COUNT_OF(response_cases); i++) {
		const struct response_case *row = &response_cases[i];
		struct answer answer;
		parse_whole(row->kind, row->text, &answer);
		ck_assert_msg(answer.result == (row->is_good ? HTTP_DONE : HTTP_BAD), "row %zu: %s", i, row->text);
		if (row->is_good) {
			ck_assert_int_eq(answer.head.status, row->status);
			ck_assert_msg(answer.head.body == row->body, "row %zu: %s", i, row->text);
			ck_assert_uint_eq(answer.head.content_length, row->content_length);
			ck_assert_msg(answer.head.keep_alive == row->keep_alive, "row %zu: %s", i, row->text);
			ck_assert_uint_eq(answer.used, strlen(row->text));
		} else {
			ck_assert_int_eq(answer.fault.status, 502);
		}
		free(answer.copy);
		ck_split_invariant(row->kind, span_of(row->text), &http_limits_default);
	}
}
END_TEST

START_TEST(every_control_byte_is_refused_at_every_place)
{
	/* The fast scan looks at 16 bytes at a time: each place of a block, and the rest behind the last whole one. */
	char text[] = "GET /x HTTP/1.1\r\nHost: h\r\nX: 0123456789abcdef0123456789abcdef\r\n\r\n";
	const size_t len = sizeof(text) - 1;
	for (int byte = 0; byte < 128; byte++) {
		if ((byte >= ' ' && byte < 127) || byte == '\t')
			continue;
		for (size_t place = 0; place < len; place++) {
			const char kept = text[place];
			if (kept == byte)
				continue;
			text[place] = (char)byte;
			struct answer answer;
			parse_in_steps(REQUEST, (struct span){ text, len }, len, 1, &http_limits_default, &answer);
			ck_assert_msg(answer.result == HTTP_BAD, "byte %d at %zu", byte, place);
			free(answer.copy);
			text[place] = kept;
		}
	}
}
END_TEST

START_TEST(status_codes_have_texts)
{
	ck_assert_str_eq(http_status_text(200), "OK");
	ck_assert_str_eq(http_status_text(429), "Too Many Requests");
	ck_assert_str_eq(http_status_text(505), "HTTP Version Not Supported");
	ck_assert_str_eq(http_status_text(299), "Unknown");
	ck_assert_str_eq(http_status_text(-1), "Unknown");
}
END_TEST

UNIT_MAIN("http/http_parse", the_table_of_requests, no_split_changes_a_request, a_request_is_read_in_all_its_parts,
          absolute_targets_become_paths, connections_are_kept_or_not, limits_are_inclusive,
          large_heads_are_refused_by_the_default_limits, a_limit_above_the_array_is_cut_to_it, the_table_of_responses,
          every_control_byte_is_refused_at_every_place, status_codes_have_texts)
