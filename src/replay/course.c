#include "replay/course.h"

#include <math.h>
#include <stdlib.h>

#include "base/macros.h"

/* More points than pixels say nothing more. */
#define BUCKETS_MAX 300

static size_t bucket_of(const struct course *course, int64_t at_ns)
{
	const double at = (double)at_ns / 1e9 / course->bucket_s;
	return at < 0 ? 0 : (size_t)min_ll((long long)at, (long long)course->count - 1);
}

static void count_records(const struct run_result *result, struct course *course)
{
	const double one = 1 / course->bucket_s;
	for (size_t i = 0; i < result->sent; i++) {
		const struct replay_record *record = &result->records[i];
		course->lines[COURSE_OFFERED][bucket_of(course, record->intended_ns)] += one;
		if (record->sent_ns >= 0)
			course->lines[COURSE_IN_FLIGHT][bucket_of(course, record->sent_ns)] += 1;
		if (!record->is_ended)
			continue;
		const size_t end = bucket_of(course, record->end_ns);
		const enum outcome_kind kind = outcome_kind(record->outcome);
		if (record->sent_ns >= 0)
			course->lines[COURSE_IN_FLIGHT][end] -= 1;
		course->lines[COURSE_SERVED][end] += record->outcome == OUTCOME_OK ? one : 0;
		course->lines[COURSE_REFUSED][end] += kind == OUTCOME_KIND_REFUSAL ? one : 0;
		course->lines[COURSE_FAILED][end] += kind == OUTCOME_KIND_FAILURE ? one : 0;
	}
	for (size_t i = 1; i < course->count; i++)
		course->lines[COURSE_IN_FLIGHT][i] += course->lines[COURSE_IN_FLIGHT][i - 1];
}

static int by_value(const void *left, const void *right)
{
	const int64_t a = *(const int64_t *)left;
	const int64_t b = *(const int64_t *)right;
	return (a > b) - (a < b);
}

/* Records stand in the order of their intended sends, so a bucket's are next to each other. */
static void measure_ttft(const struct run_result *result, struct course *course, int64_t *scratch)
{
	for (size_t i = 0; i < course->count; i++)
		course->lines[COURSE_TTFT_P50][i] = course->lines[COURSE_TTFT_P95][i] = NAN;
	for (size_t begin = 0; begin < result->sent;) {
		const size_t bucket = bucket_of(course, result->records[begin].intended_ns);
		size_t end = begin;
		size_t count = 0;
		for (; end < result->sent && bucket_of(course, result->records[end].intended_ns) == bucket; end++) {
			const int64_t ttft_ns = record_ttft_ns(&result->records[end]);
			if (ttft_ns >= 0)
				scratch[count++] = ttft_ns;
		}
		qsort(scratch, count, sizeof(*scratch), by_value);
		if (count) {
			course->lines[COURSE_TTFT_P50][bucket] = (double)scratch[(count * 50 - 1) / 100] / 1e9;
			course->lines[COURSE_TTFT_P95][bucket] = (double)scratch[(count * 95 - 1) / 100] / 1e9;
		}
		begin = end;
	}
}

static void take_samples(const struct run_result *result, struct course *course)
{
	for (size_t i = 0; i < course->count; i++)
		course->lines[COURSE_QUEUE][i] = course->lines[COURSE_RUNG][i] = NAN;
	for (size_t i = 0; i < result->sample_count; i++) {
		const struct run_sample *sample = &result->samples[i];
		const size_t bucket = bucket_of(course, sample->at_ns);
		if (sample->queue >= 0)
			course->lines[COURSE_QUEUE][bucket] = fmax(sample->queue, course->lines[COURSE_QUEUE][bucket]);
		if (sample->rung >= 0)
			course->lines[COURSE_RUNG][bucket] = fmax(sample->rung, course->lines[COURSE_RUNG][bucket]);
		course->has_queue |= sample->queue >= 0;
		course->has_rung |= sample->rung >= 0;
	}
}

enum error course_make(const struct run_result *result, struct course *out)
{
	const double total_s = fmax((double)result->elapsed_ns / 1e9, 1e-3);
	*out = (struct course){ .bucket_s = total_s < 20 ? 0.25 : fmax(1, ceil(total_s / BUCKETS_MAX)) };
	out->count = (size_t)ceil(total_s / out->bucket_s);
	out->count = out->count ? out->count : 1;
	int64_t *scratch = calloc(result->sent + 1, sizeof(*scratch));
	enum error error = scratch ? OK : ERROR_MEMORY;
	for (size_t i = 0; i < COURSE_LINES && !error; i++) {
		out->lines[i] = calloc(out->count, sizeof(*out->lines[i]));
		error = out->lines[i] ? OK : ERROR_MEMORY;
	}
	if (!error) {
		count_records(result, out);
		measure_ttft(result, out, scratch);
		take_samples(result, out);
	}
	free(scratch);
	return error;
}

void course_fini(struct course *course)
{
	for (size_t i = 0; i < COURSE_LINES; i++)
		free(course->lines[i]);
	*course = (struct course){ 0 };
}
