/* What the request and the response target share: a head parsed at once, in two parts and byte by byte is the same head,
 * lies inside its input, and is found again when nothing else follows it. */
#ifndef PENSTOCK_TEST_FUZZ_HEAD_H
#define PENSTOCK_TEST_FUZZ_HEAD_H

#include "fuzz.h"
#include "http/http_parse.h"

/* Small enough for the fuzzer to reach. */
static const struct http_limits fuzz_limits = { .head_bytes = 600, .target_bytes = 60, .headers = 12 };

struct head_answer {
	char *copy; /* what the spans point into */
	size_t len;
	enum http_result result;
	size_t used;
	struct http_fault fault;
	struct http_head head;
};

typedef enum http_result (*parse_head)(const char *data, size_t len, size_t *scanned, struct head_answer *answer);

/* Feeds `cut` bytes, then `step` more each time, while more is wanted. Free answer->copy. */
static inline void answer_head(parse_head parse, const char *data, size_t len, size_t cut, size_t step,
                               struct head_answer *answer)
{
	size_t scanned = 0;
	memset(answer, 0, sizeof(*answer));
	for (size_t end = cut;; end = len - end > step ? end + step : len) {
		answer->copy = exact_copy(data, end);
		answer->len = end;
		answer->result = parse(answer->copy, end, &scanned, answer);
		MUST(scanned <= end);
		if (answer->result != HTTP_MORE || end == len)
			return;
		free(answer->copy);
	}
}

static inline void check_same_head(const struct head_answer *a, const struct head_answer *b)
{
	MUST(a->result == b->result);
	if (a->result == HTTP_BAD) {
		MUST(a->fault.status == b->fault.status && strcmp(a->fault.text, b->fault.text) == 0);
		MUST(a->fault.status >= 400 && a->fault.status < 600);
	}
	if (a->result != HTTP_DONE)
		return;
	MUST(a->used == b->used && a->head.header_count == b->head.header_count);
	MUST(span_equal(a->head.method, b->head.method) && span_equal(a->head.target, b->head.target));
	MUST(span_equal(a->head.path, b->head.path) && span_equal(a->head.query, b->head.query));
	MUST(a->head.body == b->head.body && a->head.content_length == b->head.content_length);
	MUST(a->head.keep_alive == b->head.keep_alive && a->head.status == b->head.status);
	for (unsigned i = 0; i < a->head.header_count; i++) {
		MUST(span_equal(a->head.headers[i].name, b->head.headers[i].name));
		MUST(span_equal(a->head.headers[i].value, b->head.headers[i].value));
	}
}

/* What a head promises to those who pass it on: no byte in it can end a line, a name or a request line. */
static inline void check_clean(struct span text, const char *forbidden)
{
	for (size_t i = 0; i < text.len; i++) {
		const unsigned char byte = (unsigned char)text.at[i];
		MUST((byte >= 0x20 || byte == '\t') && byte != 0x7f && strchr(forbidden, byte) == NULL);
	}
}

static inline void check_head(const struct head_answer *answer)
{
	const struct http_head *head = &answer->head;
	MUST(answer->used <= answer->len && head->header_count <= fuzz_limits.headers);
	MUST(head->target.len <= fuzz_limits.target_bytes);
	MUST(is_inside(head->method, answer->copy, answer->used) && is_inside(head->target, answer->copy, answer->used));
	MUST(is_inside(head->path, answer->copy, answer->used) && is_inside(head->query, answer->copy, answer->used));
	check_clean(head->method, " \t");
	check_clean(head->target, " \t#\\");
	unsigned framing_headers = 0;
	for (unsigned i = 0; i < head->header_count; i++) {
		const struct http_header *header = &head->headers[i];
		MUST(header->name.len > 0 && is_inside(header->name, answer->copy, answer->used));
		MUST(is_inside(header->value, answer->copy, answer->used));
		check_clean(header->name, " \t:");
		check_clean(header->value, "");
		MUST(span_equal(span_trim(header->value), header->value));
		framing_headers += span_equal_nocase(header->name, SPAN("Content-Length"));
		framing_headers += span_equal_nocase(header->name, SPAN("Transfer-Encoding"));
	}
	MUST(framing_headers <= 1);
	MUST(head->body != HTTP_BODY_LENGTH || framing_headers == 1);
}

static inline void check_splits(parse_head parse, const uint8_t *data, size_t size)
{
	/* The first byte chooses the cut, so that it varies with the input. */
	const size_t choice = size > 0 ? data[0] : 0;
	const char *text = (const char *)data + (size > 0);
	const size_t len = size - (size > 0);
	static struct head_answer whole, parts; /* large */
	answer_head(parse, text, len, len, 1, &whole);
	if (whole.result == HTTP_DONE)
		check_head(&whole);
	answer_head(parse, text, len, len == 0 ? 0 : choice % len, len, &parts);
	check_same_head(&whole, &parts);
	free(parts.copy);
	answer_head(parse, text, len, 0, 1, &parts);
	check_same_head(&whole, &parts);
	free(parts.copy);
	if (whole.result == HTTP_DONE) {
		answer_head(parse, text, whole.used, whole.used, 1, &parts);
		check_same_head(&whole, &parts);
		free(parts.copy);
		answer_head(parse, text, whole.used - 1, whole.used - 1, 1, &parts);
		MUST(parts.result == HTTP_MORE);
		free(parts.copy);
	}
	free(whole.copy);
}

#endif
