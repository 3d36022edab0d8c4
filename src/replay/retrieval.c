/* The retrieval call that went before a request's prompt: a real one, timed, before the request or beside it. */
#include <stdio.h>

#include "base/clock.h"
#include "replay/run_parts.h"
#include "replay/words.h"

static void retrieval_on_head(void *owner, const struct http_head *head)
{
	((struct exchange *)owner)->retrieval_status = head->status;
}

static void retrieval_on_body(void *owner, struct span data)
{
	(void)owner;
	(void)data;
}

static void retrieval_on_end(void *owner, enum error why)
{
	struct exchange *exchange = owner;
	struct run *run = exchange->run;
	struct replay_record *record = exchange_record(exchange);
	const int64_t now_ns = clock_now_ns();
	exchange->retrieval = NULL;
	record->retrieval_ns = now_ns - exchange->retrieval_begin_ns;
	if (run->settings->retrieval_is_beside)
		return;
	if (why || exchange->retrieval_status < 200 || exchange->retrieval_status > 299) {
		exchange_finish(exchange, OUTCOME_RETRIEVAL, now_ns);
	} else {
		record->eligible_ns = now_ns - run->start_ns;
		exchange_send(exchange);
	}
	dispatch_pump(run, PUMP_ANSWER);
}

static const struct http_call_events retrieval_events = { .on_head = retrieval_on_head,
	                                                      .on_body = retrieval_on_body,
	                                                      .on_end = retrieval_on_end };

/* The question is a few words of the request's own; the number of passages is the trace's. */
enum error retrieval_start(struct exchange *exchange)
{
	struct run *run = exchange->run;
	const struct url *url = &run->settings->retrieval;
	const uint32_t passages = run->workload->rows[exchange->row].passages;
	char query[48];
	words_write(query, sizeof(query) - 1, run->settings->body.seed + exchange->row);
	query[sizeof(query) - 1] = '\0';
	struct bytes *out = &exchange->retrieval_head;
	bytes_clear(out);
	if (run->settings->retrieval_is_post) {
		char json[128];
		const int len = snprintf(json, sizeof(json), "{\"query\":\"%s\",\"n\":%u}", query, passages);
		bytes_printf(out,
		             "POST %s HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock-replay\r\ncontent-type: application/json\r\n"
		             "content-length: %d\r\n\r\n%s",
		             *url->path ? url->path : "/", url->authority, len, json);
	} else {
		for (char *at = query; *at; at++)
			*at = *at == ' ' ? '+' : *at;
		bytes_printf(out, "GET %s?q=%s&n=%u HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock-replay\r\n\r\n",
		             *url->path ? url->path : "/", query, passages, url->authority);
	}
	const struct http_request request = { .head = bytes_span(out), .connect_ns = EXCHANGE_CONNECT_NS };
	exchange->retrieval_begin_ns = clock_now_ns();
	exchange->retrieval_status = 0;
	return http_call_start(run->retrieval_pool, &request, &retrieval_events, exchange, &exchange->retrieval);
}
