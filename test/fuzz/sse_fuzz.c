/* Event streams: any split gives the same events, and their raw bytes one after the other are the stream. */
#include "http/sse.h"

#include "fuzz.h"

#define LIMIT_BYTES 200

struct reading {
	struct bytes events; /* name, data and kind of each, with marks between that no field can hold */
	struct bytes raw;
	enum error error;
	size_t pending;
};

static void note_event(struct reading *reading, const struct sse_event *event)
{
	MUST(event->raw.len > 0 && event->raw.len <= LIMIT_BYTES);
	MUST(!event->is_comment || (event->name.len == 0 && event->data.len == 0));
	MUST(span_find(event->name, '\n') == event->name.len && span_find(event->data, '\r') == event->data.len);
	bytes_append_span(&reading->raw, event->raw);
	bytes_append_span(&reading->events, event->name);
	bytes_append_text(&reading->events, event->is_comment ? "\rc\r" : "\re\r");
	bytes_append_span(&reading->events, event->data);
	bytes_append_text(&reading->events, "\r");
}

static void read_stream(const char *data, size_t len, size_t step, struct reading *reading)
{
	struct sse sse;
	sse_init(&sse, LIMIT_BYTES);
	*reading = (struct reading){ 0 };
	for (size_t done = 0; done < len && reading->error == OK; done += step) {
		const size_t piece_len = len - done < step ? len - done : step;
		char *copy = exact_copy(data + done, piece_len);
		const char *at = copy;
		size_t left = piece_len;
		bool complete = true;
		while (complete && reading->error == OK) {
			struct sse_event event;
			reading->error = sse_feed(&sse, &at, &left, &complete, &event);
			if (complete)
				note_event(reading, &event);
		}
		MUST(at + left == copy + piece_len && (left == 0 || reading->error == ERROR_LIMIT));
		free(copy);
	}
	reading->pending = sse_pending(&sse);
	if (!sse.completed)
		bytes_append_span(&reading->raw, bytes_span(&sse.raw));
	MUST(reading->pending <= reading->raw.len);
	sse_fini(&sse);
}

static void check_same(const struct reading *a, const struct reading *b)
{
	MUST(a->error == b->error && span_equal(bytes_span(&a->events), bytes_span(&b->events)));
	/* After an error the unfinished event may hold more or less of its last line. */
	MUST(a->error != OK || (a->pending == b->pending && span_equal(bytes_span(&a->raw), bytes_span(&b->raw))));
}

static void reading_fini(struct reading *reading)
{
	bytes_fini(&reading->events);
	bytes_fini(&reading->raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	const size_t len = size - 1;
	struct reading whole, parts;
	read_stream(text, len, len + 1, &whole);
	MUST(whole.error != OK || span_equal(bytes_span(&whole.raw), (struct span){ text, len }));
	read_stream(text, len, data[0] % 19 + 1, &parts);
	check_same(&whole, &parts);
	reading_fini(&parts);
	read_stream(text, len, 1, &parts);
	check_same(&whole, &parts);
	reading_fini(&parts);
	reading_fini(&whole);
	return 0;
}
