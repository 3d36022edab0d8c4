/* One JSON object a line, to one file descriptor, from any thread: the only global of the program.
 *
 * Lines go into a bounded buffer that a writer thread empties, so that a blocked pipe or a full disk never stalls a
 * caller: what doesn't fit is dropped and counted. */
#ifndef PENSTOCK_BASE_LOG_H
#define PENSTOCK_BASE_LOG_H

#include <stdint.h>

#include "base/bytes.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Starts the writer. fd is borrowed; lines above `level` are not written. Before this call (and after log_stop)
 * lines go straight to standard error. */
void log_start(int fd, enum log_level level);
/* Writes what is buffered (at most a second; the rest counts as dropped), ends the writer. */
void log_stop(void);
/* Changes the level of a running log (configuration reload). */
void log_set_level(enum log_level level);
/* {"time":"...Z","level":"info","what":"<format>"}; `what` is a sentence for people. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A finished JSON object without a line end, such as an access log row; written whatever the level. */
void log_json(struct span object);
/* Lines dropped since the start because the buffer was full. */
uint64_t log_dropped(void);

#endif
