/* A trace: whatever the file holds, what is kept is bounded, in order and accounted for. */
#include "fuzz.h"

#include "base/clock.h"
#include "replay/readers.h"
#include "replay/shape.h"

static void check_rows(const struct workload *workload)
{
	uint64_t dropped = 0;
	for (size_t i = 0; i < DROP_COUNT; i++)
		dropped += workload->dropped[i];
	MUST(workload->read_rows + workload->copied == workload->count + dropped);
	for (size_t i = 0; i < workload->count; i++) {
		const struct workload_row *row = &workload->rows[i];
		MUST(i == 0 || workload->rows[i - 1].at_ns <= row->at_ns);
		MUST(row->prompt_tokens > 0 && row->output_tokens > 0);
		MUST(row->tenant < workload->label_count && row->class < workload->label_count);
		MUST((size_t)row->first_piece + row->pieces <= workload->piece_count);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The trace format that is asked for comes first: looking would send most inputs nowhere. ServeGen's reader draws, and reads another file. */
	static const char *const formats[] = { "auto", "azure", "burstgpt", "mooncake", "ragpulse", "penstock" };
	if (size == 0)
		return 0;
	char *text = exact_copy(data + 1, size - 1);
	struct reader_settings settings = { .format = formats[data[0] % 6], .seed = 1, .to_ns = 60 * NS_PER_S, .scale = 1 };
	const struct shape_settings shape = {
		.speed = 3, .scale = data[0] % 2 ? 2.5 : 0.5, .to_ns = NS_NEVER, .idle_gap_ns = NS_PER_S, .seed = 1
	};
	struct lines *lines = NULL;
	struct workload *workload = NULL;
	struct bytes fault = { 0 };
	MUST(lines_open_text((struct span){ text, size - 1 }, &lines) == OK && workload_new(&workload) == OK);
	if (readers_read(lines, &settings, workload, &fault) == OK) {
		check_rows(workload);
		MUST(shape_apply(workload, &shape) == OK);
		check_rows(workload);
	}
	lines_close(&lines);
	workload_free(&workload);
	bytes_fini(&fault);
	free(text);
	return 0;
}
