/* A job is an exchange, its choices, or both: the client may leave before their generations have ended, and asks for /load or /v1/models make none at
 * all. A job is freed when neither is left. */
#include "engine/worker_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/random.h"
#include "config/config.h"
#include "engine/answer.h"
#include "engine/worker_embeddings.h"
#include "io/work.h"

#define BODY_BYTES_MAX (64 * 1024 * 1024)
#define REPORT_NS (50 * NS_PER_MS)
#define JSON_DEPTH 512

/* One of the answers that a request asks for: a generation of its own, whose prompt is the others' too (prompts.c computes it once). */
struct choice {
	struct job *job;
	struct generation *generation; /* NULL: not made */
};

struct job {
	struct worker *worker;
	struct job *previous;
	struct job *next;
	struct http_exchange *exchange; /* NULL once the client is served or gone */
	struct choice choices[API_CHOICES_MAX];
	struct answer *answers[API_CHOICES_MAX]; /* parallel to choices */
	uint32_t count;                          /* of both; 0 until a body has come */
	uint32_t running;                        /* choices that run */
	bool failed;                             /* one has: the others are of no use */
	struct bytes fault_text;                 /* from prepare */
	struct embedding_call *embedding;        /* instead of choices; running while it is there */
	struct api_fault fault;
	enum error error;
	enum api_endpoint endpoint;
	bool is_listener;  /* of /load */
	bool wants_events; /* x-penstock-events: also a whole answer comes as server-sent events */
	bool is_preparing;
};

static void free_if_over(struct job *job)
{
	if (job->exchange || job->is_preparing || job->running)
		return;
	if (job->previous)
		job->previous->next = job->next;
	else
		job->worker->jobs = job->next;
	if (job->next)
		job->next->previous = job->previous;
	for (uint32_t i = 0; i < job->count; i++) {
		answer_free(&job->answers[i]);
		generation_free(job->worker->engine, &job->choices[i].generation);
	}
	embedding_call_free(&job->embedding);
	bytes_fini(&job->fault_text);
	free(job);
}

static void end_exchange(struct job *job)
{
	if (job->exchange)
		http_exchange_end(&job->exchange);
}

static void respond_json(struct job *job, int status, struct span body)
{
	http_respond(job->exchange, status, SPAN("content-type: application/json\r\n"), body);
	end_exchange(job);
}

static void respond_fault(struct job *job, const struct api_fault *fault)
{
	struct bytes body = { 0 };
	api_write_error(&body, fault);
	respond_json(job, fault->status, bytes_span(&body));
	bytes_fini(&body);
}

static void respond_error(struct job *job, int status, const char *code, const char *message)
{
	struct api_fault fault = { .status = status, .type = api_error_type(status), .code = code };
	snprintf(fault.message, sizeof(fault.message), "%s", message);
	respond_fault(job, &fault);
}

/* ---- load reports ---- */

static uint64_t whole(double value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static void gather_load(struct worker *worker)
{
	struct load_report *load = &worker->load;
	struct steps_load steps = { 0 };
	load->percent = (uint64_t)atomic_load(&worker->progress);
	if (worker->embeddings)
		embeddings_report(worker->embeddings, load);
	if (!worker->steps)
		return;
	steps_load(worker->steps, &steps);
	load->running = steps.sequences_running;
	load->waiting = steps.sequences_waiting;
	load->cells_used = steps.cells_used;
	load->backlog_tokens = steps.backlog_tokens;
	load->steps = steps.steps;
	load->prefill_tokens = steps.prefill_tokens;
	load->output_tokens = steps.output_tokens;
	load->preemptions = steps.preemptions;
	load->cached_tokens = steps.cached_tokens;
	load->prefix_bytes = steps.prefix_bytes;
	load->prompt_share_permille = steps.share_permille;
	double prompt[STEP_TERMS];
	double stream[STEP_TERMS];
	step_model_terms(&steps.prompt_model, prompt);
	step_model_terms(&steps.stream_model, stream);
	load->prompt_fixed_ns = whole(prompt[STEP_FIXED]);
	load->prompt_token_ns = whole(prompt[STEP_TOKEN] + prompt[STEP_CONTEXT] * steps.usual_context);
	load->prompt_beside_ns = whole(prompt[STEP_BESIDE]);
	load->stream_fixed_ns = whole(stream[STEP_FIXED]);
	load->stream_token_ns = whole(stream[STEP_TOKEN]);
	load->stream_beside_ns = whole(stream[STEP_BESIDE]);
	load->stream_context_ps = whole(stream[STEP_CONTEXT] * 1000);
	load->steps_observed = steps.prompt_model.observed + steps.stream_model.observed;
}

static void send_report(struct job *job)
{
	struct bytes event = { 0 };
	bytes_append_text(&event, "data: ");
	bytes_append_span(&event, bytes_span(&job->worker->last_report));
	bytes_append_text(&event, "\n\n");
	http_respond_write(job->exchange, bytes_span(&event));
	bytes_fini(&event);
}

void worker_report(struct worker *worker)
{
	struct bytes text = { 0 };
	gather_load(worker);
	load_report_write(&text, &worker->load);
	if (!span_equal(bytes_span(&text), bytes_span(&worker->last_report))) {
		bytes_fini(&worker->last_report);
		worker->last_report = text;
		for (struct job *job = worker->jobs; job; job = job->next) {
			if (job->is_listener && job->exchange)
				send_report(job);
		}
	} else {
		bytes_fini(&text);
	}
	bool is_busy = worker->load.state != ENGINE_READY || worker->load.running || worker->running_jobs;
	if (is_busy && !timer_is_armed(&worker->report))
		timer_start_after(&worker->report, REPORT_NS);
}

static void start_listening(struct job *job)
{
	worker_report(job->worker); /* to the others; what is current goes to the new one below */
	job->is_listener = true;
	http_respond_start(job->exchange, 200, SPAN("content-type: text/event-stream\r\ncache-control: no-store\r\n"));
	send_report(job);
}

static void respond_models(struct job *job)
{
	struct bytes body = { 0 };
	bytes_append_text(&body, "{\"object\":\"list\",\"data\":[{\"id\":");
	json_write_string(&body, span_of(job->worker->load.model));
	bytes_append_text(&body, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"penstock\"}]}");
	respond_json(job, 200, bytes_span(&body));
	bytes_fini(&body);
}

/* ---- a generation's way ---- */

static int64_t header_number(const struct http_head *head, const char *name, int64_t otherwise)
{
	uint64_t value = 0;
	struct span text = http_header_value(head, name);
	if (!text.len || span_to_u64(text, INT32_MAX, &value) != OK)
		return otherwise;
	return (int64_t)value;
}

static enum error prepare_choice(struct job *job, uint32_t index)
{
	struct generation *generation = job->choices[index].generation;
	struct api_request *request = &generation->request;
	struct engine *engine = job->worker->engine;
	enum error error = api_request_parse(request, job->endpoint, bytes_span(&generation->body), JSON_DEPTH,
	                                     &generation->arena, &job->fault);
	if (error)
		return error;
	if (request->seed >= 0)
		request->seed += index; /* choices of one seed differ, and come again */
	error = engine->ops->prepare(engine, generation, &job->fault_text);
	if (!error)
		return OK;
	enum error shown = error == ERROR_INTERNAL || error == ERROR_MEMORY ? ERROR_MEMORY : error;
	const char *text = job->fault_text.len ? bytes_text(&job->fault_text) : error_text(error);
	error = api_refuse(&job->fault, shown, job->endpoint == API_CHAT ? "messages" : "prompt", "%s", text);
	if (shown == ERROR_LIMIT)
		job->fault.code = "context_length_exceeded";
	return error;
}

/* One more choice, as the first was asked for. */
static enum error add_choice(struct job *job)
{
	const struct generation *first = job->choices[0].generation;
	struct generation *generation;
	struct bytes copy = { 0 };
	bytes_append_span(&copy, bytes_span(&first->body));
	if (!bytes_ok(&copy) || generation_new(&copy, &generation) != OK) {
		bytes_fini(&copy);
		return ERROR_MEMORY;
	}
	generation_copy_wishes(generation, first);
	job->choices[job->count++] = (struct choice){ .job = job, .generation = generation };
	generation->owner = &job->choices[job->count - 1];
	return OK;
}

/* Pool thread: everything about a request that is not a step. */
static void prepare(void *argument)
{
	struct job *job = argument;
	job->error = prepare_choice(job, 0);
	int64_t wanted = job->error ? 1 : job->choices[0].generation->request.n;
	while (job->count < wanted && !job->error) {
		job->error = add_choice(job);
		if (job->error)
			job->error = api_refuse(&job->fault, ERROR_MEMORY, "", "Out of memory.");
		else
			job->error = prepare_choice(job, job->count - 1);
	}
}

static enum error make_answers(struct job *job)
{
	struct answer_facts facts = { .created_s = clock_wall_ns() / NS_PER_S };
	uint64_t bits[2];
	enum error error = OK;
	random_secure(bits, sizeof(bits));
	snprintf(facts.id, sizeof(facts.id), "%s-%016llx%016llx", job->endpoint == API_CHAT ? "chatcmpl" : "cmpl",
	         (unsigned long long)bits[0], (unsigned long long)bits[1]);
	snprintf(facts.model, sizeof(facts.model), "%s", job->worker->load.model);
	for (uint32_t i = 0; i < job->count && !error; i++)
		error = answer_new(job->worker->engine, job->choices[i].generation, &facts, i, &job->answers[i]);
	return error ? api_refuse(&job->fault, ERROR_MEMORY, "", "Out of memory.") : OK;
}

static void prepared(void *argument)
{
	struct job *job = argument;
	struct worker *worker = job->worker;
	job->is_preparing = false;
	if (!job->exchange) {
		free_if_over(job);
		return;
	}
	if (!job->error)
		job->error = make_answers(job);
	if (job->error) {
		respond_fault(job, &job->fault);
		free_if_over(job);
		return;
	}
	worker->running_jobs++;
	job->running = job->count;
	for (uint32_t i = 0; i < job->count; i++) {
		struct generation *generation = job->choices[i].generation;
		generation->arrival = ++worker->arrivals;
		generation->times.prepared_ns = clock_now_ns();
		steps_add(worker->steps, generation);
	}
	worker_report(worker);
}

static void read_wishes(const struct http_head *head, struct generation *generation)
{
	int64_t now_ns = clock_now_ns();
	int64_t deadline_ms = header_number(head, "x-penstock-deadline-ms", -1);
	generation->times.arrived_ns = now_ns;
	generation->deadline_ns = deadline_ms < 0 ? NS_NEVER : now_ns + deadline_ms * NS_PER_MS;
	generation->expected_tokens = header_number(head, "x-penstock-expected-tokens", 0);
	generation->output_cap = (uint32_t)header_number(head, "x-penstock-max-output", 0);
	generation->prompt_cap = (uint32_t)header_number(head, "x-penstock-max-prompt", 0);
	generation->class = (uint32_t)header_number(head, "x-penstock-class", 0);
	generation->salt = (uint64_t)header_number(head, "x-penstock-cache-salt", 0);
}

static void start_generation(struct job *job)
{
	const struct http_head *head = http_exchange_head(job->exchange);
	struct choice *first = &job->choices[0];
	struct bytes copy = { 0 };
	bytes_append_span(&copy, http_exchange_body(job->exchange));
	if (!bytes_ok(&copy) || generation_new(&copy, &first->generation) != OK) {
		bytes_fini(&copy);
		respond_error(job, 503, "out_of_memory", "Out of memory.");
		return;
	}
	job->count = 1;
	first->job = job;
	first->generation->owner = first;
	read_wishes(head, first->generation);
	job->wants_events = header_number(head, "x-penstock-events", 0) == 1;
	job->is_preparing = true;
	if (work_start(job->worker->loop, prepare, prepared, job) != OK) {
		job->is_preparing = false;
		respond_error(job, 503, "out_of_memory", "Out of memory.");
	}
}

static void embedding_over(struct job *job)
{
	job->embedding = NULL;
	job->running = 0;
	job->worker->running_jobs--;
	end_exchange(job);
	free_if_over(job);
}

static void start_embedding(struct job *job)
{
	const struct http_head *head = http_exchange_head(job->exchange);
	int64_t deadline_ms = header_number(head, "x-penstock-deadline-ms", -1);
	const struct embedding_wish wish = {
		.deadline_ns = deadline_ms < 0 ? NS_NEVER : clock_now_ns() + deadline_ms * NS_PER_MS,
		.prompt_cap = (uint32_t)header_number(head, "x-penstock-max-prompt", 0),
		.wants_events = header_number(head, "x-penstock-events", 0) == 1,
	};
	job->embedding = embedding_call_start(job->worker, job->exchange, &wish, embedding_over, job);
	if (!job->embedding) {
		respond_error(job, 503, "out_of_memory", "Out of memory.");
		return;
	}
	job->running = 1;
	job->worker->running_jobs++;
}

/* A model either writes text or makes vectors; who asks for the other is told where it is to be had. */
static bool refuse_other_kind(struct job *job)
{
	const struct worker *worker = job->worker;
	const char *model = worker->load.model;
	struct api_fault fault = { 0 };
	enum error error = OK;
	if (worker->embeddings && job->endpoint != API_EMBEDDING)
		error = api_refuse(&fault, ERROR_UNSUPPORTED, "model",
		                   "The model %s makes embeddings and writes no text; use /v1/embeddings, or ask a text model.",
		                   model);
	else if (worker->steps && job->endpoint == API_EMBEDDING)
		error = api_refuse(&fault, ERROR_UNSUPPORTED, "model",
		                   "The model %s writes text and makes no embeddings; ask a model that does, such as "
		                   "all-minilm-l6-v2 (a pool of its own).",
		                   model);
	if (error)
		respond_fault(job, &fault);
	return error != OK;
}

static void start_work(struct job *job)
{
	if (refuse_other_kind(job))
		return;
	if (job->endpoint == API_EMBEDDING)
		start_embedding(job);
	else
		start_generation(job);
}

static bool find_endpoint(struct span path, enum api_endpoint *out)
{
	static const struct {
		const char *path;
		enum api_endpoint endpoint;
	} rows[] = {
		{ "/v1/chat/completions", API_CHAT },
		{ "/v1/completions", API_COMPLETION },
		{ "/v1/embeddings", API_EMBEDDING },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!span_is(path, rows[i].path))
			continue;
		*out = rows[i].endpoint;
		return true;
	}
	return false;
}

static void start_events(struct job *job)
{
	if (!http_exchange_has_started(job->exchange))
		http_respond_start(job->exchange, 200, SPAN("content-type: text/event-stream\r\ncache-control: no-store\r\n"));
}

static void write_event(struct job *job, const char *name, const struct bytes *data)
{
	struct bytes event = { 0 };
	bytes_printf(&event, "event: %s\ndata: ", name);
	bytes_append_span(&event, bytes_span(data));
	bytes_append_text(&event, "\n\n");
	http_respond_write(job->exchange, bytes_span(&event));
	bytes_fini(&event);
}

/* A whole answer to a gateway: told of the first token when it is there, not when the last one is. */
static void write_whole_as_events(struct job *job, bool is_over, const struct generation_times *times,
                                  const struct bytes *answer)
{
	struct bytes text = { 0 };
	if (!http_exchange_has_started(job->exchange)) {
		start_events(job);
		bytes_append_text(&text, "{}");
		write_event(job, "first_token", &text);
		bytes_clear(&text);
	}
	if (is_over) {
		answer_write_timings(job->answers, job->count, times, &text);
		write_event(job, "penstock", &text);
		write_event(job, "answer", answer);
		http_respond_finish(job->exchange);
	}
	bytes_fini(&text);
}

static void write_whole(struct job *job, const struct generation_times *times, const struct bytes *answer)
{
	struct bytes headers = { 0 };
	bytes_append_text(&headers, "content-type: application/json\r\nx-penstock-timings: ");
	answer_write_timings(job->answers, job->count, times, &headers);
	bytes_append_text(&headers, "\r\n");
	http_respond(job->exchange, 200, bytes_span(&headers), bytes_span(answer));
	bytes_fini(&headers);
}

static void write_output(struct choice *choice, const struct generation_output *output,
                         const struct generation_times *times)
{
	struct job *job = choice->job;
	struct answer *answer = job->answers[choice - job->choices];
	bool is_over = output->finish && job->running == 1; /* this is the last choice */
	struct bytes out = { 0 };
	answer_add(answer, output, &out);
	if (output->finish)
		answer_close(answer, output->finish, &out);
	if (is_over)
		answer_finish(job->answers, job->count, times, &out);
	if (choice->generation->request.stream) {
		if (out.len) {
			start_events(job);
			http_respond_write(job->exchange, bytes_span(&out));
		}
		if (is_over)
			http_respond_finish(job->exchange);
	} else if (job->wants_events) {
		write_whole_as_events(job, is_over, times, &out);
	} else if (is_over) {
		write_whole(job, times, &out);
	}
	bytes_fini(&out);
}

static void cancel_choices(struct job *job)
{
	for (uint32_t i = 0; i < job->count; i++) {
		if (job->choices[i].generation)
			atomic_store(&job->choices[i].generation->cancelled, true);
	}
	if (job->running)
		steps_wake(job->worker->steps);
}

static void write_failure(struct job *job, enum error why)
{
	bool has_started = http_exchange_has_started(job->exchange);
	if (!has_started && why == ERROR_TIMEOUT) {
		respond_error(job, 504, "deadline", "The first token can't come by the deadline any more.");
		return;
	}
	if (!has_started) {
		respond_error(job, 500, "engine_error", "The engine failed while it computed this answer; try again.");
		return;
	}
	struct bytes event = { 0 };
	bytes_append_text(&event, "data: ");
	api_write_error_text(&event, "server_error", "engine_error", "The engine failed in the middle of this answer.");
	bytes_append_text(&event, "\n\n");
	http_respond_write(job->exchange, bytes_span(&event));
	http_respond_finish(job->exchange);
	bytes_fini(&event);
	log_line(LOG_WARNING, "an answer failed in its middle: %s", error_text(why));
}

static void deliver(struct choice *choice, const struct generation_output *output, const struct generation_times *times)
{
	struct job *job = choice->job;
	if (job->exchange && !job->failed) {
		if (output->finish == FINISH_ERROR) {
			job->failed = true;
			write_failure(job, output->failure);
			cancel_choices(job);
		} else if (output->finish != FINISH_CANCELLED) {
			write_output(choice, output, times);
		}
	}
	if (!output->finish)
		return;
	if (--job->running)
		return;
	job->worker->running_jobs--;
	end_exchange(job);
	free_if_over(job);
}

void worker_collect(struct worker *worker)
{
	struct generation_output output;
	struct generation_times times;
	struct generation *generation;
	while ((generation = steps_collect(worker->steps, &output, &times))) {
		deliver(generation->owner, &output, &times);
		bytes_fini(&output.text);
		bytes_fini(&output.logprobs);
	}
	if (!timer_is_armed(&worker->report))
		timer_start_after(&worker->report, REPORT_NS);
}

/* ---- HTTP ---- */

static void *on_begin(void *context, struct http_exchange *exchange)
{
	struct worker *worker = context;
	struct job *job = calloc(1, sizeof(*job));
	if (!job)
		return NULL;
	job->worker = worker;
	job->exchange = exchange;
	job->next = worker->jobs;
	if (worker->jobs)
		worker->jobs->previous = job;
	worker->jobs = job;
	return job;
}

static void on_head(struct job *job)
{
	const struct http_head *head = http_exchange_head(job->exchange);
	bool is_get = span_is(head->method, "GET");
	bool is_post = span_is(head->method, "POST");
	if (is_get && span_is(head->path, "/load")) {
		start_listening(job);
	} else if (is_get && span_is(head->path, "/v1/models")) {
		respond_models(job);
	} else if (is_post && find_endpoint(head->path, &job->endpoint)) {
		if (!job->worker->steps && !job->worker->embeddings)
			respond_error(job, 503, "loading", "The model is still loading.");
		else if (http_exchange_accept_body(job->exchange, BODY_BYTES_MAX) != OK)
			respond_error(job, 413, "too_large", "The body is too large.");
		else if (http_exchange_body_is_complete(job->exchange))
			start_work(job);
	} else {
		respond_error(job, 404, "not_found", "There is no such path.");
	}
}

static void on_gone(struct job *job)
{
	end_exchange(job);
	if (job->embedding)
		embedding_call_leave(job->embedding);
	else if (!job->is_preparing)
		cancel_choices(job);
}

static void on_event(void *owner, struct http_exchange *exchange, enum http_event event)
{
	struct job *job = owner;
	switch (event) {
	case HTTP_EVENT_HEAD:
		on_head(job);
		break;
	case HTTP_EVENT_BODY:
		start_work(job);
		break;
	case HTTP_EVENT_FAULT:
		respond_error(job, http_exchange_fault(exchange)->status, "bad_request", http_exchange_fault(exchange)->text);
		break;
	case HTTP_EVENT_GONE:
		on_gone(job);
		break;
	case HTTP_EVENT_DRAIN:
		return;
	}
	free_if_over(job);
}

const struct http_server_events worker_http_events = { .on_begin = on_begin, .on_event = on_event };

void worker_jobs_free(struct worker *worker)
{
	for (struct job *job = worker->jobs, *next; job; job = next) {
		next = job->next;
		job->running = 0;
		end_exchange(job);
		free_if_over(job);
	}
}
