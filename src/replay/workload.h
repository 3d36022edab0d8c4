/* The requests of a trace, whatever file they came from: when, how large, whose, and which parts of their prompts they share.
 *
 * Filled by one reader of readers.def, then shaped (replay/shape.h) into a schedule. Not thread-safe while it is filled; read by any thread after. */
#ifndef PENSTOCK_REPLAY_WORKLOAD_H
#define PENSTOCK_REPLAY_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* Labels are few; what comes after so many shares the last one's name. */
#define WORKLOAD_LABELS_MAX 4096

/* clang-format off */
enum drop {
#define DROP(name, text) DROP_##name,
#include "replay/drops.def"
#undef DROP
	DROP_COUNT
};
/* clang-format on */

/* A part of a prompt that every request with the same id has word for word, up to its length. */
struct workload_piece {
	uint64_t id;
	uint32_t tokens;
};

struct workload_row {
	int64_t at_ns; /* in the trace's own time; from the schedule's start once shaped */
	uint32_t prompt_tokens;
	uint32_t output_tokens;
	uint64_t session; /* 0 = none */
	uint32_t tenant;  /* of labels; 0 = none */
	uint32_t class;   /* of labels; 0 = none */
	uint32_t first_piece;
	uint32_t pieces;
	uint32_t passages;     /* a retrieval that fetched so many went before it; 0 = none */
	uint32_t cancel_after; /* its client leaves after so many content events; 0 = stays */
	uint32_t order;        /* among the file's rows; set by workload_add */
};

struct workload {
	struct workload_row *rows; /* owned */
	size_t count;
	size_t capacity;
	struct workload_piece *piece_list; /* owned */
	size_t piece_count;
	size_t piece_capacity;
	size_t pieces_taken; /* those before it belong to rows */
	char **labels;       /* owned; label 0 is "" */
	uint32_t label_count;
	uint64_t read_rows;
	uint64_t copied; /* rows that --scale added: read + copied = to send + dropped */
	uint64_t dropped[DROP_COUNT];
	uint64_t raised;    /* rows with one side of zero tokens: asked with one */
	bool was_unsorted;  /* the file's rows were out of order */
	bool is_scaled;     /* --scale was already applied while generating */
	const char *format; /* the reader's name */
	struct bytes notes; /* sentences for the report, one a line */
};

enum error workload_new(struct workload **out);
/* Sets *workload to NULL; NULL is fine. */
void workload_free(struct workload **workload);
/* Text of a reason, static. */
const char *drop_text(enum drop drop);
static inline void workload_drop(struct workload *workload, enum drop drop)
{
	workload->dropped[drop]++;
}
/* Adds a row, or drops it when it has no tokens on either side; one token stands for none on one side. The pieces added since the last row are
 * its. ERROR_MEMORY, ERROR_LIMIT. */
enum error workload_add(struct workload *workload, struct workload_row row);
/* Adds a piece to the row that is added next. ERROR_MEMORY, ERROR_LIMIT. */
enum error workload_add_piece(struct workload *workload, uint64_t id, uint32_t tokens);
/* The number of a label, made at its first use; 0 for an empty text. ERROR_MEMORY. */
enum error workload_label(struct workload *workload, struct span text, uint32_t *out);
void workload_note(struct workload *workload, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Orders rows by time; rows of one time keep their order. */
void workload_sort(struct workload *workload);
/* Many rows on few moments (Mooncake's 3-s grid): spreads each moment's rows over its cell, in their order, with a seeded jitter, and notes it.
 * Sorted rows only. True where it found a grid. */
bool workload_spread_grid(struct workload *workload, uint64_t seed);
/* A session's or block's number from its text: FNV-1a, never 0. */
uint64_t workload_hash(struct span text);

#endif
