/* Called by worker_jobs.c on the loop; prepare and write run on a pool thread. */
#include "engine/worker_embeddings.h"

#include <stdlib.h>

#include "base/clock.h"
#include "engine/embedding.h"
#include "io/work.h"

struct embedding_call {
	struct worker *worker;
	struct http_exchange *exchange; /* borrowed; NULL once the client has left */
	struct embedding *embedding;    /* owned */
	struct embedding_wish wish;
	void (*over)(struct job *job); /* NULL: nobody waits for it any more */
	struct job *job;
	bool is_on_pool; /* a pool thread has it, or its end is on the way */
	enum error error;
	struct api_fault fault;
};

void embedding_call_free(struct embedding_call **call)
{
	struct embedding_call *freed = *call;
	*call = NULL;
	if (freed && freed->is_on_pool) {
		freed->over = NULL;
		freed->exchange = NULL;
	} else if (freed) {
		embedding_free(&freed->embedding);
		free(freed);
	}
}

static void end_call(struct embedding_call *call)
{
	void (*over)(struct job * job) = call->over;
	struct job *job = call->job;
	embedding_call_free(&call);
	if (over)
		over(job);
}

/* Ends in done(call), on the loop, even when the worker stops first. */
static enum error start_on_pool(struct embedding_call *call, void (*work)(void *argument), void (*done)(void *argument))
{
	call->is_on_pool = true;
	enum error error = work_start(call->worker->loop, work, done, call);
	call->is_on_pool = !error;
	return error;
}

static void refuse(struct embedding_call *call)
{
	struct bytes body = { 0 };
	api_write_error(&body, &call->fault);
	if (call->exchange)
		http_respond(call->exchange, call->fault.status, SPAN("content-type: application/json\r\n"), bytes_span(&body));
	bytes_fini(&body);
	end_call(call);
}

static void refuse_with(struct embedding_call *call, int status, const char *code, const char *message)
{
	enum error error = api_refuse(&call->fault, ERROR_INTERNAL, "", "%s", message);
	(void)error; /* the fault is what is wanted */
	call->fault.status = status;
	call->fault.type = api_error_type(status);
	call->fault.code = code;
	refuse(call);
}

/* ---- the answer ---- */

static void add_event(struct bytes *out, const char *name, struct span data)
{
	bytes_printf(out, "event: %s\ndata: ", name);
	bytes_append_span(out, data);
	bytes_append_text(out, "\n\n");
}

/* A gateway hears of the "first token" when the vectors are there: nothing can be sent earlier. */
static void answer_events(struct embedding_call *call, struct span timings)
{
	struct bytes events = { 0 };
	add_event(&events, "first_token", SPAN("{}"));
	add_event(&events, "penstock", timings);
	add_event(&events, "answer", bytes_span(&call->embedding->answer));
	http_respond_start(call->exchange, 200, SPAN("content-type: text/event-stream\r\ncache-control: no-store\r\n"));
	http_respond_write(call->exchange, bytes_span(&events));
	http_respond_finish(call->exchange);
	bytes_fini(&events);
}

static void answer_whole(struct embedding_call *call, struct span timings)
{
	struct bytes headers = { 0 };
	bytes_append_text(&headers, "content-type: application/json\r\nx-penstock-timings: ");
	bytes_append_span(&headers, timings);
	bytes_append_text(&headers, "\r\n");
	http_respond(call->exchange, 200, bytes_span(&headers), bytes_span(&call->embedding->answer));
	bytes_fini(&headers);
}

static void write_answer(void *argument)
{
	struct embedding_call *call = argument;
	embedding_write(call->embedding, call->worker->load.model);
}

static void written(void *argument)
{
	struct embedding_call *call = argument;
	struct bytes timings = { 0 };
	call->is_on_pool = false;
	if (!bytes_ok(&call->embedding->answer)) {
		refuse_with(call, 503, "out_of_memory", "Out of memory.");
		return;
	}
	embedding_write_timings(call->embedding, &timings);
	if (call->exchange && call->wish.wants_events)
		answer_events(call, bytes_span(&timings));
	else if (call->exchange)
		answer_whole(call, bytes_span(&timings));
	bytes_fini(&timings);
	end_call(call);
}

static void computed(struct embedding_call *call)
{
	enum error error = call->embedding->job.error;
	if (!call->exchange || error == ERROR_CANCELLED)
		end_call(call);
	else if (error == ERROR_TIMEOUT)
		refuse_with(call, 504, "deadline", "These embeddings can't come by the deadline any more.");
	else if (error)
		refuse_with(call, 500, "engine_error", "The engine failed while it computed this answer; try again.");
	else if (start_on_pool(call, write_answer, written) != OK)
		refuse_with(call, 503, "out_of_memory", "Out of memory.");
}

void worker_collect_embeddings(struct worker *worker)
{
	struct embedding_job *job;
	while ((job = embeddings_collect(worker->embeddings)))
		computed(job->owner);
	worker_report(worker);
}

/* ---- the way in ---- */

static void prepare(void *argument)
{
	struct embedding_call *call = argument;
	call->error = embedding_prepare(call->embedding, call->worker->embedder, &call->fault);
}

static void prepared(void *argument)
{
	struct embedding_call *call = argument;
	struct embedding_job *job = &call->embedding->job;
	call->is_on_pool = false;
	if (!call->exchange) {
		end_call(call);
		return;
	}
	if (call->error) {
		refuse(call);
		return;
	}
	job->owner = call;
	job->deadline_ns = call->wish.deadline_ns;
	if (embeddings_add(call->worker->embeddings, job) != OK)
		refuse_with(call, 503, "out_of_memory", "Out of memory.");
	else
		worker_report(call->worker);
}

struct embedding_call *embedding_call_start(struct worker *worker, struct http_exchange *exchange,
                                            const struct embedding_wish *wish, void (*over)(struct job *job),
                                            struct job *job)
{
	struct bytes body = { 0 };
	struct embedding_call *call = calloc(1, sizeof(*call));
	bytes_append_span(&body, http_exchange_body(exchange));
	if (!call || !bytes_ok(&body) || embedding_new(&body, &call->embedding) != OK) {
		bytes_fini(&body);
		free(call);
		return NULL;
	}
	call->worker = worker;
	call->exchange = exchange;
	call->wish = *wish;
	call->over = over;
	call->job = job;
	call->embedding->prompt_cap = wish->prompt_cap;
	call->embedding->arrived_ns = clock_now_ns();
	if (start_on_pool(call, prepare, prepared) != OK)
		embedding_call_free(&call);
	return call;
}

void embedding_call_leave(struct embedding_call *call)
{
	call->exchange = NULL;
	atomic_store(&call->embedding->job.cancelled, true);
}

/* ---- the load ---- */

static uint64_t whole(double value)
{
	return value > 0 ? (uint64_t)value : 0;
}

void embeddings_report(struct embeddings *embeddings, struct load_report *load)
{
	struct embeddings_load now = { 0 };
	double terms[STEP_TERMS];
	embeddings_load(embeddings, &now);
	step_model_terms(&now.model, terms);
	load->running = now.running;
	load->waiting = now.waiting;
	load->backlog_tokens = now.backlog_tokens;
	load->steps = now.batches;
	load->prefill_tokens = now.tokens;
	load->prompt_fixed_ns = whole(terms[STEP_FIXED]);
	load->prompt_token_ns = whole(terms[STEP_TOKEN] + terms[STEP_CONTEXT] * now.usual_context);
	load->prompt_share_permille = 1000;
	load->steps_observed = now.model.observed;
}
