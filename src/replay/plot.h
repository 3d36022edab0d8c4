/* Line plots over time as SVG, to stand in a page: no script, colours by the page's own classes. */
#ifndef PENSTOCK_REPLAY_PLOT_H
#define PENSTOCK_REPLAY_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

#define PLOT_SERIES_MAX 6

struct plot_series {
	const char *name;     /* for the legend; borrowed */
	const double *values; /* one a bucket; NAN = none there, the line is broken; borrowed */
	int colour;           /* 1 to 6: class c1 to c6 */
};

struct plot {
	const char *title;
	const char *unit;
	struct plot_series series[PLOT_SERIES_MAX];
	size_t series_count;
	size_t count; /* buckets */
	double bucket_s;
	double limit; /* a horizontal line, of the promise; NAN = none */
	const char *limit_name;
	bool is_stepped; /* values are levels that hold, as of a rung */
};

/* The figure with its title and legend. */
void plot_write(const struct plot *plot, struct bytes *out);
/* &, <, > and quotes as HTML wants them. */
void plot_escape(struct bytes *out, struct span text);

#endif
