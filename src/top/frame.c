#include "top/frame.h"

#include <stdarg.h>
#include <string.h>

#include "base/macros.h"

static const struct {
	const char *title;
	void (*fill)(const struct snapshot *snapshot, struct rows *rows);
	unsigned rank;
} panels[] = {
#define PANEL(name, title, rank) { title, panel_##name, rank },
#include "top/panels.def"
#undef PANEL
};
#define PANELS COUNT_OF(panels)

static const char *const style_texts[] = {
	[ROW_PLAIN] = "", [ROW_GOOD] = "\033[32m", [ROW_WARNING] = "\033[33m", [ROW_BAD] = "\033[31m"
};

void rows_add(struct rows *rows, enum row_style style, const char *format, ...)
{
	va_list arguments;
	if (rows->count == ROWS_MAX)
		return;
	rows->styles[rows->count++] = style;
	va_start(arguments, format);
	bytes_vprintf(&rows->text, format, arguments);
	va_end(arguments);
	bytes_append_byte(&rows->text, '\n');
}

/* Bytes of the first `width` characters (UTF-8: those that do not continue one); controls end it. */
static size_t cut_to(struct span line, unsigned width)
{
	size_t i = 0;
	for (unsigned characters = 0; i < line.len; i++) {
		unsigned char byte = (unsigned char)line.at[i];
		if (byte < 0x20)
			break;
		if ((byte & 0xc0) != 0x80 && ++characters > width)
			break;
	}
	return i;
}

static void put_line(struct bytes *out, const struct frame_options *options, const char *style, struct span line)
{
	bool is_styled = options->with_ansi && *style;
	if (is_styled)
		bytes_append_text(out, style);
	bytes_append(out, line.at ? line.at : "", cut_to(line, options->width));
	if (is_styled)
		bytes_append_text(out, "\033[0m");
	if (options->with_ansi)
		bytes_append_text(out, "\033[K");
	bytes_append_byte(out, '\n');
}

/* ---- fitting ---- */

/* Lines of a panel that shows that many rows. */
static unsigned lines_of(unsigned shown)
{
	return shown ? shown + 1 : 0;
}

/* shown: rows of each panel, to be lowered until they fit. */
static void fit(unsigned shown[PANELS], unsigned height)
{
	for (;;) {
		unsigned lines = 0;
		size_t longest = 0;
		size_t last = 0;
		for (size_t i = 0; i < PANELS; i++) {
			lines += lines_of(shown[i]);
			if (shown[i] > shown[longest] || (shown[i] == shown[longest] && panels[i].rank > panels[longest].rank))
				longest = i;
			if (shown[i] && (!shown[last] || panels[i].rank > panels[last].rank))
				last = i;
		}
		if (lines <= height || !lines)
			return;
		if (shown[longest] > 2)
			shown[longest]--;
		else
			shown[last] = 0;
	}
}

static void put_panel(struct bytes *out, const struct frame_options *options, const char *title,
                      const struct rows *rows, unsigned shown)
{
	struct span rest = bytes_span(&rows->text);
	put_line(out, options, "\033[1m", span_of(title));
	for (unsigned i = 0; i < shown; i++) {
		size_t end = span_find(rest, '\n');
		if (i + 1 == shown && shown < rows->count) {
			struct bytes more = { 0 };
			bytes_printf(&more, "              ... %u more", rows->count - shown + 1);
			put_line(out, options, "", bytes_span(&more));
			bytes_fini(&more);
			return;
		}
		put_line(out, options, style_texts[rows->styles[i]], (struct span){ rest.at, end });
		rest = (struct span){ rest.at + end + 1, rest.len - end - 1 };
	}
}

void frame_write(const struct snapshot *snapshot, const struct frame_options *options, struct bytes *out)
{
	struct rows rows[PANELS];
	unsigned shown[PANELS];
	for (size_t i = 0; i < PANELS; i++) {
		rows[i] = (struct rows){ 0 };
		panels[i].fill(snapshot, &rows[i]);
		shown[i] = bytes_ok(&rows[i].text) ? rows[i].count : 0;
	}
	if (options->height)
		fit(shown, options->height - 1);
	put_line(out, options, "\033[7m", span_of(options->title));
	for (size_t i = 0; i < PANELS; i++) {
		if (shown[i])
			put_panel(out, options, panels[i].title, &rows[i], shown[i]);
		bytes_fini(&rows[i].text);
	}
}

void frame_write_message(const char *message, const struct frame_options *options, struct bytes *out)
{
	put_line(out, options, "\033[7m", span_of(options->title));
	put_line(out, options, "", SPAN(""));
	put_line(out, options, style_texts[ROW_BAD], span_of(message));
}
