/* Workloads from text, for the tests of this folder. */
#ifndef PENSTOCK_TEST_WORKLOADS_H
#define PENSTOCK_TEST_WORKLOADS_H

#include "unit.h"

#include "base/clock.h"
#include "replay/readers.h"
#include "replay/shape.h"
#include "replay/synthetic.h"

static inline struct workload *read_text(const char *text, const struct reader_settings *settings)
{
	static const struct reader_settings plain = { .seed = 1, .to_ns = NS_NEVER, .scale = 1 };
	struct workload *workload = NULL;
	struct lines *lines = NULL;
	struct bytes fault = { 0 };
	ck_error_is(workload_new(&workload), OK);
	ck_error_is(lines_open_text(span_of(text), &lines), OK);
	ck_assert_msg(readers_read(lines, settings ? settings : &plain, workload, &fault) == OK, "%s", bytes_text(&fault));
	lines_close(&lines);
	bytes_fini(&fault);
	return workload;
}

static inline struct workload *draw(const char *spec, uint64_t seed)
{
	struct workload *workload = NULL;
	struct bytes fault = { 0 };
	ck_error_is(workload_new(&workload), OK);
	ck_assert_msg(synthetic_make(span_of(spec), seed, workload, &fault) == OK, "%s", bytes_text(&fault));
	bytes_fini(&fault);
	return workload;
}

/* read + copied = to send + dropped */
static inline void check_counts(const struct workload *workload)
{
	uint64_t dropped = 0;
	for (size_t i = 0; i < DROP_COUNT; i++)
		dropped += workload->dropped[i];
	ck_assert_uint_eq(workload->read_rows + workload->copied, workload->count + dropped);
}

static const struct shape_settings shape_plain = { .speed = 1, .scale = 1, .to_ns = NS_NEVER, .seed = 1 };

#endif
