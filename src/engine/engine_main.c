/* `penstock engine`: one worker by hand; `penstock serve` starts the same for every replica. */
#include "engine/engine_main.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config/config_pool.h"
#include "engine/worker.h"

static const char usage[] =
	"Usage: penstock engine --socket PATH [--exit-with-parent] [engine.KEY=VALUE ...]\n"
	"\n"
	"Runs one engine worker: a model behind HTTP on a Unix socket. `penstock serve` starts its workers itself;\n"
	"this is for trying a model alone. The keys are those of a pool in the config (docs/config.md).\n"
	"\n"
	"Examples:\n"
	"  penstock engine --socket /tmp/engine.sock engine.model=smollm2-135m-instruct engine.context=4096\n"
	"  curl --unix-socket /tmp/engine.sock http://engine/load\n";

static int refuse(const char *what, const char *detail)
{
	fprintf(stderr, "penstock engine: %s%s\nTry 'penstock engine --help'.\n", what, detail);
	return 2;
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
