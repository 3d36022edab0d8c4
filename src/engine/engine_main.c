/* `penstock engine`: one worker by hand; `penstock serve` starts the same for every replica. */
#include "engine/engine_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config/config_pool.h"
#include "engine/weights.h"
#include "engine/worker.h"

/* What q8_0 may cost: it keeps eight bits of what had four, so that more is a mistake. */
#define RISE_MAX 0.02

static const char usage[] =
	"Usage: penstock engine --socket PATH [--exit-with-parent] [engine.KEY=VALUE ...]\n"
	"\n"
	"Runs one engine worker: a model behind HTTP on a Unix socket. `penstock serve` starts its workers itself;\n"
	"this is for trying a model alone. The keys are those of a pool in the config (docs/config.md).\n"
	"\n"
	"       penstock engine --make-weights FROM.gguf TO.gguf [q8_0|q4_0]\n"
	"\n"
	"Requantizes a model for the fast kernels of a CPU and prints how far it is from the original: to q8_0, which "
	"must\n"
	"not change what it says (perplexity at most 2 % up), or to q4_0, which is faster still and costs a small model "
	"much.\n"
	"`make build` does the former for the default model; engine.weights decides whether it is used.\n"
	"\n"
	"Examples:\n"
	"  penstock engine --socket /tmp/engine.sock engine.model=smollm2-135m-instruct engine.context=4096\n"
	"  curl --unix-socket /tmp/engine.sock http://engine/load\n";

static int refuse(const char *what, const char *detail)
{
	fprintf(stderr, "penstock engine: %s%s\nTry 'penstock engine --help'.\n", what, detail);
	return 2;
}

static int make_weights(const char *from, const char *to, const char *kind)
{
	bool is_q4 = kind && strcmp(kind, "q4_0") == 0;
	if (kind && !is_q4 && strcmp(kind, "q8_0") != 0)
		return refuse("weights are q8_0 or q4_0, not ", kind);
	struct weights_check check;
	struct bytes fault = { 0 };
	enum error error =
		weights_make(from, to, is_q4 ? WEIGHTS_Q4_0 : WEIGHTS_Q8_0, is_q4 ? INFINITY : RISE_MAX, &check, &fault);
	if (check.perplexity_to > 0)
		printf("perplexity on a text of ours: %.2f, %.2f with the new weights (%+.1f %%); the same likeliest token in "
		       "%.1f %% of the positions\n",
		       check.perplexity_from, check.perplexity_to, 100 * (check.perplexity_to / check.perplexity_from - 1),
		       100 * check.agreement);
	if (error)
		fprintf(stderr, "penstock engine: %s\n", fault.len ? bytes_text(&fault) : error_text(error));
	bytes_fini(&fault);
	return error ? 1 : 0;
}

static int run(int count, char **arguments, struct config_pool_builder *builder, struct bytes *why)
{
	struct worker_options options = { 0 };
	for (int i = 1; i < count; i++) {
		const char *argument = arguments[i];
		if (strcmp(argument, "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		}
		if (strcmp(argument, "--make-weights") == 0 && i + 2 < count)
			return make_weights(arguments[i + 1], arguments[i + 2], i + 3 < count ? arguments[i + 3] : NULL);
		if (strcmp(argument, "--exit-with-parent") == 0)
			options.exits_with_parent = true;
		else if (strcmp(argument, "--socket") == 0 && i + 1 < count)
			options.socket_path = arguments[++i];
		else if (config_pool_builder_set(builder, span_of(argument), why) != OK)
			return refuse("", bytes_text(why));
	}
	if (!options.socket_path)
		return refuse("--socket PATH is missing", "");
	options.settings = config_pool_builder_pool(builder);
	if (!*options.settings->engine_model)
		return refuse("engine.model=MODEL is missing", "");
	log_start(2, LOG_INFO);
	int status = worker_run(&options);
	log_stop();
	return status;
}

int engine_main(int count, char **arguments)
{
	struct config_pool_builder *builder = NULL;
	struct bytes why = { 0 };
	if (config_pool_builder_new("engine", &builder) != OK)
		return refuse("out of memory", "");
	int status = run(count, arguments, builder, &why);
	bytes_fini(&why);
	config_pool_builder_free(&builder);
	return status;
}
