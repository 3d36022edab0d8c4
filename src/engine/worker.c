/* The worker's process: the loop and its listener come first, so that a load report is there from the first moment; the model is opened on a
 * thread of its own. */
#include "engine/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "engine/worker_jobs.h"
#include "io/listener.h"
#include "io/signals.h"
#include "io/stream.h"

#define IDLE_NS (3600 * NS_PER_S)
/* Exit status of a worker whose model can't be used: starting it again would not help. */
#define EXIT_MODEL 2
/* Embeddings requests at once, where the config does not say: what waits beyond them does so in the gateway, in its classes' order. */
#define EMBEDDING_REQUESTS 16

/* Belongs to worker_run: its end may never be told, when the worker is stopped while it loads. */
struct opening {
	struct worker *worker;
	struct engine *engine;
	struct embedder *embedder; /* instead */
	enum error error;
	int64_t load_ns;
	int64_t warm_ns;
	struct bytes fault;
};

static const struct engine_ops *engine_ops_of(const struct pool_config *settings)
{
#ifdef PENSTOCK_TEST_HOOKS
	if (settings->engine_kind == 1)
		return &scripted_engine_ops;
#endif
	(void)settings;
	return &llama_engine_ops;
}

static bool on_progress(void *owner, float ratio)
{
	struct worker *worker = owner;
	atomic_store(&worker->progress, (int)(ratio * 100));
	return true;
}

static void on_report_due(struct timer *timer)
{
	worker_report(container_of(timer, struct worker, report));
}

static void on_news(void *owner)
{
	worker_collect(owner);
}

static void on_embeddings(void *owner)
{
	worker_collect_embeddings(owner);
}

static void become_ready_for_vectors(struct worker *worker, const struct opening *opening)
{
	worker->embedder = opening->embedder;
	const struct embedder_facts *facts = embedder_facts(worker->embedder);
	struct load_report *load = &worker->load;
	const struct embedding_computer computer = { .compute = embedder_compute,
		                                         .owner = worker->embedder,
		                                         .batch_tokens = facts->batch_tokens,
		                                         .batch_inputs = facts->batch_inputs };
	int64_t sequences = worker->settings->engine_sequences;
	load->sequences = sequences > 0 ? (uint64_t)sequences : EMBEDDING_REQUESTS;
	load->request_tokens = (uint64_t)facts->context_tokens * API_INPUTS_MAX;
	load->load_ns = (uint64_t)opening->load_ns;
	load->warm_ns = (uint64_t)opening->warm_ns;
	snprintf(load->model, sizeof(load->model), "%s", facts->model_name);
	enum error error = embeddings_start(&computer, worker->loop, on_embeddings, worker, &worker->embeddings);
	load->state = error ? ENGINE_FAILED : ENGINE_READY;
	log_line(LOG_INFO, "%s is ready for embeddings of %u dimensions: loaded in %lld ms, warm in %lld ms",
	         facts->model_name, facts->dimensions, (long long)(opening->load_ns / NS_PER_MS),
	         (long long)(opening->warm_ns / NS_PER_MS));
}

static void become_ready(struct worker *worker, const struct opening *opening)
{
	worker->engine = opening->engine;
	const struct engine_facts *facts = &worker->engine->facts;
	struct load_report *load = &worker->load;
	load->sequences = facts->sequences;
	load->cells = facts->context_tokens + (uint64_t)facts->sequences * facts->short_tokens;
	load->request_tokens = facts->request_tokens;
	load->load_ns = (uint64_t)opening->load_ns;
	load->warm_ns = (uint64_t)opening->warm_ns;
	snprintf(load->model, sizeof(load->model), "%s", facts->model_name);
	const struct steps_settings settings = { .gap_ns = worker->settings->engine_token_gap,
		                                     .prefix_bytes = (uint64_t)worker->settings->engine_prefix_memory,
		                                     .prefix_file = worker->settings->engine_prefix_file };
	enum error error = steps_start(worker->engine, &settings, worker->loop, on_news, worker, &worker->steps);
	load->state = error ? ENGINE_FAILED : ENGINE_READY;
	log_line(LOG_INFO, "%s is ready: loaded in %lld ms, warm in %lld ms", facts->model_name,
	         (long long)(opening->load_ns / NS_PER_MS), (long long)(opening->warm_ns / NS_PER_MS));
}

static void opened(void *argument)
{
	struct opening *opening = argument;
	struct worker *worker = opening->worker;
	if (opening->error) {
		const char *why = opening->fault.len ? bytes_text(&opening->fault) : error_text(opening->error);
		log_line(LOG_ERROR, "%s", why);
		worker->load.state = ENGINE_FAILED;
		snprintf(worker->load.fault, sizeof(worker->load.fault), "%s", why);
	} else if (opening->embedder) {
		become_ready_for_vectors(worker, opening);
	} else {
		become_ready(worker, opening);
	}
	worker_report(worker);
	if (worker->load.state == ENGINE_FAILED)
		loop_stop(worker->loop);
}

static void become_warming(void *argument)
{
	struct worker *worker = argument;
	if (worker->load.state == ENGINE_LOADING)
		worker->load.state = ENGINE_WARMING;
	worker_report(worker);
}

static enum error open_model(struct opening *opening)
{
	struct worker *worker = opening->worker;
	const struct engine_ops *ops = engine_ops_of(worker->settings);
	if (ops == &llama_engine_ops && embedder_serves(worker->settings))
		return embedder_open(worker->settings, on_progress, worker, &opening->embedder, &opening->fault);
	return ops->open(worker->settings, on_progress, worker, &opening->engine, &opening->fault);
}

static enum error warm_up(const struct opening *opening)
{
	if (opening->embedder)
		return embedder_warm_up(opening->embedder);
	return opening->engine->ops->warm_up(opening->engine);
}

static void *open_engine(void *argument)
{
	struct opening *opening = argument;
	struct worker *worker = opening->worker;
	int64_t began_ns = clock_now_ns();
	opening->error = open_model(opening);
	opening->load_ns = clock_now_ns() - began_ns;
	if (!opening->error) {
		/* Only the report is late if this is lost. */
		enum error posted = loop_post(worker->loop, become_warming, worker);
		(void)posted;
		opening->error = warm_up(opening);
		opening->warm_ns = clock_now_ns() - began_ns - opening->load_ns;
	}
	MUST(loop_post(worker->loop, opened, opening) == OK);
	return NULL;
}

static void on_accepted(void *owner, int fd)
{
	http_server_adopt(((struct worker *)owner)->server, fd, NULL);
}

/* Terminals and service managers signal the gateway's whole group at once, while answers may still be finished: a worker that has a gateway ends
 * when that closes its input, and by no signal. */
static void on_signal(void *owner, int signal_number)
{
	struct worker *worker = owner;
	if (signal_number == SIGTERM && !worker->has_parent)
		loop_stop(worker->loop);
}

static void on_parent_read(void *owner, const char *data, size_t len)
{
	(void)owner;
	(void)data;
	(void)len;
}

static void on_parent_gone(void *owner, enum error why)
{
	(void)why;
	loop_stop(((struct worker *)owner)->loop);
}

static const struct stream_events parent_events = { .on_read = on_parent_read, .on_close = on_parent_gone };

static enum error start(struct worker *worker, const struct worker_options *options, struct listener **listener,
                        struct stream **parent)
{
	struct http_server_settings settings = { .limits = http_limits_default, .idle_ns = IDLE_NS };
	struct address address = { .kind = ADDRESS_UNIX };
	int len = snprintf(address.path, sizeof(address.path), "%s", options->socket_path);
	if (len < 0 || (size_t)len >= sizeof(address.path))
		return ERROR_LIMIT;
	enum error error = loop_new(&worker->loop);
	if (error)
		return error;
	worker->has_parent = options->exits_with_parent;
	timer_init(&worker->report, worker->loop, on_report_due);
	error = http_server_new(worker->loop, &settings, &worker_http_events, worker, &worker->server);
	if (!error)
		error = listener_open(worker->loop, &address, on_accepted, worker, listener);
	if (!error)
		error = signals_catch(worker->loop, SIGTERM, on_signal, worker);
	if (!error)
		error = signals_catch(worker->loop, SIGINT, on_signal, worker);
	if (!error && options->exits_with_parent)
		error = stream_adopt(worker->loop, STDIN_FILENO, NULL, &parent_events, worker, parent);
	return error;
}

static enum error start_opening(struct opening *opening, pthread_t *thread)
{
	opening->worker->load.state = ENGINE_LOADING;
	return error_from_errno(pthread_create(thread, NULL, open_engine, opening));
}

static void end_opening(struct opening *opening, pthread_t thread)
{
	pthread_join(thread, NULL);
	if (!opening->worker->engine && opening->engine)
		opening->engine->ops->close(&opening->engine);
	if (!opening->worker->embedder)
		embedder_close(&opening->embedder);
	bytes_fini(&opening->fault);
}

static void stop(struct worker *worker, struct listener **listener, struct stream **parent)
{
	steps_stop(&worker->steps);
	embeddings_stop(&worker->embeddings);
	worker_jobs_free(worker);
	stream_close(parent);
	listener_close(listener);
	timer_stop(&worker->report);
	http_server_free(&worker->server);
	loop_free(&worker->loop);
	if (worker->engine)
		worker->engine->ops->close(&worker->engine);
	embedder_close(&worker->embedder);
	bytes_fini(&worker->last_report);
}

int worker_run(const struct worker_options *options)
{
	struct worker worker = { .settings = options->settings };
	struct opening opening = { .worker = &worker };
	struct listener *listener = NULL;
	struct stream *parent = NULL;
	pthread_t thread;
	enum error error = start(&worker, options, &listener, &parent);
	bool is_opening = false;
	signal(SIGPIPE, SIG_IGN); /* a gateway that closes a connection is an error value, not the end */
	if (!error) {
		error = start_opening(&opening, &thread);
		is_opening = !error;
	}
	if (error)
		log_line(LOG_ERROR, "the engine worker can't start on %s: %s", options->socket_path, error_text(error));
	else
		loop_run(worker.loop);
	if (is_opening)
		end_opening(&opening, thread);
	bool has_failed = error || worker.load.state == ENGINE_FAILED;
	stop(&worker, &listener, &parent);
	return has_failed ? EXIT_MODEL : 0;
}
