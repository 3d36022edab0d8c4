#include "gateway/alerts_webhook.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/url.h"
#include "http/http_client.h"
#include "io/tls.h"

#define MESSAGES_MAX 64
#define ANSWER_NS (10 * NS_PER_S)
#define IDLE_NS (4 * NS_PER_S)
#define RETRY_FIRST_NS NS_PER_S
#define RETRY_MAX_NS (60 * NS_PER_S)
/* About six minutes in all. */
#define ATTEMPTS_MAX 11

struct alerts_webhook {
	struct loop *loop;
	struct metrics_shard *shard;
	struct url url;
	char *key;  /* owned; "" = none */
	char *text; /* the URL, for the log; owned */
	struct tls_context *tls;
	struct http_pool *pool;
	struct http_call *call;
	struct timer retry;
	struct timer deadline;
	struct bytes head;
	struct bytes messages[MESSAGES_MAX]; /* a ring; the first is on its way or waits for its next try */
	size_t first;
	size_t count;
	unsigned attempts; /* of the first */
	int status;
};

static void start(struct alerts_webhook *webhook);

static struct bytes *message_at(struct alerts_webhook *webhook, size_t index)
{
	return &webhook->messages[(webhook->first + index) % MESSAGES_MAX];
}

static void drop_first(struct alerts_webhook *webhook)
{
	bytes_fini(message_at(webhook, 0));
	webhook->first = (webhook->first + 1) % MESSAGES_MAX;
	webhook->count--;
	webhook->attempts = 0;
}

/* An answer that says that sending it again won't help. */
static bool is_final(int status)
{
	return status >= 400 && status < 500 && status != 408 && status != 429;
}

static void take_failure(struct alerts_webhook *webhook, const char *why)
{
	bool gives_up = is_final(webhook->status) || webhook->attempts >= ATTEMPTS_MAX;
	int64_t wait_ns = RETRY_FIRST_NS;
	for (unsigned i = 1; i < webhook->attempts && wait_ns < RETRY_MAX_NS; i++)
		wait_ns *= 2;
	if (webhook->attempts == 1 && !gives_up)
		log_line(LOG_WARNING, "alerts.webhook %s did not take a message (%s, status %d): it is sent again",
		         webhook->text, why, webhook->status);
	if (gives_up) {
		log_line(LOG_ERROR,
		         "alerts.webhook %s did not take a message after %u attempts (%s, status %d): it is given up",
		         webhook->text, webhook->attempts, why, webhook->status);
		metric_add(webhook->shard, METRIC_alert_webhook_failures_total, 0, 0, 1);
		drop_first(webhook);
		wait_ns = 0;
	}
	if (webhook->count)
		timer_start_after(&webhook->retry, min_ll(wait_ns, RETRY_MAX_NS));
}

static void on_head(void *owner, const struct http_head *head)
{
	((struct alerts_webhook *)owner)->status = head->status;
}

static void on_body(void *owner, struct span data)
{
	(void)owner;
	(void)data; /* nobody's business */
}

static void on_end(void *owner, enum error why)
{
	struct alerts_webhook *webhook = owner;
	webhook->call = NULL;
	timer_stop(&webhook->deadline);
	if (why == OK && webhook->status >= 200 && webhook->status < 300) {
		drop_first(webhook);
		if (webhook->count)
			timer_start_after(&webhook->retry, 0);
	} else {
		take_failure(webhook, why ? error_text(why) : "refused");
	}
}

static const struct http_call_events call_events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };

static void start(struct alerts_webhook *webhook)
{
	const struct bytes *message = message_at(webhook, 0);
	webhook->attempts++;
	webhook->status = 0;
	bytes_clear(&webhook->head);
	bytes_printf(&webhook->head,
	             "POST %s HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock/" PENSTOCK_VERSION "\r\ncontent-type: "
	             "application/json\r\ncontent-length: %zu\r\n",
	             *webhook->url.path ? webhook->url.path : "/", webhook->url.authority, message->len);
	if (*webhook->key)
		bytes_printf(&webhook->head, "authorization: Bearer %s\r\n", webhook->key);
	bytes_append_text(&webhook->head, "\r\n");
	const struct http_request request = {
		.head = bytes_span(&webhook->head), .body = { bytes_span(message) }, .body_pieces = 1, .connect_ns = ANSWER_NS
	};
	enum error error = bytes_ok(&webhook->head) ? OK : ERROR_MEMORY;
	if (!error)
		error = http_call_start(webhook->pool, &request, &call_events, webhook, &webhook->call);
	if (error)
		take_failure(webhook, error_text(error));
	else
		timer_start_after(&webhook->deadline, ANSWER_NS);
}

static void on_retry(struct timer *timer)
{
	struct alerts_webhook *webhook = container_of(timer, struct alerts_webhook, retry);
	if (webhook->count && !webhook->call)
		start(webhook);
}

static void on_silence(struct timer *timer)
{
	struct alerts_webhook *webhook = container_of(timer, struct alerts_webhook, deadline);
	http_call_cancel(&webhook->call);
	take_failure(webhook, error_text(ERROR_TIMEOUT));
}

void alerts_webhook_send(struct alerts_webhook *webhook, struct span entries, bool has_firing)
{
	if (webhook->count == MESSAGES_MAX) {
		/* The first may be on its way; the one after it goes. */
		log_line(LOG_ERROR, "alerts.webhook %s: %d messages wait already; the oldest is dropped", webhook->text,
		         MESSAGES_MAX);
		metric_add(webhook->shard, METRIC_alert_webhook_failures_total, 0, 0, 1);
		bytes_fini(message_at(webhook, 1));
		for (size_t i = 1; i + 1 < webhook->count; i++)
			*message_at(webhook, i) = *message_at(webhook, i + 1);
		webhook->count--;
	}
	struct bytes message = { 0 };
	bytes_printf(&message,
	             "{\"version\":\"4\",\"groupKey\":\"penstock\",\"truncatedAlerts\":0,\"status\":\"%s\",\"receiver\":"
	             "\"penstock\","
	             "\"groupLabels\":{},\"commonLabels\":{},\"commonAnnotations\":{},\"externalURL\":\"\",\"alerts\":[",
	             has_firing ? "firing" : "resolved");
	bytes_append_span(&message, entries);
	bytes_append_literal(&message, "]}\n");
	if (!bytes_ok(&message)) {
		log_line(LOG_ERROR, "out of memory: a message about alerts is lost");
		bytes_fini(&message);
		return;
	}
	*message_at(webhook, webhook->count++) = message;
	if (webhook->count == 1)
		timer_start_after(&webhook->retry, 0);
}

bool alerts_webhook_is_for(const struct alerts_webhook *webhook, const struct config *config)
{
	return strcmp(webhook->text, config->alerts_webhook) == 0 && strcmp(webhook->key, config->alerts_webhook_key) == 0;
}

enum error alerts_webhook_new(struct loop *loop, const struct config *config, struct metrics_shard *shard,
                              struct alerts_webhook **out, struct bytes *fault)
{
	struct alerts_webhook *webhook = calloc(1, sizeof(*webhook));
	struct http_pool_settings settings = { .idle_ns = IDLE_NS, .idle_max = 1, .allow_local = true };
	*out = NULL;
	if (!webhook)
		return ERROR_MEMORY;
	webhook->loop = loop;
	webhook->shard = shard;
	webhook->key = strdup(config->alerts_webhook_key);
	webhook->text = strdup(config->alerts_webhook);
	timer_init(&webhook->retry, loop, on_retry);
	timer_init(&webhook->deadline, loop, on_silence);
	enum error error = webhook->key && webhook->text ? url_parse(span_of(webhook->text), &webhook->url) : ERROR_MEMORY;
	if (!error && webhook->url.is_tls)
		error = tls_context_new_client(NULL, &webhook->tls, fault);
	if (!error && webhook->url.is_tls)
		error = tls_peer_new(webhook->tls, webhook->url.address.host, &settings.tls);
	if (!error)
		error = http_pool_new(loop, &webhook->url.address, &settings, &webhook->pool);
	tls_peer_unref(&settings.tls);
	if (error)
		alerts_webhook_free(&webhook);
	*out = webhook;
	return error;
}

void alerts_webhook_free(struct alerts_webhook **webhook_slot)
{
	struct alerts_webhook *webhook = *webhook_slot;
	if (!webhook)
		return;
	*webhook_slot = NULL;
	if (webhook->count)
		log_line(LOG_WARNING, "alerts.webhook %s: %zu messages were not taken before the end", webhook->text,
		         webhook->count);
	timer_stop(&webhook->retry);
	timer_stop(&webhook->deadline);
	http_call_cancel(&webhook->call);
	if (webhook->pool)
		http_pool_free(&webhook->pool);
	tls_context_unref(&webhook->tls);
	while (webhook->count)
		drop_first(webhook);
	bytes_fini(&webhook->head);
	free(webhook->key);
	free(webhook->text);
	free(webhook);
}
