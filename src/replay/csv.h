/* Lines of comma-separated values whose columns are found by name, in whatever order they stand. */
#ifndef PENSTOCK_REPLAY_CSV_H
#define PENSTOCK_REPLAY_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

#define CSV_FIELDS_MAX 64

/* Splits at commas outside quotes; quotes around a field and blanks at its ends are taken off. Returns how many there are (those beyond the
 * limit are left out); fields are borrowed from the line. */
size_t csv_split(struct span line, struct span fields[static CSV_FIELDS_MAX]);
/* Which of the header's fields has that name (any case; blanks, dashes and underscores don't count), or -1. */
int csv_column(const struct span *fields, size_t count, const char *name);

#endif
