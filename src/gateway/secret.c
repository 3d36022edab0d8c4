/* Reads and makes files: at start and in `penstock key`, never on a loop. */
#include "gateway/secret.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/random.h"

#define SECRET_BYTES 32
/* Readable by others: whoever has it can try keys offline. */
#define MODE_OF_OTHERS 077

static enum error make(const char *path)
{
	char secret[SECRET_BYTES];
	random_secure(secret, sizeof(secret));
	enum error error = file_create(path, 0600, (struct span){ secret, sizeof(secret) });
	return error == ERROR_DUPLICATE ? OK : error; /* another process was first */
}

enum error secret_load(const char *state_folder, struct bytes *out, struct bytes *fault)
{
	char path[PATH_MAX];
	struct stat status;
	int len = snprintf(path, sizeof(path), "%s/key-secret", state_folder);
	enum error error = len < 0 || (size_t)len >= sizeof(path) ? ERROR_LIMIT : folder_create(state_folder);
	if (!error && stat(path, &status) != 0)
		error = make(path);
	if (!error && (stat(path, &status) != 0 || status.st_mode & MODE_OF_OTHERS)) {
		bytes_printf(fault, "%s must not be readable by others: chmod 600 it", path);
		return ERROR_PERMISSION;
	}
	if (!error)
		error = file_read(path, SECRET_BYTES, out);
	if (!error && out->len != SECRET_BYTES)
		error = ERROR_SYNTAX;
	if (error)
		bytes_printf(fault, "the secret of the API keys, %s, can't be used: %s", path, error_text(error));
	return error;
}
