/* Whole files, read and written at start-up. Blocks: not for a loop. */
#ifndef PENSTOCK_BASE_FILE_H
#define PENSTOCK_BASE_FILE_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

/* Appends the file's content, at most `limit` bytes of it. What opening and reading gave, or ERROR_MEMORY. */
enum error file_read(const char *path, size_t limit, struct bytes *out);
/* Makes the file with this content and mode; an existing one is left alone: ERROR_DUPLICATE. */
enum error file_create(const char *path, unsigned mode, struct span content);
/* Makes a folder and its parents (mode 0700); an existing one is fine. */
enum error folder_create(const char *path);

#endif
