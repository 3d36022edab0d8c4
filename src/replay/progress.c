/* How it goes: one line that is written anew on a terminal, a line every ten seconds elsewhere. On standard error: results are on standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "replay/quantity.h"
#include "replay/run_parts.h"

#define SHOW_NS (250 * NS_PER_MS)
#define SHOW_PLAIN_NS (10 * NS_PER_S)
#define RECENT_NS (10 * NS_PER_S)

static int by_value(const void *left, const void *right)
{
	const int64_t a = *(const int64_t *)left;
	const int64_t b = *(const int64_t *)right;
	return (a > b) - (a < b);
}

/* The p95 of the first tokens of the last seconds; -1 = there were none. */
static int64_t recent_p95_ns(const struct run *run, int64_t now_ns)
{
	int64_t values[RECENT_TTFTS];
	size_t count = 0;
	for (size_t i = 0; i < RECENT_TTFTS && i < run->recent_count; i++) {
		if (now_ns - run->recent[i].at_ns < RECENT_NS)
			values[count++] = run->recent[i].ttft_ns;
	}
	if (count == 0)
		return -1;
	qsort(values, count, sizeof(*values), by_value);
	return values[(count * 95 - 1) / 100];
}

static void write_line(const struct run *run, int64_t now_ns, struct bytes *out)
{
	const struct workload *workload = run->workload;
	const double total_s = workload->count ? (double)workload->rows[workload->count - 1].at_ns / 1e9 : 0;
	const double elapsed_s = (double)(now_ns - run->start_ns) / 1e9;
	bytes_printf(out, "%.0f/%.0f s  sent %zu/%zu  in flight %u  refused %llu  failed %llu",
	             elapsed_s > 0 ? elapsed_s : 0, total_s, run->result->sent, workload->count, run->in_flight,
	             (unsigned long long)run->refused, (unsigned long long)run->failed);
	const int64_t p95_ns = recent_p95_ns(run, now_ns);
	if (p95_ns >= 0) {
		bytes_append_literal(out, "  TTFT p95 ");
		quantity_write_duration(out, p95_ns);
	}
	if (run->eligible && run->settings->goal.count)
		bytes_printf(out, "  promise %.1f %%", 100 * (double)run->met / (double)run->eligible);
	else if (run->gate > run->next_row)
		bytes_append_literal(out, "  warming up");
}

void progress_show(struct run *run, int64_t now_ns, bool is_last)
{
	if (run->settings->is_quiet || (now_ns < run->progress_at_ns && !is_last))
		return;
	const bool is_first = run->progress_at_ns == 0;
	run->progress_at_ns = now_ns + (run->is_terminal ? SHOW_NS : SHOW_PLAIN_NS);
	if (!run->is_terminal && is_first)
		return;
	struct bytes line = { 0 };
	if (run->is_terminal)
		bytes_append_literal(&line, "\r");
	write_line(run, now_ns, &line);
	bytes_append_text(&line, !run->is_terminal ? "\n" : is_last ? "\x1b[K\n" : "\x1b[K");
	fwrite(line.data, 1, line.len, stderr);
	fflush(stderr);
	bytes_fini(&line);
}
