#include "replay/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define PART_BYTES 65536
#define LINE_BYTES_MAX (16u << 20)

struct lines {
	gzFile file;      /* NULL: over text */
	struct span text; /* what is left of it */
	struct span whole;
	struct bytes held; /* a part of the file */
	size_t at;         /* of held, consumed */
	bool is_over;
	bool is_begun;
	enum error status;
};

enum error lines_open(const char *path, struct lines **out)
{
	*out = NULL;
	struct lines *lines = calloc(1, sizeof(*lines));
	if (!lines)
		return ERROR_MEMORY;
	errno = 0;
	lines->file = gzopen(path, "rb");
	if (!lines->file) {
		enum error error = errno ? error_from_errno(errno) : ERROR_MEMORY;
		free(lines);
		return error;
	}
	*out = lines;
	return OK;
}

enum error lines_open_text(struct span text, struct lines **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ERROR_MEMORY;
	(*out)->text = (*out)->whole = text;
	return OK;
}

void lines_close(struct lines **slot)
{
	struct lines *lines = *slot;
	if (!lines)
		return;
	*slot = NULL;
	if (lines->file)
		gzclose_r(lines->file);
	bytes_fini(&lines->held);
	free(lines);
}

enum error lines_rewind(struct lines *lines)
{
	if (lines->file && gzrewind(lines->file) != 0)
		return ERROR_IO;
	lines->text = lines->whole;
	bytes_clear(&lines->held);
	lines->at = 0;
	lines->is_over = lines->is_begun = false;
	lines->status = OK;
	return OK;
}

/* More bytes into held; false when there are none. */
static bool fill(struct lines *lines)
{
	bytes_consume(&lines->held, lines->at);
	lines->at = 0;
	if (lines->held.len > LINE_BYTES_MAX)
		lines->status = ERROR_LIMIT;
	else if (!bytes_reserve(&lines->held, PART_BYTES))
		lines->status = ERROR_MEMORY;
	if (lines->status || !lines->file)
		return false;
	int got = gzread(lines->file, lines->held.data + lines->held.len, PART_BYTES);
	if (got <= 0) {
		/* Z_BUF_ERROR at the end: the file is cut, and what was read is not all. */
		int code;
		gzerror(lines->file, &code);
		if (code != Z_OK && code != Z_STREAM_END)
			lines->status = code == Z_ERRNO ? ERROR_IO : ERROR_SYNTAX;
	}
	if (got <= 0)
		return false;
	lines->held.len += (size_t)got;
	return true;
}

static struct span without_return(struct span line)
{
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool next_of_text(struct lines *lines, struct span *line)
{
	if (lines->text.len == 0)
		return false;
	const size_t end = span_find(lines->text, '\n');
	const size_t used = end < lines->text.len ? end + 1 : end;
	*line = without_return((struct span){ lines->text.at, end });
	lines->text = (struct span){ lines->text.at + used, lines->text.len - used };
	return true;
}

static bool next_of_file(struct lines *lines, struct span *line)
{
	size_t seen = 0;
	for (;;) {
		const struct span rest = { lines->held.data + lines->at, lines->held.len - lines->at };
		const char *end = rest.len > seen ? memchr(rest.at + seen, '\n', rest.len - seen) : NULL;
		if (end || (lines->is_over && rest.len)) {
			const size_t len = end ? (size_t)(end - rest.at) : rest.len;
			*line = without_return((struct span){ rest.at, len });
			lines->at += len + (end != NULL);
			return true;
		}
		if (lines->is_over)
			return false;
		seen = rest.len;
		if (!fill(lines)) {
			lines->is_over = true;
			if (lines->status)
				return false;
		}
	}
}

bool lines_next(struct lines *lines, struct span *line)
{
	const bool is_first = !lines->is_begun;
	lines->is_begun = true;
	if (!(lines->file ? next_of_file(lines, line) : next_of_text(lines, line)))
		return false;
	/* Some of these files come from spreadsheets. */
	if (is_first && line->len >= 3 && memcmp(line->at, "\xef\xbb\xbf", 3) == 0)
		*line = (struct span){ line->at + 3, line->len - 3 };
	return true;
}

enum error lines_status(const struct lines *lines)
{
	return lines->status;
}
