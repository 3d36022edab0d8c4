/* Chunked bodies: a byte-wise machine for the lines, whole pieces for the payload.
 *
 * Strict where recipients are known to differ: no blanks around a size, no sign or prefix, CR LF everywhere, and
 * trailers that look like headers. */
#include "http/http_parse.h"

#include "http/http_bytes.h"

#define SIZE_LINE_MAX 256
#define TRAILERS_MAX 8192
#define DIGITS_MAX 15 /* sizes below 2^60 */

enum {
	STATE_SIZE,
	STATE_EXTENSION,
	STATE_SIZE_LF,
	STATE_DATA,
	STATE_DATA_CR,
	STATE_DATA_LF,
	STATE_TRAILER_START,
	STATE_TRAILER_NAME,
	STATE_TRAILER_VALUE,
	STATE_TRAILER_LF,
	STATE_END_LF,
	STATE_DONE,
	STATE_BAD
};

void http_chunked_init(struct http_chunked *chunked)
{
	*chunked = (struct http_chunked){ .state = STATE_SIZE };
}

/* Each step takes one byte and returns NULL, or what is wrong with the byte. */

static const char *step_size(struct http_chunked *chunked, char byte)
{
	const int value = http_hex_value(byte);
	if (value >= 0) {
		if (chunked->digits == DIGITS_MAX)
			return "a chunk size is too large";
		chunked->digits++;
		chunked->chunk_left = chunked->chunk_left << 4 | (uint64_t)value;
		return NULL;
	}
	if (chunked->digits == 0 || (byte != ';' && byte != '\r'))
		return "a malformed chunk size";
	chunked->state = byte == ';' ? STATE_EXTENSION : STATE_SIZE_LF;
	return NULL;
}

static const char *step_extension(struct http_chunked *chunked, char byte)
{
	if (byte == '\r')
		chunked->state = STATE_SIZE_LF;
	else if (http_is_control(byte))
		return "a control byte in a chunk extension";
	return NULL;
}

static const char *step_trailer(struct http_chunked *chunked, char byte)
{
	if (byte == '\r' && chunked->state != STATE_TRAILER_NAME)
		chunked->state = chunked->state == STATE_TRAILER_START ? STATE_END_LF : STATE_TRAILER_LF;
	else if (chunked->state == STATE_TRAILER_VALUE)
		return http_is_control(byte) ? "a control byte in a trailer" : NULL;
	else if (http_is(byte, HTTP_TOKEN))
		chunked->state = STATE_TRAILER_NAME;
	else if (byte == ':' && chunked->state == STATE_TRAILER_NAME)
		chunked->state = STATE_TRAILER_VALUE;
	else
		return "a malformed trailer";
	return NULL;
}

static const char *expect(struct http_chunked *chunked, char byte, char wanted, uint8_t next)
{
	if (byte != wanted)
		return "a chunk line does not end in CR LF";
	chunked->state = next;
	return NULL;
}

static const char *step(struct http_chunked *chunked, char byte)
{
	const char *problem = NULL;
	switch (chunked->state) {
	case STATE_SIZE:
		problem = step_size(chunked, byte);
		break;
	case STATE_EXTENSION:
		problem = step_extension(chunked, byte);
		break;
	case STATE_SIZE_LF:
		chunked->line_bytes = 0;
		return expect(chunked, byte, '\n', chunked->chunk_left > 0 ? STATE_DATA : STATE_TRAILER_START);
	case STATE_DATA_CR:
		return expect(chunked, byte, '\r', STATE_DATA_LF);
	case STATE_DATA_LF:
		chunked->digits = 0;
		return expect(chunked, byte, '\n', STATE_SIZE);
	case STATE_TRAILER_LF:
		problem = expect(chunked, byte, '\n', STATE_TRAILER_START);
		break;
	case STATE_END_LF:
		problem = expect(chunked, byte, '\n', STATE_DONE);
		break;
	default:
		problem = step_trailer(chunked, byte);
		break;
	}
	const bool in_line = chunked->state <= STATE_SIZE_LF;
	/* The CR that ends a size line is not part of its length. */
	chunked->line_bytes += chunked->state != STATE_SIZE_LF;
	if (problem == NULL && chunked->line_bytes > (in_line ? SIZE_LINE_MAX : TRAILERS_MAX))
		problem = in_line ? "a chunk extension is too long" : "the trailers are too large";
	return problem;
}

enum http_result http_chunked_feed(struct http_chunked *chunked, const char *data, size_t len, size_t *used,
                                   struct span *payload, struct http_fault *fault)
{
	*payload = (struct span){ 0 };
	*used = 0;
	while (*used < len && chunked->state < STATE_DONE) {
		if (chunked->state == STATE_DATA) {
			const size_t left = len - *used;
			payload->at = data + *used;
			payload->len = chunked->chunk_left < left ? (size_t)chunked->chunk_left : left;
			*used += payload->len;
			chunked->chunk_left -= payload->len;
			if (chunked->chunk_left == 0)
				chunked->state = STATE_DATA_CR;
			return HTTP_MORE;
		}
		const char *problem = step(chunked, data[*used]);
		if (problem != NULL) {
			chunked->state = STATE_BAD;
			*fault = (struct http_fault){ 400, problem };
			return HTTP_BAD;
		}
		(*used)++;
	}
	if (chunked->state == STATE_BAD) {
		*fault = (struct http_fault){ 400, "the body was malformed before" };
		return HTTP_BAD;
	}
	return chunked->state == STATE_DONE ? HTTP_DONE : HTTP_MORE;
}
