/* API keys: a bearer token against the hashes in the config. */
#ifndef PENSTOCK_STAGES_KEYS_H
#define PENSTOCK_STAGES_KEYS_H

#include "base/bytes.h"
#include "config/config.h"
#include "http/http_parse.h"

/* What stands before the digest in the config. */
#define KEY_HASH_PREFIX "hmac-sha256:"

struct digest;

/* The key whose digest (under the installation's secret) is that of the request's "Authorization: Bearer" token; NULL when there is none. Takes the same time
 * wherever a wrong one differs. Borrowed from the config. */
const struct key_config *keys_find(const struct config *config, struct digest *digest, const struct http_head *head);

#endif
