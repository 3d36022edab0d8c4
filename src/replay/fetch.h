/* One GET, waited for: before a run begins. */
#ifndef PENSTOCK_REPLAY_FETCH_H
#define PENSTOCK_REPLAY_FETCH_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/url.h"

/* The id of the first model that GET /v1/models lists, appended to *model. key and authorities may be NULL. On an error a sentence in *fault. */
enum error fetch_first_model(const struct url *url, const char *key, const char *authorities, struct bytes *model,
                             struct bytes *fault);

#endif
