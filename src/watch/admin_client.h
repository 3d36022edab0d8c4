/* Asks a running gateway's admin side for a page, and waits for it: for subcommands, not for a loop. */
#ifndef PENSTOCK_WATCH_ADMIN_CLIENT_H
#define PENSTOCK_WATCH_ADMIN_CLIENT_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* Where `admin` listens when nothing else is said. */
#define ADMIN_URL_DEFAULT "http://127.0.0.1:8081"

struct admin_client;

/* url: http://host:port, https://... or unix:/path; key: sent as 'Authorization: Bearer', NULL = none. ERROR_SYNTAX (not a URL), ERROR_MEMORY,
 * ERROR_TLS. A sentence is appended to *fault. */
enum error admin_client_new(const char *url, const char *key, struct admin_client **out, struct bytes *fault);
void admin_client_free(struct admin_client **client);
/* GETs a page: *body is replaced by what came. Waits at most `limit_ns`. OK with whatever status the gateway gave; else why there is no answer:
 * refused, timed out, malformed, over 64 MiB (ERROR_LIMIT). */
enum error admin_get(struct admin_client *client, const char *path, int64_t limit_ns, int *status, struct bytes *body);
/* The URL, as given. */
const char *admin_client_url(const struct admin_client *client);

#endif
