/* Chunked bodies: any split gives the same payload, and a body that was written chunked reads back as what it was. */
#include "fuzz.h"
#include "http/http_parse.h"

/* Feeds `step` bytes each time; appends the payload, and returns how the last call ended. */
static enum http_result decode(const char *data, size_t len, size_t step, struct bytes *payload, size_t *used)
{
	struct http_chunked chunked;
	http_chunked_init(&chunked);
	enum http_result result = HTTP_MORE;
	*used = 0;
	while (result == HTTP_MORE && *used < len) {
		const size_t piece_len = len - *used < step ? len - *used : step;
		char *copy = exact_copy(data + *used, piece_len);
		size_t taken;
		struct span piece;
		struct http_fault fault;
		result = http_chunked_feed(&chunked, copy, piece_len, &taken, &piece, &fault);
		MUST(taken <= piece_len && is_inside(piece, copy, taken));
		MUST(result != HTTP_MORE || taken > 0);
		bytes_append_span(payload, piece);
		free(copy);
		*used += taken;
	}
	return result;
}

static void check_splits(const char *data, size_t len, size_t step)
{
	struct bytes whole = { 0 }, parts = { 0 };
	size_t whole_used, parts_used;
	const enum http_result result = decode(data, len, len + 1, &whole, &whole_used);
	MUST(decode(data, len, step, &parts, &parts_used) == result);
	MUST(whole_used == parts_used && span_equal(bytes_span(&whole), bytes_span(&parts)));
	bytes_clear(&parts);
	MUST(decode(data, len, 1, &parts, &parts_used) == result);
	MUST(whole_used == parts_used && span_equal(bytes_span(&whole), bytes_span(&parts)));
	bytes_fini(&whole);
	bytes_fini(&parts);
}

static void check_round_trip(const char *data, size_t len, size_t step)
{
	struct bytes text = { 0 }, payload = { 0 };
	for (size_t done = 0; done < len; done += step) {
		const size_t piece_len = len - done < step ? len - done : step;
		bytes_printf(&text, "%zx\r\n", piece_len);
		bytes_append(&text, data + done, piece_len);
		bytes_append_text(&text, "\r\n");
	}
	bytes_append_text(&text, "0\r\n\r\n");
	size_t used;
	MUST(decode(text.data, text.len, step, &payload, &used) == HTTP_DONE);
	MUST(used == text.len && span_equal(bytes_span(&payload), (struct span){ data, len }));
	bytes_fini(&text);
	bytes_fini(&payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const size_t step = data[0] % 37 + 1;
	check_splits((const char *)data + 1, size - 1, step);
	check_round_trip((const char *)data + 1, size - 1, step);
	return 0;
}
