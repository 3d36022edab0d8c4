/* One request, from its due time to its record: attempts, answer, end. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"
#include "replay/run_parts.h"

/* The waits of OpenAI's own clients (openai-python, _constants.py): half a second, doubled, up to eight seconds, less up to a quarter. */
#define RETRY_NS_FIRST (NS_PER_S / 2)
#define RETRY_NS_MAX (8 * NS_PER_S)
#define RETRY_AFTER_NS_MAX (60 * NS_PER_S)

static const struct http_call_events completion_events;

static struct exchange *take_spare(struct run *run)
{
	struct exchange *exchange = run->spare;
	if (exchange) {
		run->spare = exchange->next;
		return exchange;
	}
	return calloc(1, sizeof(*exchange));
}

static void link_running(struct run *run, struct exchange *exchange)
{
	exchange->next_running = NULL;
	exchange->previous_running = run->last;
	if (run->last)
		run->last->next_running = exchange;
	else
		run->first = exchange;
	run->last = exchange;
}

static void unlink_running(struct run *run, struct exchange *exchange)
{
	*(exchange->previous_running ? &exchange->previous_running->next_running : &run->first) = exchange->next_running;
	*(exchange->next_running ? &exchange->next_running->previous_running : &run->last) = exchange->previous_running;
}

static int64_t since_start(const struct exchange *exchange, int64_t now_ns)
{
	return now_ns - exchange->run->start_ns;
}

/* ---- the end ---- */

static void note_live(struct run *run, const struct replay_record *record)
{
	run->ended++;
	run->second.ended++;
	const enum outcome_kind kind = outcome_kind(record->outcome);
	run->refused += kind == OUTCOME_KIND_REFUSAL;
	run->failed += kind == OUTCOME_KIND_FAILURE;
	run->second.failed += kind == OUTCOME_KIND_FAILURE;
	if (record_is_eligible(record)) {
		run->eligible++;
		run->met += goal_is_met(&run->settings->goal, record);
	}
	if (record->prompt_tokens && record->outcome == OUTCOME_OK) {
		run->usage_bytes += record->text_bytes;
		run->usage_tokens += record->prompt_tokens;
	}
}

/* Holds it back until so long after its intended time. */
static void hold(struct exchange *exchange, int64_t slip_ns)
{
	struct run *run = exchange->run;
	exchange->retry.key = run->start_ns + exchange_record(exchange)->intended_ns + slip_ns;
	if (heap_push(&run->retries, &exchange->retry))
		run_stop_early(run, RUN_BROKEN, "memory ran out");
}

/* The session's next one goes, but not sooner after this one than it did in the trace. */
static void leave_session(struct run *run, const struct exchange *exchange, int64_t now_ns)
{
	const struct replay_record *record = exchange_record(exchange);
	const uint64_t session = run->workload->rows[exchange->row].session;
	if (!run->sessions || !session)
		return;
	const int64_t slip_ns = record->sent_ns < 0 ? 0 : record->sent_ns - record->intended_ns;
	struct exchange *waiting = sessions_leave(run->sessions, session, slip_ns);
	if (!waiting || run->is_stopping)
		return;
	hold(waiting, max_ll(slip_ns, since_start(waiting, now_ns) - exchange_record(waiting)->intended_ns));
}

void exchange_finish(struct exchange *exchange, enum replay_outcome outcome, int64_t now_ns)
{
	struct run *run = exchange->run;
	struct replay_record *record = exchange_record(exchange);
	const struct answer *answer = &exchange->answer;
	record->outcome = (uint8_t)outcome;
	record->end_ns = since_start(exchange, now_ns);
	record->is_ended = true;
	record->prompt_tokens = answer->prompt_tokens;
	record->output_tokens = answer->output_tokens ? answer->output_tokens : answer->content_events;
	note_live(run, record);
	body_fini(&exchange->body);
	http_call_cancel(&exchange->retrieval);
	unlink_running(run, exchange);
	exchange->next = run->spare;
	run->spare = exchange;
	leave_session(run, exchange, now_ns);
}

/* After a pause a client would make; false: the attempt was the last one. */
static bool retry_later(struct exchange *exchange, enum replay_outcome outcome, int64_t now_ns)
{
	struct run *run = exchange->run;
	struct replay_record *record = exchange_record(exchange);
	const bool may = outcome == OUTCOME_REFUSED || outcome == OUTCOME_SERVER_FAULT || outcome == OUTCOME_CONNECT ||
	                 (outcome == OUTCOME_RESET && exchange->answer.first_token_ns < 0);
	if (!may || record->retries >= run->settings->retries || run->is_stopping || !exchange->answer.may_retry)
		return false;
	struct random random;
	random_seed(&random, run->settings->body.seed ^ (exchange->row * 31 + record->retries));
	int64_t wait_ns = exchange->answer.retry_after_ns;
	if (wait_ns < 0 || wait_ns > RETRY_AFTER_NS_MAX) {
		wait_ns = min_ll(RETRY_NS_FIRST << min_ll(record->retries, 10), RETRY_NS_MAX);
		wait_ns -= (int64_t)(random_unit(&random) * 0.25 * (double)wait_ns);
	} else {
		/* Never early, and not all in the same millisecond. */
		wait_ns += (int64_t)(random_unit(&random) * 0.1 * (double)wait_ns);
	}
	record->retries++;
	exchange->attempt_ns = -1;
	exchange->retry.key = now_ns + wait_ns;
	if (heap_push(&run->retries, &exchange->retry))
		return false;
	return true;
}

static enum replay_outcome outcome_of(struct exchange *exchange, enum error why, int64_t now_ns)
{
	struct answer *answer = &exchange->answer;
	if (why == OK && answer_end(answer, now_ns))
		return OUTCOME_OK;
	if (answer->status == 429 || answer->status == 503)
		return OUTCOME_REFUSED;
	if (answer->status >= 500)
		return OUTCOME_SERVER_FAULT;
	if (answer->status >= 400)
		return OUTCOME_CLIENT_FAULT;
	if (answer->is_faulty)
		return OUTCOME_EVENT_FAULT;
	if (why == OK)
		return answer->status == 200 ? OUTCOME_CUT : OUTCOME_PROTOCOL;
	if (why == ERROR_SYNTAX || why == ERROR_LIMIT)
		return OUTCOME_PROTOCOL;
	if (answer->status == 0 &&
	    (why == ERROR_REFUSED || why == ERROR_NOT_FOUND || why == ERROR_TIMEOUT || why == ERROR_TLS))
		return OUTCOME_CONNECT;
	return answer->status ? OUTCOME_CUT : OUTCOME_RESET;
}

static void note_first_token(struct exchange *exchange, struct replay_record *record)
{
	struct run *run = exchange->run;
	record->first_token_ns = since_start(exchange, exchange->answer.first_token_ns);
	const int64_t ttft_ns = record_ttft_ns(record);
	run->recent[run->recent_count++ % RECENT_TTFTS] = (struct recent_ttft){ exchange->answer.first_token_ns, ttft_ns };
	run->second.ttft_s += (double)ttft_ns / 1e9;
	run->second_ttfts++;
}

/* An attempt is over. */
static void on_end(void *owner, enum error why)
{
	struct exchange *exchange = owner;
	struct run *run = exchange->run;
	const int64_t now_ns = clock_now_ns();
	exchange->call = NULL;
	run->in_flight--;
	const enum replay_outcome outcome = outcome_of(exchange, why, now_ns);
	struct replay_record *record = exchange_record(exchange);
	record->status = (uint16_t)exchange->answer.status;
	record->retry_after_ns = exchange->answer.retry_after_ns;
	if (outcome == OUTCOME_OK && record->first_token_ns < 0 && exchange->answer.first_token_ns >= 0)
		note_first_token(exchange, record);
	if (!retry_later(exchange, outcome, now_ns))
		exchange_finish(exchange, outcome, now_ns);
	dispatch_pump(run, PUMP_ANSWER);
}

void exchange_abandon(struct exchange *exchange, enum replay_outcome outcome)
{
	struct run *run = exchange->run;
	if (exchange->call) {
		http_call_cancel(&exchange->call);
		run->in_flight--;
	}
	heap_remove(&run->retries, &exchange->retry);
	exchange_finish(exchange, outcome, clock_now_ns());
}

/* ---- the answer ---- */

static uint8_t rung_number(struct run_result *result, struct span name)
{
	if (!name.len)
		return 0;
	if (name.len >= RUN_RUNG_BYTES)
		name.len = RUN_RUNG_BYTES - 1;
	for (uint32_t i = 1; i < result->rung_count; i++) {
		if (span_is(name, result->rungs[i]))
			return (uint8_t)i;
	}
	if (result->rung_count == RUN_RUNGS_MAX)
		return RUN_RUNGS_MAX - 1;
	memcpy(result->rungs[result->rung_count], name.at, name.len);
	return (uint8_t)result->rung_count++;
}

static void on_head(void *owner, const struct http_head *head)
{
	struct exchange *exchange = owner;
	struct replay_record *record = exchange_record(exchange);
	record->first_byte_ns = since_start(exchange, clock_now_ns());
	answer_head(&exchange->answer, head);
	record->predicted_ns = exchange->answer.predicted_ns;
	record->rung = rung_number(exchange->run->result, http_header_value(head, "x-penstock-rung"));
}

static void on_body(void *owner, struct span data)
{
	struct exchange *exchange = owner;
	struct run *run = exchange->run;
	struct answer *answer = &exchange->answer;
	struct replay_record *record = exchange_record(exchange);
	answer_data(answer, data, clock_now_ns(), record->is_counted ? &run->result->gaps : NULL);
	if (record->first_token_ns < 0 && answer->first_token_ns >= 0)
		note_first_token(exchange, record);
	const uint32_t leave = run->workload->rows[exchange->row].cancel_after;
	if (leave && answer->content_events >= leave && !answer->is_done) {
		exchange_abandon(exchange, OUTCOME_HUNG_UP);
		dispatch_pump(run, PUMP_ANSWER);
	}
}

static const struct http_call_events completion_events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };

/* ---- the beginning ---- */

void exchange_send(struct exchange *exchange)
{
	struct run *run = exchange->run;
	struct replay_record *record = exchange_record(exchange);
	if (run->in_flight >= run->in_flight_max) {
		run_stop_early(
			run, RUN_GUARD,
			"%u requests were in flight, which is the guard's limit (--in-flight-max, or the limit of open files)",
			run->in_flight);
		return;
	}
	answer_begin(&exchange->answer);
	exchange->attempt_ns = clock_now_ns();
	if (record->sent_ns < 0)
		record->sent_ns = since_start(exchange, exchange->attempt_ns);
	const struct http_request request = { .head = body_head(&exchange->body),
		                                  .body = { body_content(&exchange->body) },
		                                  .body_pieces = 1,
		                                  .connect_ns = EXCHANGE_CONNECT_NS };
	run->in_flight++;
	enum error error = http_call_start(run->pool, &request, &completion_events, exchange, &exchange->call);
	if (!error)
		return;
	run->in_flight--;
	exchange->call = NULL;
	if (error == ERROR_LIMIT || error == ERROR_MEMORY)
		run_stop_early(run, RUN_GUARD, "no further connection could be made: %s", error_text(error));
	else if (!retry_later(exchange, OUTCOME_CONNECT, exchange->attempt_ns))
		exchange_finish(exchange, OUTCOME_CONNECT, exchange->attempt_ns);
}

/* Nothing holds it back any more: its retrieval call, then or beside it the request itself. */
static void go(struct exchange *exchange)
{
	struct run *run = exchange->run;
	const bool is_before = !run->settings->retrieval_is_beside;
	if (run->retrieval_pool && run->workload->rows[exchange->row].passages) {
		const bool has_failed = retrieval_start(exchange) != OK;
		if (has_failed && is_before)
			exchange_finish(exchange, OUTCOME_RETRIEVAL, clock_now_ns());
		if (is_before)
			return;
	}
	exchange_send(exchange);
}

void exchange_resume(struct exchange *exchange)
{
	struct replay_record *record = exchange_record(exchange);
	if (record->sent_ns >= 0) {
		exchange_send(exchange);
		return;
	}
	record->eligible_ns = since_start(exchange, exchange->retry.key);
	go(exchange);
}

bool exchange_begin(struct run *run, size_t row)
{
	struct body body;
	if (!builder_take(run->builder, &body)) {
		if (builder_failed(run->builder))
			run_stop_early(run, RUN_BROKEN, "memory ran out while requests were built");
		return false;
	}
	struct exchange *exchange = take_spare(run);
	if (!exchange) {
		body_fini(&body);
		run_stop_early(run, RUN_BROKEN, "memory ran out");
		return true;
	}
	const struct workload_row *entry = &run->workload->rows[row];
	exchange->run = run;
	exchange->row = row;
	exchange->body = body;
	exchange->attempt_ns = -1;
	exchange->retry.place = 0;
	link_running(run, exchange);
	run->result->sent++;
	run->result->records[row] = (struct replay_record){ .intended_ns = entry->at_ns,
		                                                .eligible_ns = entry->at_ns,
		                                                .sent_ns = -1,
		                                                .first_byte_ns = -1,
		                                                .first_token_ns = -1,
		                                                .end_ns = -1,
		                                                .retry_after_ns = -1,
		                                                .predicted_ns = -1,
		                                                .retrieval_ns = -1,
		                                                .prompt_asked = entry->prompt_tokens,
		                                                .output_asked = entry->output_tokens,
		                                                .text_bytes = (uint32_t)body.text_len,
		                                                .tenant = entry->tenant,
		                                                .class = entry->class,
		                                                .is_counted = row >= run->gate };
	answer_begin(&exchange->answer);
	int64_t slip_ns = 0;
	if (run->sessions && entry->session && !sessions_enter(run->sessions, entry->session, exchange, &slip_ns))
		return true;
	if (run->start_ns + entry->at_ns + slip_ns > clock_now_ns())
		hold(exchange, slip_ns);
	else
		go(exchange);
	return true;
}

void exchange_free_all(struct run *run)
{
	while (run->spare) {
		struct exchange *exchange = run->spare;
		run->spare = exchange->next;
		answer_fini(&exchange->answer);
		bytes_fini(&exchange->retrieval_head);
		body_fini(&exchange->body);
		free(exchange);
	}
}
