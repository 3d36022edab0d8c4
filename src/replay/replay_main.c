/* `penstock replay`: a trace's requests against a gateway, in open loop, timed from when each was meant to leave. */
#include "replay/replay_main.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "replay/bake.h"
#include "replay/consequences.h"
#include "replay/fetch.h"
#include "replay/keys.h"
#include "replay/options.h"
#include "replay/quantity.h"
#include "replay/readers.h"
#include "replay/report.h"
#include "replay/shape.h"

static const char usage[] =
	"Usage: penstock replay TRACE [OPTION ...]\n"
	"\n"
	"Sends the requests of a trace to a gateway (any that speaks OpenAI's chat completions) when they are due, "
	"whatever\n"
	"becomes of those before, and reports latencies from the intended send. TRACE is a file (plain or .gz) or a "
	"recipe:\n"
	"  synthetic:rate=5,duration=60s,prompt=500,output=100[,arrivals=constant|poisson|gamma,cv=2]\n"
	"            [,shape=flat|step|sine|flash,factor=4,at=20s,for=10s,period=60s][,tenants=3][,turns=4,gap=5s]\n"
	"  Sizes may be ranges: prompt=100-900.\n"
	"\n"
	"Examples:\n"
	"  penstock replay synthetic:rate=2,duration=30s,prompt=100,output=20 --promise ttft_p95=800ms\n"
	"  penstock replay examples/traces/azure-conv.csv --speed 2 --html report.html\n"
	"  penstock replay conversation.jsonl.gz --scale 0.1 --prompt-max 6000 --warm-up 60s --stop-when hopeless\n"
	"  penstock replay synthetic:rate=4,duration=2m,shape=flash,factor=6,at=40s,for=20s --retries 3 --json -\n"
	"  penstock replay access.log --keys keys.txt --admin http://127.0.0.1:8081 --html report.html\n"
	"\n"
	"Exit status: 0 the promise was kept (or none was asked for, and the run is valid), 1 it fell short, was stopped "
	"or isn't\n"
	"valid, 2 bad usage.\n"
	"\n"
	"Options:\n";

struct command {
	struct replay_options options;
	struct workload *workload;
	struct run_settings settings;
	struct url url;
	struct bytes model;
	struct arena arena;
	struct bake *bake; /* NULL: none was asked for */
};

static int refuse(struct bytes *fault)
{
	fprintf(stderr, "penstock replay: %s\nTry 'penstock replay --help'.\n", bytes_text(fault));
	return 2;
}

static int show_help(void)
{
	struct bytes out = { 0 };
	bytes_append_text(&out, usage);
	replay_options_help(&out);
	bytes_append_text(&out, "\nFormats (--format; auto finds them by their first line):\n");
	readers_help(&out);
	fputs(bytes_text(&out), stdout);
	bytes_fini(&out);
	return 0;
}

static enum error read_url(const char *name, const char *text, struct url *out, struct bytes *fault)
{
	enum error error = url_parse(span_of(text), out);
	if (error)
		bytes_printf(fault, "--%s takes http://host:port, https://host:port or unix:/path, not \"%.200s\"", name, text);
	return error;
}

/* Which of two words; NULL is the first. */
static enum error read_choice(const char *name, const char *text, const char *first, const char *second,
                              bool *is_second, struct bytes *fault)
{
	*is_second = text && strcmp(text, second) == 0;
	if (!text || *is_second || strcmp(text, first) == 0)
		return OK;
	bytes_printf(fault, "--%s is %s or %s, not \"%.80s\"", name, first, second, text);
	return ERROR_SYNTAX;
}

static enum error read_retrieval(struct command *command, struct bytes *fault)
{
	struct run_settings *settings = &command->settings;
	struct span words = span_of(command->options.retrieval_how);
	while (words.len) {
		const struct span word = quantity_split(&words, ',');
		if (span_is(word, "post"))
			settings->retrieval_is_post = true;
		else if (span_is(word, "beside"))
			settings->retrieval_is_beside = true;
		else if (!span_is(word, "get") && !span_is(word, "before")) {
			bytes_append_text(fault, "--retrieval takes get or post, and before or beside, with a comma between them");
			return ERROR_SYNTAX;
		}
	}
	settings->has_retrieval = command->options.retrieval != NULL;
	return settings->has_retrieval ? read_url("retrieval-url", command->options.retrieval, &settings->retrieval, fault)
	                               : OK;
}

static enum error read_settings(struct command *command, struct bytes *fault)
{
	const struct replay_options *options = &command->options;
	struct run_settings *settings = &command->settings;
	*settings = (struct run_settings){
		.body = { .url = &command->url,
		          .class = options->class,
		          .is_stream = !options->is_whole,
		          .bytes_per_token = options->token_bytes,
		          .seed = options->seed },
		.authorities = options->authorities,
		.retries = (uint32_t)options->retries,
		.in_flight_max = options->in_flight_max,
		.timeout_ns = options->timeout_ns,
		.warm_up_ns = options->warm_up_ns,
		.is_quiet = options->is_quiet,
	};
	bool never = true;
	enum error error = read_url("target", options->target, &command->url, fault);
	if (!error && options->promise)
		error = goal_parse(span_of(options->promise), &settings->goal, fault);
	if (!error)
		error = read_choice("sessions", options->sessions, "open", "closed", &settings->sessions_are_closed, fault);
	if (!error)
		error = read_choice("stop-when", options->stop_when ? options->stop_when : "never", "hopeless", "never", &never,
		                    fault);
	settings->stops_when_hopeless = !never;
	if (!error)
		error = read_retrieval(command, fault);
	settings->has_admin = options->admin != NULL;
	if (!error && options->admin)
		error = read_url("admin", options->admin, &settings->admin, fault);
	return error;
}

static enum error load_trace(struct command *command, struct bytes *fault)
{
	const struct replay_options *options = &command->options;
	const struct reader_settings reader = { .format = options->format,
		                                    .path = options->trace,
		                                    .companion = options->companion,
		                                    .seed = options->seed,
		                                    .from_ns = options->from_ns,
		                                    .to_ns = options->to_ns,
		                                    .scale = options->scale };
	struct shape_settings shape = { .speed = options->speed,
		                            .scale = options->scale,
		                            .from_ns = options->from_ns,
		                            .to_ns = options->to_ns,
		                            .idle_gap_ns = options->idle_gap_ns,
		                            .limit = options->limit,
		                            .size = options->size,
		                            .prompt_max = (uint32_t)options->prompt_max,
		                            .cancel_share = options->cancel,
		                            .seed = options->seed };
	uint64_t output = 0;
	if (options->output && strcmp(options->output, "trace") != 0 &&
	    (span_to_u64(span_of(options->output), 10000000, &output) || output == 0)) {
		bytes_printf(fault, "--output is trace or a number of tokens, not \"%.80s\"", options->output);
		return ERROR_SYNTAX;
	}
	shape.output_tokens = (uint32_t)output;
	struct bytes why = { 0 };
	enum error error = workload_new(&command->workload);
	if (!error)
		error = readers_load(&reader, command->workload, &why);
	if (!error)
		error = shape_apply(command->workload, &shape);
	if (!error && command->workload->count == 0) {
		bytes_append_text(&why, "no request of it is left to send");
		for (size_t i = 0; i < DROP_COUNT; i++) {
			if (command->workload->dropped[i])
				bytes_printf(&why, "; %llu rows: %s", (unsigned long long)command->workload->dropped[i], drop_text(i));
		}
		error = ERROR_NOT_FOUND;
	}
	if (error)
		bytes_printf(fault, "%s: %s", options->trace, why.len ? bytes_text(&why) : error_text(error));
	bytes_fini(&why);
	return error;
}

/* Files that can't be written are better known before the run than after it. */
static enum error check_writable(const char *name, const char *path, struct bytes *fault)
{
	if (!path || strcmp(path, "-") == 0)
		return OK;
	FILE *file = fopen(path, "ae");
	if (!file) {
		bytes_printf(fault, "--%s: %s can't be written: %s", name, path, strerror(errno));
		return ERROR_IO;
	}
	fclose(file);
	return OK;
}

static enum error prepare(struct command *command, struct bytes *fault)
{
	const struct replay_options *options = &command->options;
	enum error error = read_settings(command, fault);
	if (!error)
		error = check_writable("json", options->json, fault);
	if (!error)
		error = check_writable("html", options->html, fault);
	if (!error)
		error = check_writable("requests", options->requests, fault);
	if (!error)
		error = check_writable("bake-alerts", options->bake_alerts, fault);
	if (!error)
		error = load_trace(command, fault);
	if (!error && options->bake_alerts)
		error = bake_begin(options->admin, &command->bake, fault);
	const char **keys = NULL;
	if (!error)
		error = keys_read(options->keys, options->key, command->workload, &command->arena, &keys, fault);
	command->settings.body.keys = (const char *const *)keys;
	if (!error && options->model)
		bytes_append_text(&command->model, options->model);
	else if (!error) {
		const char *key = options->key;
		for (uint32_t i = 0; !key && i < command->workload->label_count; i++)
			key = keys[i];
		error = fetch_first_model(&command->url, key, options->authorities, &command->model, fault);
	}
	command->settings.body.model = bytes_text(&command->model);
	return error;
}

static void write_page(const char *path, struct bytes *page)
{
	FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	bool is_written = file && bytes_ok(page) && fwrite(page->data, 1, page->len, file) == page->len;
	if (file)
		is_written &= (file == stdout ? fflush(file) : fclose(file)) == 0;
	if (!is_written)
		fprintf(stderr, "penstock replay: %s could not be written whole\n", path);
	bytes_clear(page);
}

static void write_reports(const struct command *command, const struct replay_inputs *inputs,
                          const struct replay_summary *summary)
{
	const struct replay_options *options = &command->options;
	struct bytes page = { 0 };
	/* With the JSON on standard output a person's report goes beside it. */
	const bool is_piped = options->json && strcmp(options->json, "-") == 0;
	replay_write_text(inputs, summary, &page);
	fwrite(page.data, 1, page.len, is_piped ? stderr : stdout);
	bytes_clear(&page);
	if (options->json) {
		replay_write_json(inputs, summary, &page);
		write_page(options->json, &page);
	}
	if (options->html) {
		replay_write_html(inputs, summary, &page);
		write_page(options->html, &page);
	}
	if (command->bake) {
		bake_write(command->bake, summary, options->trace, &page);
		write_page(options->bake_alerts, &page);
	}
	bytes_fini(&page);
	FILE *requests = options->requests ? fopen(options->requests, "we") : NULL;
	if (requests) {
		replay_write_requests(inputs, requests);
		if (fclose(requests) != 0)
			fprintf(stderr, "penstock replay: %s could not be written whole\n", options->requests);
	}
}

static int run(struct command *command)
{
	struct run_result result;
	struct bytes fault = { 0 };
	enum error error = run_schedule(&command->settings, command->workload, &result, &fault);
	int status = 1;
	if (error) {
		fprintf(stderr, "penstock replay: %s\n", bytes_text(&fault));
		status = 2;
	}
	struct replay_summary summary = { 0 };
	struct replay_inputs inputs = { .settings = &command->settings,
		                            .workload = command->workload,
		                            .result = &result,
		                            .trace = command->options.trace,
		                            .target = command->options.target,
		                            .promise = command->options.promise,
		                            .speed = command->options.speed,
		                            .scale = command->options.scale };
	struct bytes said = { 0 };
	struct bytes promises = { 0 };
	/* An engine, or another gateway, has nothing to say. */
	if (!error && command->options.admin && consequences_ask(command->options.admin, &said, &promises) == OK) {
		inputs.consequences = bytes_span(&said);
		inputs.promises = bytes_span(&promises);
	}
	if (!error && replay_summarize(&inputs, &summary) == OK) {
		write_reports(command, &inputs, &summary);
		status = replay_status(&inputs, &summary);
	}
	replay_summary_fini(&summary);
	run_result_fini(&result);
	bytes_fini(&said);
	bytes_fini(&promises);
	bytes_fini(&fault);
	return status;
}

int replay_main(int count, char **arguments)
{
	struct command command = { 0 };
	struct bytes fault = { 0 };
	int status;
	arena_init(&command.arena, 0);
	enum error error = replay_options_read(count, arguments, &command.options, &fault);
	if (error)
		status = refuse(&fault);
	else if (command.options.wants_help)
		status = show_help();
	else if (prepare(&command, &fault))
		status = refuse(&fault);
	else
		status = run(&command);
	workload_free(&command.workload);
	bake_free(&command.bake);
	bytes_fini(&command.model);
	arena_fini(&command.arena);
	bytes_fini(&fault);
	return status;
}
