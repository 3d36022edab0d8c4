/* Thresholds of alerts from what a run measured (--bake-alerts): what is usual under this load, so that alerts fire on what is not. */
#ifndef PENSTOCK_REPLAY_BAKE_H
#define PENSTOCK_REPLAY_BAKE_H

#include "base/bytes.h"
#include "replay/report.h"

struct bake;

/* Before the run. admin: the gateway's admin URL, asked for /metrics now and at the end; NULL: waits inside the gateway stay unmeasured, and their alerts
 * keep the thresholds that they have. On error *fault has a sentence. */
enum error bake_begin(const char *admin, struct bake **out, struct bytes *fault);
/* After it: the file that `alerts.thresholds` names. Asking in vain leaves out what only the gateway knows. */
void bake_write(struct bake *bake, const struct replay_summary *summary, const char *source, struct bytes *out);
void bake_free(struct bake **bake);

#endif
