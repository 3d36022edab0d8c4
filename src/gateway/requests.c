/* GET /requests?last=N over the loops' rings. The times are looked through first, so that only what is wanted is written. */
#include <stdlib.h>
#include <string.h>

#include "gateway/gateway_parts.h"

#define LAST_MAX 1000
#define LAST_DEFAULT 100
#define RING_MAX 4096

static bool read_last(struct span query, uint64_t *out)
{
	static const struct span name = SPAN("last=");
	*out = LAST_DEFAULT;
	if (!query.len)
		return true;
	if (!span_starts_with(query, name))
		return false;
	struct span number = { query.at + name.len, query.len - name.len };
	return span_to_u64(number, LAST_MAX, out) == OK && *out > 0;
}

static int newest_first(const void *a, const void *b)
{
	int64_t first = *(const int64_t *)a;
	int64_t second = *(const int64_t *)b;
	return (first < second) - (first > second);
}

static int by_text(const void *a, const void *b)
{
	const struct span *first = a;
	const struct span *second = b;
	size_t len = first->len < second->len ? first->len : second->len;
	return memcmp(first->at, second->at, len);
}

/* The begin of the last-th newest finished request; INT64_MAX without memory. */
static int64_t begin_of_last(struct gateway *gateway, uint64_t last)
{
	int64_t *begins = malloc(gateway->loop_count * RING_MAX * sizeof(*begins));
	size_t count = 0;
	if (!begins)
		return INT64_MAX;
	for (unsigned i = 0; i < gateway->loop_count; i++)
		count += trace_finished(gateway->loops[i].services.trace, begins + count, RING_MAX);
	qsort(begins, count, sizeof(*begins), newest_first);
	int64_t begin = count > last ? begins[last - 1] : INT64_MIN;
	free(begins);
	return begin;
}

/* Every line starts with its time: their order as texts is that of their times. */
static void append_sorted(struct bytes *lines, uint64_t last, struct bytes *out)
{
	struct span rest = bytes_span(lines);
	struct span *sorted = malloc((lines->len / 32 + 1) * sizeof(*sorted));
	size_t count = 0;
	while (sorted && rest.len) {
		size_t end = span_find(rest, '\n') + 1;
		sorted[count++] = (struct span){ rest.at, end };
		rest = (struct span){ rest.at + end, rest.len - end };
	}
	if (sorted)
		qsort(sorted, count, sizeof(*sorted), by_text);
	for (size_t i = count > last ? count - last : 0; i < count; i++)
		bytes_append_span(out, sorted[i]);
	free(sorted);
}

bool gateway_write_last_requests(struct gateway *gateway, struct span query, struct bytes *out)
{
	uint64_t last;
	struct bytes lines = { 0 };
	if (!read_last(query, &last))
		return false;
	int64_t begin_ns = begin_of_last(gateway, last);
	for (unsigned i = 0; i < gateway->loop_count; i++)
		trace_write_since(gateway->loops[i].services.trace, begin_ns, &lines);
	append_sorted(&lines, last, out);
	bytes_fini(&lines);
	return true;
}
