/* Tells a URL about alerts, in the form of Alertmanager's webhook. Never blocks: messages wait in a bounded queue, one is on its way at a time, and
 * what is not taken is sent again, later and later. Belongs to its loop's thread. */
#ifndef PENSTOCK_GATEWAY_ALERTS_WEBHOOK_H
#define PENSTOCK_GATEWAY_ALERTS_WEBHOOK_H

#include "base/bytes.h"
#include "base/error.h"
#include "config/config.h"
#include "io/loop.h"
#include "observe/metrics.h"

struct alerts_webhook;

/* The config's URL must not be empty. shard: borrowed; failures are counted there. On error *fault holds a sentence. */
enum error alerts_webhook_new(struct loop *loop, const struct config *config, struct metrics_shard *shard,
                              struct alerts_webhook **out, struct bytes *fault);
/* What has not been taken is lost, and logged. Sets *webhook to NULL; NULL is fine. */
void alerts_webhook_free(struct alerts_webhook **webhook);
/* Are its URL and key those of the config? */
bool alerts_webhook_is_for(const struct alerts_webhook *webhook, const struct config *config);
/* Queues a message: the entries of its list "alerts", comma separated. When the queue is full the oldest is dropped, and logged. */
void alerts_webhook_send(struct alerts_webhook *webhook, struct span entries, bool has_firing);

#endif
