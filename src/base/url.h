/* An upstream's address as operators write it: http://host[:port][/path], https://... or unix:/path.
 *
 * Strict: no user, query or fragment, no byte that two readers could take differently. Fuzzed. */
#ifndef PENSTOCK_BASE_URL_H
#define PENSTOCK_BASE_URL_H

#include <stdbool.h>

#include "base/address.h"
#include "base/bytes.h"
#include "base/error.h"

#define URL_PATH_BYTES 256

struct url {
	bool is_tls;
	struct address address; /* the scheme's port where none is given */
	char authority[300]; /* what the Host header says: without the scheme's own port; "localhost" for a Unix socket */
	char path[URL_PATH_BYTES]; /* before OpenAI's "/v1/...": without a slash or "/v1" at its end; "" = none */
};

/* ERROR_SYNTAX; ERROR_LIMIT for a part that is too long; ERROR_UNSUPPORTED for another scheme. */
enum error url_parse(struct span text, struct url *out);

#endif
