#include "replay/workload.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"

#define ROWS_MAX (64u << 20)
#define PIECES_MAX (256u << 20)
/* A grid is what leaves most gaps empty and the others at least this wide. */
#define GRID_NS_MIN (100 * NS_PER_MS)

static const char *const drop_texts[] = {
#define DROP(name, text) text,
#include "replay/drops.def"
#undef DROP
};

const char *drop_text(enum drop drop)
{
	return drop_texts[drop];
}

enum error workload_new(struct workload **out)
{
	*out = NULL;
	struct workload *workload = calloc(1, sizeof(*workload));
	if (!workload)
		return ERROR_MEMORY;
	workload->labels = calloc(WORKLOAD_LABELS_MAX, sizeof(*workload->labels));
	if (workload->labels)
		workload->labels[0] = strdup("");
	if (!workload->labels || !workload->labels[0]) {
		workload_free(&workload);
		return ERROR_MEMORY;
	}
	workload->label_count = 1;
	*out = workload;
	return OK;
}

void workload_free(struct workload **slot)
{
	struct workload *workload = *slot;
	if (!workload)
		return;
	*slot = NULL;
	for (uint32_t i = 0; i < workload->label_count; i++)
		free(workload->labels[i]);
	free(workload->labels);
	free(workload->rows);
	free(workload->piece_list);
	bytes_fini(&workload->notes);
	free(workload);
}

/* Room for one more of `size` bytes each. */
static enum error grow(void **list, size_t count, size_t *capacity, size_t most, size_t size)
{
	if (count < *capacity)
		return OK;
	if (count >= most)
		return ERROR_LIMIT;
	size_t wanted = *capacity ? *capacity * 2 : 1024;
	void *larger = realloc(*list, wanted * size);
	if (!larger)
		return ERROR_MEMORY;
	*list = larger;
	*capacity = wanted;
	return OK;
}

enum error workload_add(struct workload *workload, struct workload_row row)
{
	row.first_piece = (uint32_t)workload->pieces_taken;
	if (row.prompt_tokens == 0 && row.output_tokens == 0) {
		workload->piece_count = workload->pieces_taken;
		workload_drop(workload, DROP_NO_TOKENS);
		return OK;
	}
	if (row.prompt_tokens == 0 || row.output_tokens == 0) {
		workload->raised++;
		row.prompt_tokens = row.prompt_tokens ? row.prompt_tokens : 1;
		row.output_tokens = row.output_tokens ? row.output_tokens : 1;
	}
	enum error error =
		grow((void **)&workload->rows, workload->count, &workload->capacity, ROWS_MAX, sizeof(*workload->rows));
	if (error)
		return error;
	row.order = (uint32_t)workload->count;
	row.pieces = (uint32_t)(workload->piece_count - row.first_piece);
	workload->pieces_taken = workload->piece_count;
	if (workload->count && row.at_ns < workload->rows[workload->count - 1].at_ns)
		workload->was_unsorted = true;
	workload->rows[workload->count++] = row;
	return OK;
}

enum error workload_add_piece(struct workload *workload, uint64_t id, uint32_t tokens)
{
	enum error error = grow((void **)&workload->piece_list, workload->piece_count, &workload->piece_capacity,
	                        PIECES_MAX, sizeof(*workload->piece_list));
	if (!error)
		workload->piece_list[workload->piece_count++] = (struct workload_piece){ id, tokens };
	return error;
}

enum error workload_label(struct workload *workload, struct span text, uint32_t *out)
{
	for (uint32_t i = 0; i < workload->label_count; i++) {
		if (span_is(text, workload->labels[i])) {
			*out = i;
			return OK;
		}
	}
	*out = workload->label_count - 1;
	if (workload->label_count == WORKLOAD_LABELS_MAX)
		return OK;
	char *copy = strndup(text.at, text.len);
	if (!copy)
		return ERROR_MEMORY;
	workload->labels[workload->label_count] = copy;
	*out = workload->label_count++;
	return OK;
}

void workload_note(struct workload *workload, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	bytes_vprintf(&workload->notes, format, arguments);
	bytes_append_byte(&workload->notes, '\n');
	va_end(arguments);
}

static int by_time(const void *left, const void *right)
{
	const struct workload_row *a = left;
	const struct workload_row *b = right;
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

void workload_sort(struct workload *workload)
{
	bool is_sorted = true;
	for (size_t i = 1; i < workload->count && is_sorted; i++)
		is_sorted = workload->rows[i - 1].at_ns <= workload->rows[i].at_ns;
	if (!is_sorted)
		qsort(workload->rows, workload->count, sizeof(*workload->rows), by_time);
}

static int by_number(const void *left, const void *right)
{
	const int64_t a = *(const int64_t *)left;
	const int64_t b = *(const int64_t *)right;
	return (a > b) - (a < b);
}

/* The median of the gaps that aren't empty; 0 when this is no grid. */
static int64_t find_cell(const struct workload *workload)
{
	int64_t *gaps = calloc(workload->count + 1, sizeof(*gaps));
	size_t count = 0;
	if (!gaps)
		return 0;
	for (size_t i = 1; i < workload->count; i++) {
		int64_t gap_ns = workload->rows[i].at_ns - workload->rows[i - 1].at_ns;
		if (gap_ns > 0)
			gaps[count++] = gap_ns;
	}
	qsort(gaps, count, sizeof(*gaps), by_number);
	bool is_grid = count >= 2 && count * 2 <= workload->count && gaps[0] >= GRID_NS_MIN;
	int64_t cell_ns = is_grid ? gaps[count / 2] : 0;
	free(gaps);
	return cell_ns;
}

bool workload_spread_grid(struct workload *workload, uint64_t seed)
{
	const int64_t cell_ns = find_cell(workload);
	if (!cell_ns)
		return false;
	struct random random;
	random_seed(&random, seed);
	for (size_t begin = 0; begin < workload->count;) {
		size_t end = begin + 1;
		const int64_t at_ns = workload->rows[begin].at_ns;
		while (end < workload->count && workload->rows[end].at_ns == at_ns)
			end++;
		int64_t width_ns =
			end < workload->count ? (int64_t)min_ll(workload->rows[end].at_ns - at_ns, cell_ns) : cell_ns;
		for (size_t i = begin; i < end; i++) {
			double place = ((double)(i - begin) + random_unit(&random)) / (double)(end - begin);
			workload->rows[i].at_ns = at_ns + (int64_t)(place * (double)width_ns);
		}
		begin = end;
	}
	workload_note(workload,
	              "the trace's times stand on a grid of %.3f s: requests of one moment were spread over its cell",
	              (double)cell_ns / 1e9);
	return true;
}

uint64_t workload_hash(struct span text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.at[i]) * UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}
