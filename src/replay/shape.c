#include "replay/shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"

/* A copy comes at most this much after its original, in the trace's time. */
#define COPY_GAP_NS_MAX (1 * NS_PER_S)

static void take_window(struct workload *workload, const struct shape_settings *settings)
{
	if (workload->count == 0)
		return;
	/* What is drawn for a window has the window's times already. */
	const int64_t first_ns = workload->is_scaled ? 0 : workload->rows[0].at_ns;
	size_t kept = 0;
	for (size_t i = 0; i < workload->count; i++) {
		struct workload_row row = workload->rows[i];
		row.at_ns -= first_ns;
		if (row.at_ns < settings->from_ns)
			workload_drop(workload, DROP_BEFORE);
		else if (row.at_ns >= settings->to_ns)
			workload_drop(workload, DROP_AFTER);
		else
			workload->rows[kept++] = row;
	}
	workload->count = kept;
	/* A window starts at its edge, a whole trace with its first request. */
	const int64_t start_ns = settings->from_ns || workload->is_scaled ? settings->from_ns : 0;
	for (size_t i = 0; i < kept; i++)
		workload->rows[i].at_ns -= start_ns;
}

static void cap_gaps(struct workload *workload, int64_t gap_ns)
{
	int64_t before_ns = 0;
	int64_t cut_ns = 0;
	uint64_t caps = 0;
	for (size_t i = 0; gap_ns && i < workload->count; i++) {
		const int64_t at_ns = workload->rows[i].at_ns;
		if (at_ns - before_ns > gap_ns) {
			cut_ns += at_ns - before_ns - gap_ns;
			caps++;
		}
		before_ns = at_ns;
		workload->rows[i].at_ns = at_ns - cut_ns;
	}
	if (caps)
		workload_note(workload, "%llu silences were cut to %.1f s of the trace: %.0f s of it left out",
		              (unsigned long long)caps, (double)gap_ns / 1e9, (double)cut_ns / 1e9);
}

/* The same coin for the same thing in every run: whole sessions are kept or left, not halves of them. */
static double coin(uint64_t seed, uint64_t what)
{
	struct random random;
	random_seed(&random, seed ^ (what * UINT64_C(0x9e3779b97f4a7c15)));
	return random_unit(&random);
}

static double coin_of_row(const struct workload_row *row, uint64_t seed)
{
	return coin(seed, row->session ? row->session : UINT64_C(0x100000000) + row->order);
}

static void thin(struct workload *workload, const struct shape_settings *settings)
{
	size_t kept = 0;
	for (size_t i = 0; i < workload->count; i++) {
		if (coin_of_row(&workload->rows[i], settings->seed) < settings->scale)
			workload->rows[kept++] = workload->rows[i];
		else
			workload_drop(workload, DROP_THINNED);
	}
	workload->count = kept;
}

static int by_value(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left;
	const uint64_t b = *(const uint64_t *)right;
	return (a > b) - (a < b);
}

/* The ids that stand in more than one place, sorted; *count of them. NULL where memory is full. */
static uint64_t *find_shared(const struct workload *workload, size_t *count)
{
	uint64_t *ids = calloc(workload->piece_count + 1, sizeof(*ids));
	*count = 0;
	if (!ids)
		return NULL;
	for (size_t i = 0; i < workload->piece_count; i++)
		ids[i] = workload->piece_list[i].id;
	qsort(ids, workload->piece_count, sizeof(*ids), by_value);
	for (size_t i = 0; i < workload->piece_count;) {
		size_t end = i + 1;
		while (end < workload->piece_count && ids[end] == ids[i])
			end++;
		if (end - i > 1)
			ids[(*count)++] = ids[i];
		i = end;
	}
	return ids;
}

/* A copy's pieces: those that the trace shares stay shared; one that stands once in it would only be shared with its own copy, and isn't. */
static enum error copy_pieces(struct workload *workload, const struct workload_row *row, uint64_t copy,
                              const uint64_t *shared, size_t shared_count)
{
	enum error error = OK;
	for (uint32_t i = 0; i < row->pieces && !error; i++) {
		struct workload_piece piece = workload->piece_list[row->first_piece + i];
		if (!bsearch(&piece.id, shared, shared_count, sizeof(*shared), by_value))
			piece.id ^= copy * UINT64_C(0xd6e8feb86659fd93);
		error = workload_add_piece(workload, piece.id, piece.tokens);
	}
	return error;
}

static enum error add_copies(struct workload *workload, const struct workload_row *rows, size_t count,
                             const struct shape_settings *settings, const uint64_t *shared, size_t shared_count)
{
	enum error error = OK;
	for (size_t i = 0; i < count && !error; i++) {
		const double extra = settings->scale - 1;
		const uint64_t copies =
			(uint64_t)extra + (coin_of_row(&rows[i], settings->seed) < extra - floor(extra) ? 1 : 0);
		const int64_t gap_ns =
			i + 1 < count ? (int64_t)min_ll(rows[i + 1].at_ns - rows[i].at_ns, COPY_GAP_NS_MAX) : COPY_GAP_NS_MAX / 10;
		for (uint64_t copy = 1; copy <= copies && !error; copy++) {
			struct workload_row row = rows[i];
			row.at_ns += (int64_t)(coin(settings->seed + copy, rows[i].order) * (double)gap_ns);
			row.session = row.session ? row.session ^ (copy * UINT64_C(0xd6e8feb86659fd93)) : 0;
			error = copy_pieces(workload, &rows[i], copy, shared, shared_count);
			if (!error)
				error = workload_add(workload, row);
			workload->copied++;
		}
	}
	return error;
}

static enum error multiply(struct workload *workload, const struct shape_settings *settings)
{
	if (workload->count == 0)
		return OK;
	const size_t count = workload->count;
	const bool was_unsorted = workload->was_unsorted;
	struct workload_row *rows = calloc(count + 1, sizeof(*rows));
	size_t shared_count = 0;
	uint64_t *shared = find_shared(workload, &shared_count);
	enum error error = rows && shared ? OK : ERROR_MEMORY;
	if (!error) {
		memcpy(rows, workload->rows, count * sizeof(*rows));
		error = add_copies(workload, rows, count, settings, shared, shared_count);
	}
	free(rows);
	free(shared);
	workload_sort(workload);
	workload->was_unsorted = was_unsorted;
	return error;
}

static uint32_t resized(uint32_t tokens, double size)
{
	if (size <= 0)
		return tokens;
	double length = (double)tokens * size + 0.5;
	return length < 1 ? 1 : length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
}

static void finish_rows(struct workload *workload, const struct shape_settings *settings)
{
	if (settings->limit && workload->count > settings->limit) {
		workload->dropped[DROP_LIMIT] += workload->count - settings->limit;
		workload->count = settings->limit;
	}
	struct random random;
	random_seed(&random, settings->seed);
	for (size_t i = 0; i < workload->count; i++) {
		struct workload_row *row = &workload->rows[i];
		row->at_ns = (int64_t)((double)row->at_ns / settings->speed);
		row->prompt_tokens = resized(row->prompt_tokens, settings->size);
		row->output_tokens = resized(row->output_tokens, settings->size);
		if (settings->output_tokens)
			row->output_tokens = settings->output_tokens;
		if (settings->prompt_max && row->prompt_tokens > settings->prompt_max)
			row->prompt_tokens = settings->prompt_max;
		if (random_unit(&random) < settings->cancel_share)
			row->cancel_after = 1 + (uint32_t)random_below(&random, row->output_tokens);
	}
}

enum error shape_apply(struct workload *workload, const struct shape_settings *settings)
{
	enum error error = OK;
	take_window(workload, settings);
	cap_gaps(workload, settings->idle_gap_ns);
	if (settings->scale < 1 && !workload->is_scaled)
		thin(workload, settings);
	else if (settings->scale > 1 && !workload->is_scaled)
		error = multiply(workload, settings);
	finish_rows(workload, settings);
	return error;
}
