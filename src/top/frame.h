/* A screenful: the rows of the panels, fitted to a width and a height. Pure. */
#ifndef PENSTOCK_TOP_FRAME_H
#define PENSTOCK_TOP_FRAME_H

#include <stdbool.h>

#include "base/bytes.h"
#include "top/snapshot.h"

/* How a row is shown on a terminal. */
enum row_style { ROW_PLAIN, ROW_GOOD, ROW_WARNING, ROW_BAD };

#define ROWS_MAX 512

/* Rows of one panel. */
struct rows {
	struct bytes text; /* lines, each with its end */
	enum row_style styles[ROWS_MAX];
	unsigned count;
};

/* Adds a row; further ones than ROWS_MAX are left out. */
void rows_add(struct rows *rows, enum row_style style, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct frame_options {
	unsigned width;    /* longer lines are cut */
	unsigned height;   /* lines; 0 = as many as there are */
	bool with_ansi;    /* colours, and each line cleared to its end */
	const char *title; /* the first line */
};

/* Appends the frame. Panels without a row are left out; where the height does not do, the longest ones are cut first ("... 3 more"), then those of the
 * highest rank left out. */
void frame_write(const struct snapshot *snapshot, const struct frame_options *options, struct bytes *out);
/* The same for one sentence instead of panels. */
void frame_write_message(const char *message, const struct frame_options *options, struct bytes *out);

/* ---- panels.c ---- */

#define PANEL(name, title, rank) void panel_##name(const struct snapshot *snapshot, struct rows *rows);
#include "top/panels.def"
#undef PANEL

#endif
