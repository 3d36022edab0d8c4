/* One scalar of the file to one C value, by its row; and ${NAME} to what the environment says. Private to config/. */
#ifndef PENSTOCK_CONFIG_CONFIG_VALUE_H
#define PENSTOCK_CONFIG_CONFIG_VALUE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "config/config_table.h"

/* Reads `text` into *field, whose C type is that of the row (for a STRING_LIST: one item, a const char *). Strings are copied
 * into the arena. ERROR_SYNTAX: `why` says what is wrong with `shown`, the text as the file has it, which differs from `text` when
 * the environment filled it: secrets stay out of messages. ERROR_MEMORY. */
enum error config_value_read(const struct config_row *row, struct span text, struct span shown, struct arena *arena,
                             void *field, struct bytes *why);
/* Replaces each ${NAME} by that environment variable, and $${ by ${. ERROR_SYNTAX: `why` says what is missing. ERROR_MEMORY. */
enum error config_value_expand(struct span text, struct bytes *out, struct bytes *why);
/* Writes a number of the row's type as a person writes it: 30s, 8KiB, 256. */
void config_value_write(struct bytes *out, const struct config_row *row, int64_t value);

#endif
