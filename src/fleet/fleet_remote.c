/* An engine behind a URL: ready from the start (requests find out faster than questions do), asked for its load by kind. What it answers corrects our own
 * accounts; only a kind that has a health page can be down here, others by control's circuit breaker. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "fleet/engine_metrics.h"
#include "fleet/fleet_parts.h"

#define ANSWER_NS (5 * NS_PER_S)
#define ANSWER_BYTES_MAX (1024 * 1024)
/* Never more often, whatever the config says: an engine has been seen to stall under its scrapes. */
#define POLL_MIN_NS NS_PER_S
#define POLL_FAILED_MAX_NS (10 * NS_PER_S)
/* Questions in a row without an answer before it counts as down. */
#define FAILURES_DOWN 3
#define IDLE_NS (2 * NS_PER_S)

struct kind_row {
	const char *metrics; /* path; NULL = none is asked for */
	const char *health;
};

static const struct kind_row kinds[] = {
	[UPSTREAM_OPENAI] = { NULL, NULL },
	[UPSTREAM_VLLM] = { "/metrics", "/health" },
	[UPSTREAM_SGLANG] = { "/metrics", "/health" },
	[UPSTREAM_LLAMA_SERVER] = { "/metrics", "/health" },
	[UPSTREAM_PENSTOCK] = { NULL, "/v1/models" },
	[UPSTREAM_ANTHROPIC] = { NULL, NULL },
};

static const char *path_of(const struct replica *replica)
{
	const struct kind_row *kind = &kinds[replica_config(replica)->upstream_kind];
	return kind->metrics && !replica->has_no_metrics ? kind->metrics : kind->health;
}

static void ask_later(struct replica *replica)
{
	int64_t wait_ns = max_ll(replica_config(replica)->upstream_poll, POLL_MIN_NS);
	for (unsigned i = 1; i < replica->failures && wait_ns < POLL_FAILED_MAX_NS; i++)
		wait_ns *= 2;
	if (!replica->fleet->stopping)
		timer_start_after(&replica->retry, min_ll(wait_ns, POLL_FAILED_MAX_NS));
}

static void take_failure(struct replica *replica, const char *what)
{
	replica->failures++;
	if (replica->failures == FAILURES_DOWN) {
		log_line(LOG_WARNING, "replica %s does not answer %s (%s): it is taken for down until it does",
		         replica->fleet->names[replica->index], path_of(replica), what);
		replica_publish_state(replica, ENGINE_FAILED);
	}
}

/* llama-server says 503 while it loads its model; so do others that start. */
static void take_answer(struct replica *replica)
{
	struct load_report report = replica->report;
	struct engine_metrics metrics;
	if (replica->status == 503) {
		replica->failures = 0;
		replica_publish_state(replica, ENGINE_LOADING);
		return;
	}
	if (replica->failures >= FAILURES_DOWN)
		log_line(LOG_INFO, "replica %s answers again", replica->fleet->names[replica->index]);
	replica->failures = 0;
	report.state = ENGINE_READY;
	if (engine_metrics_read(bytes_span(&replica->answer), &metrics)) {
		report.running = metrics.running > 0 ? (uint64_t)metrics.running : 0;
		report.waiting = metrics.waiting > 0 ? (uint64_t)metrics.waiting : 0;
		report.cells_used_permille = metrics.cells_used > 0 ? (uint64_t)(metrics.cells_used * 1000) : 0;
	}
	replica_publish(replica, &report);
}

static void on_head(void *owner, const struct http_head *head)
{
	((struct replica *)owner)->status = head->status;
}

static void on_body(void *owner, struct span data)
{
	struct replica *replica = owner;
	if (replica->answer.len + data.len <= ANSWER_BYTES_MAX)
		bytes_append_span(&replica->answer, data);
}

static void on_end(void *owner, enum error why)
{
	struct replica *replica = owner;
	const struct kind_row *kind = &kinds[replica_config(replica)->upstream_kind];
	replica->call = NULL;
	timer_stop(&replica->deadline);
	bool is_answered = why == OK && (replica->status == 200 || replica->status == 503);
	bool lacks_metrics = why == OK && !is_answered && kind->metrics && !replica->has_no_metrics;
	if (lacks_metrics) {
		/* llama-server has none without --metrics (501, 404): its health tells less, but something. */
		log_line(LOG_INFO, "replica %s has no %s (status %d): %s is asked instead",
		         replica->fleet->names[replica->index], kind->metrics, replica->status, kind->health);
		replica->has_no_metrics = true;
	} else if (is_answered || (why == OK && replica->status < 500)) {
		take_answer(replica);
	} else {
		take_failure(replica, why ? error_text(why) : "a server error");
	}
	ask_later(replica);
}

static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };

static void write_question(struct replica *replica)
{
	const struct pool_config *pool = replica_config(replica);
	bytes_clear(&replica->head);
	bytes_printf(&replica->head, "GET %s%s HTTP/1.1\r\nhost: %s\r\naccept: */*\r\n", replica->url.path,
	             path_of(replica), replica->url.authority);
	if (*pool->upstream_key)
		bytes_printf(&replica->head, "authorization: Bearer %s\r\n", pool->upstream_key);
	bytes_append_text(&replica->head, "\r\n");
}

static void on_ask(struct timer *timer)
{
	struct replica *replica = container_of(timer, struct replica, retry);
	bytes_clear(&replica->answer);
	replica->status = 0;
	write_question(replica);
	const struct http_request request = { .head = bytes_span(&replica->head), .connect_ns = ANSWER_NS };
	if (bytes_ok(&replica->head) &&
	    http_call_start(replica->connection, &request, &events, replica, &replica->call) == OK) {
		timer_start_after(&replica->deadline, ANSWER_NS);
		return;
	}
	take_failure(replica, "it can't be asked");
	ask_later(replica);
}

static void on_silence(struct timer *timer)
{
	struct replica *replica = container_of(timer, struct replica, deadline);
	http_call_cancel(&replica->call);
	take_failure(replica, error_text(ERROR_TIMEOUT));
	ask_later(replica);
}

enum error replica_init_remote(struct replica *replica, const char *url)
{
	struct http_pool_settings settings = { .idle_ns = IDLE_NS, .idle_max = 1 };
	timer_init(&replica->retry, replica->fleet->loop, on_ask);
	timer_init(&replica->deadline, replica->fleet->loop, on_silence);
	enum error error = url_parse(span_of(url), &replica->url);
	return error ? error : replica_connect(replica, replica->fleet->loop, &settings, &replica->connection);
}

void replica_start_remote(struct replica *replica)
{
	replica_publish_state(replica, ENGINE_READY);
	if (path_of(replica) && replica_config(replica)->upstream_poll > 0)
		timer_start_after(&replica->retry, 0);
}
