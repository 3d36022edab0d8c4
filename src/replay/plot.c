#include "replay/plot.h"

#include <math.h>

#define WIDTH 900.0
#define HEIGHT 200.0
#define LEFT 58.0
#define RIGHT 12.0
#define TOP 8.0
#define BOTTOM 24.0

void plot_escape(struct bytes *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		switch (text.at[i]) {
		case '&':
			bytes_append_literal(out, "&amp;");
			break;
		case '<':
			bytes_append_literal(out, "&lt;");
			break;
		case '>':
			bytes_append_literal(out, "&gt;");
			break;
		case '"':
			bytes_append_literal(out, "&quot;");
			break;
		case '\'':
			bytes_append_literal(out, "&#39;");
			break;
		default:
			bytes_append_byte(out, text.at[i]);
		}
	}
}

/* 1, 2 or 5 times a power of ten: about `wanted` steps up to `most`. */
static double nice_step(double most, double wanted)
{
	const double raw = most / wanted;
	const double power = pow(10, floor(log10(raw)));
	const double lead = raw / power;
	return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static double highest(const struct plot *plot)
{
	double most = isnan(plot->limit) ? 0 : plot->limit * 1.1;
	for (size_t i = 0; i < plot->series_count; i++) {
		for (size_t at = 0; at < plot->count; at++)
			most = fmax(most, plot->series[i].values[at]); /* fmax leaves a NAN out */
	}
	return most > 0 ? most : 1;
}

static double place_x(const struct plot *plot, double bucket)
{
	const double last = plot->count > 1 ? (double)plot->count : 1;
	return LEFT + bucket / last * (WIDTH - LEFT - RIGHT);
}

static double place_y(double value, double top)
{
	return TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
}

static void write_grid(const struct plot *plot, double top, double step, struct bytes *out)
{
	for (double value = 0; value <= top * 1.0001; value += step) {
		const double y = place_y(value, top);
		bytes_printf(out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT,
		             y, y);
		bytes_printf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%g</text>", LEFT - 6, y + 4, value);
	}
	const double total_s = (double)plot->count * plot->bucket_s;
	const double step_s = nice_step(total_s, 8);
	for (double at_s = 0; at_s <= total_s * 1.0001; at_s += step_s)
		bytes_printf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%g s</text>",
		             place_x(plot, at_s / plot->bucket_s), HEIGHT - 6, at_s);
}

/* A path that lifts its pen where there is no value. */
static void write_series(const struct plot *plot, const struct plot_series *series, double top, struct bytes *out)
{
	bool is_down = false;
	bytes_printf(out, "<path class=\"c%d\" d=\"", series->colour);
	for (size_t i = 0; i < plot->count; i++) {
		if (isnan(series->values[i])) {
			is_down = false;
			continue;
		}
		const double y = place_y(series->values[i], top);
		const double x = place_x(plot, (double)i + (plot->is_stepped ? 0 : 0.5));
		if (is_down && plot->is_stepped)
			bytes_printf(out, "H%.1fV%.1f", x, y);
		else
			bytes_printf(out, "%c%.1f %.1f", is_down ? 'L' : 'M', x, y);
		/* A value alone between gaps is a dot, which a pen that doesn't move won't draw. */
		if (!is_down && (i + 1 == plot->count || isnan(series->values[i + 1])))
			bytes_append_literal(out, "h2");
		is_down = true;
	}
	bytes_append_literal(out, "\"/>");
}

void plot_write(const struct plot *plot, struct bytes *out)
{
	const double step = nice_step(highest(plot), 4);
	const double top = ceil(highest(plot) / step - 1e-9) * step;
	bytes_append_literal(out, "<figure><figcaption><b>");
	plot_escape(out, span_of(plot->title));
	bytes_append_literal(out, "</b> ");
	plot_escape(out, span_of(plot->unit));
	for (size_t i = 0; i < plot->series_count; i++) {
		bytes_printf(out, " <span class=\"key\"><i class=\"b%d\"></i>", plot->series[i].colour);
		plot_escape(out, span_of(plot->series[i].name));
		bytes_append_literal(out, "</span>");
	}
	bytes_printf(out, "</figcaption><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">", WIDTH, HEIGHT);
	write_grid(plot, top, step, out);
	if (!isnan(plot->limit)) {
		const double y = place_y(plot->limit, top);
		bytes_printf(out, "<line class=\"limit\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
		             WIDTH - RIGHT, y, y);
		bytes_printf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", WIDTH - RIGHT - 4, y - 4);
		plot_escape(out, span_of(plot->limit_name));
		bytes_append_literal(out, "</text>");
	}
	for (size_t i = 0; i < plot->series_count; i++)
		write_series(plot, &plot->series[i], top, out);
	bytes_append_literal(out, "</svg></figure>\n");
}
