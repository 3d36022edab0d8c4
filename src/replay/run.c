#include "replay/run.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "io/signals.h"
#include "replay/run_parts.h"

#define TICK_NS (100 * NS_PER_MS)
/* How long a connection is kept without a request. One that the server has closed meanwhile is replaced. */
#define IDLE_NS (30 * NS_PER_S)
/* Descriptors for everything that is no connection. */
#define FILES_KEPT 64
/* From the end of loading to the first send: the window of built requests is full by then. */
#define LEAD_NS (20 * NS_PER_MS)

void run_stop_early(struct run *run, enum run_stop stop, const char *format, ...)
{
	if (run->is_stopping)
		return;
	run->is_stopping = true;
	run->result->stop = stop;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(run->result->why, sizeof(run->result->why), format, arguments);
	va_end(arguments);
	while (run->first)
		exchange_abandon(run->first, OUTCOME_UNFINISHED);
	loop_stop(run->loop);
}

static uint64_t raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

enum error run_pool_new(struct run *run, const struct url *url, struct http_pool **out, struct bytes *fault)
{
	struct http_pool_settings settings = {
		.idle_ns = IDLE_NS, .idle_max = 1u << 20, .allow_local = true, .resets = true
	};
	struct tls_context *context = NULL;
	enum error error = OK;
	if (url->is_tls) {
		error = tls_context_new_client(run->settings->authorities, &context, fault);
		if (!error)
			error = tls_peer_new(context, url->address.host, &settings.tls);
	}
	if (!error)
		error = http_pool_new(run->loop, &url->address, &settings, out);
	tls_peer_unref(&settings.tls);
	tls_context_unref(&context);
	if (error && fault->len == 0)
		bytes_printf(fault, "%s: %s", url->authority, error_text(error));
	return error;
}

/* ---- once a tick ---- */

/* The age in seconds of the oldest that has seen nothing yet. */
static double oldest_wait_s(const struct run *run, int64_t now_ns)
{
	for (const struct exchange *exchange = run->first; exchange; exchange = exchange->next_running) {
		const struct replay_record *record = exchange_record(exchange);
		if (record->first_token_ns < 0)
			return (double)(now_ns - run->start_ns - record->intended_ns) / 1e9;
	}
	return 0;
}

static void take_sample(struct run *run, int64_t now_ns)
{
	struct run_result *result = run->result;
	if (result->sample_count % 1024 == 0) {
		struct run_sample *larger = realloc(result->samples, (result->sample_count + 1024) * sizeof(*result->samples));
		if (!larger)
			return;
		result->samples = larger;
	}
	result->samples[result->sample_count++] = (struct run_sample){ .at_ns = now_ns - run->start_ns,
		                                                           .in_flight = run->in_flight,
		                                                           .queue = scrape_queue(run->scrape),
		                                                           .rung = scrape_rung(run->scrape) };
}

static void end_second(struct run *run, int64_t now_ns)
{
	struct detector_second *second = &run->second;
	second->in_flight = run->in_flight;
	second->ttft_s = run->second_ttfts ? second->ttft_s / run->second_ttfts : oldest_wait_s(run, now_ns);
	detector_add(&run->detector, second);
	*second = (struct detector_second){ 0 };
	run->second_ttfts = 0;
	take_sample(run, now_ns);
	if (run->scrape)
		scrape_ask(run->scrape);
	struct bytes why = { 0 };
	if (run->settings->stops_when_hopeless && detector_is_hopeless(&run->detector, &why))
		run_stop_early(run, RUN_HOPELESS, "%s", bytes_text(&why));
	bytes_fini(&why);
}

static void end_overdue(struct run *run, int64_t now_ns)
{
	for (struct exchange *exchange = run->first; exchange && !run->is_stopping;) {
		struct exchange *next = exchange->next_running;
		const int64_t timeout_ns = run->settings->timeout_ns;
		if (exchange->call && now_ns - exchange->attempt_ns > timeout_ns)
			exchange_abandon(exchange, OUTCOME_TIMEOUT);
		else if (!exchange->call && exchange->retrieval && now_ns - exchange->retrieval_begin_ns > timeout_ns)
			exchange_abandon(exchange, OUTCOME_RETRIEVAL);
		exchange = next;
	}
}

/* The warm-up is nearly over: what it taught of the bytes of a token goes into the rest, which must still be built. */
static void open_gate(struct run *run)
{
	run->gate_is_open = true;
	const double ratio = run->usage_tokens ? (double)run->usage_bytes / (double)run->usage_tokens : 0;
	/* Outside this the answers' usage is no count of tokens. */
	const bool is_sane = ratio >= 1 && ratio <= 16;
	if (is_sane)
		run->result->bytes_per_token = ratio;
	builder_open_gate(run->builder, is_sane ? ratio : 0);
}

static void on_tick(struct timer *tick)
{
	struct run *run = container_of(tick, struct run, tick);
	const int64_t now_ns = clock_now_ns();
	timer_start_at(tick, tick->due_ns + TICK_NS > now_ns ? tick->due_ns + TICK_NS : now_ns + TICK_NS);
	const int64_t warm_up_ns = run->settings->warm_up_ns;
	if (!run->gate_is_open && now_ns - run->start_ns >= warm_up_ns - min_ll(warm_up_ns / 4, 2 * NS_PER_S))
		open_gate(run);
	progress_show(run, now_ns, false);
	if (now_ns < run->second_at_ns)
		return;
	run->second_at_ns += NS_PER_S;
	end_second(run, now_ns);
	if (!run->is_stopping)
		end_overdue(run, now_ns);
}

static void on_signal(void *owner, int signal_number)
{
	(void)signal_number;
	run_stop_early(owner, RUN_INTERRUPTED, "interrupted");
}

/* ---- life ---- */

static size_t count_warm_up(const struct workload *workload, int64_t warm_up_ns)
{
	size_t count = 0;
	while (count < workload->count && workload->rows[count].at_ns < warm_up_ns)
		count++;
	return count;
}

static enum error open_run(struct run *run, struct bytes *fault)
{
	const struct run_settings *settings = run->settings;
	enum error error = loop_new(&run->loop);
	if (!error)
		error = pacer_new(run->loop, dispatch_due, run, &run->pacer);
	if (!error)
		error = run_pool_new(run, settings->body.url, &run->pool, fault);
	if (!error && settings->has_retrieval)
		error = run_pool_new(run, &settings->retrieval, &run->retrieval_pool, fault);
	if (!error && settings->has_admin)
		error = scrape_new(run, &run->scrape);
	if (!error && settings->sessions_are_closed)
		error = sessions_new(run->workload, &run->sessions);
	if (!error)
		error = builder_new(&settings->body, run->workload, run->gate, &run->builder);
	if (!error)
		error = signals_catch(run->loop, SIGINT, on_signal, run);
	if (!error)
		error = signals_catch(run->loop, SIGTERM, on_signal, run);
	return error;
}

static void close_run(struct run *run)
{
	scrape_free(&run->scrape);
	ahead_free(&run->ahead);
	builder_free(&run->builder);
	sessions_free(&run->sessions);
	exchange_free_all(run);
	heap_fini(&run->retries);
	if (run->pool)
		http_pool_free(&run->pool);
	if (run->retrieval_pool)
		http_pool_free(&run->retrieval_pool);
	pacer_free(&run->pacer);
	loop_free(&run->loop);
}

/* What was to come before the start has come, or takes too long. */
static void begin_sending(void *owner)
{
	struct run *run = owner;
	run->start_ns = clock_now_ns() + LEAD_NS;
	run->second_at_ns = run->start_ns + NS_PER_S;
	timer_start_at(&run->tick, run->start_ns + TICK_NS);
	loop_on_turn_end(run->loop, dispatch_end_turn, run);
}

static void send_all(struct run *run)
{
	if (run->gate == 0)
		open_gate(run);
	builder_wait_full(run->builder);
	run->is_terminal = isatty(2);
	timer_init(&run->tick, run->loop, on_tick);
	if (run->scrape)
		scrape_ask(run->scrape);
	const uint32_t first_second = (uint32_t)count_warm_up(run->workload, NS_PER_S);
	enum error error =
		ahead_start(run->loop, run->pool, run->settings->body.url, first_second, begin_sending, run, &run->ahead);
	if (error)
		begin_sending(run);
	loop_run(run->loop);
	timer_stop(&run->tick);
	run->result->elapsed_ns = clock_now_ns() - run->start_ns;
	progress_show(run, clock_now_ns(), true);
}

enum error run_schedule(const struct run_settings *settings, const struct workload *workload, struct run_result *out,
                        struct bytes *fault)
{
	struct run *run = calloc(1, sizeof(*run));
	*out = (struct run_result){ .count = workload->count,
		                        .rung_count = 1,
		                        .bytes_per_token = settings->body.bytes_per_token,
		                        .warm_up_ns = settings->warm_up_ns };
	out->records = calloc(workload->count + 1, sizeof(*out->records));
	if (!run || !out->records) {
		free(run);
		return ERROR_MEMORY;
	}
	*run = (struct run){ .settings = settings, .workload = workload, .result = out };
	const uint64_t files = raise_file_limit();
	run->in_flight_max = files > 2 * FILES_KEPT ? files - FILES_KEPT : files / 2;
	if (settings->in_flight_max && settings->in_flight_max < run->in_flight_max)
		run->in_flight_max = settings->in_flight_max;
	run->gate = count_warm_up(workload, settings->warm_up_ns);
	heap_init(&run->retries);
	enum error error = open_run(run, fault);
	if (!error)
		send_all(run);
	else if (fault->len == 0)
		bytes_printf(fault, "the run can't begin: %s", error_text(error));
	close_run(run);
	free(run);
	return error;
}

void run_result_fini(struct run_result *result)
{
	free(result->records);
	free(result->samples);
	result->records = NULL;
	result->samples = NULL;
}
