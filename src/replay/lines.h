/* A text file line by line, gzip undone where it is used. Blocks: for start-up. */
#ifndef PENSTOCK_REPLAY_LINES_H
#define PENSTOCK_REPLAY_LINES_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"

struct lines;

/* What opening gave. */
enum error lines_open(const char *path, struct lines **out);
/* Over bytes in memory, borrowed until lines_close: for tests and fuzzing. ERROR_MEMORY. */
enum error lines_open_text(struct span text, struct lines **out);
/* Sets *lines to NULL; NULL is fine. */
void lines_close(struct lines **lines);
/* The next line without its end (LF or CRLF), borrowed until the next call; false at the end or at a fault. */
bool lines_next(struct lines *lines, struct span *line);
/* Back to the first line; for a file that can be read twice. */
enum error lines_rewind(struct lines *lines);
/* What ended the lines: OK at the end of the file, ERROR_LIMIT for a line over 16 MiB, ERROR_SYNTAX for damaged gzip, ERROR_MEMORY, ERROR_IO. */
enum error lines_status(const struct lines *lines);

#endif
