/* `penstock serve`. */
#include "gateway/serve_main.h"

#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"

static const char usage[] =
	"Usage: penstock serve --config FILE [--record FILE]\n"
	"\n"
	"Serves the routes of the config to OpenAI clients. Prints 'ready' when every pool has a replica that takes "
	"requests.\n"
	"SIGHUP reads the config again (a broken one is refused, the old one stays); SIGTERM finishes what is open, then "
	"stops.\n"
	"\n"
	"  --config FILE   the config; docs/config.md lists its keys\n"
	"  --record FILE   write every decision of admission control, with the events that led to it, for replay\n"
	"\n"
	"Examples:\n"
	"  penstock serve --config examples/quickstart.yaml\n"
	"  kill -HUP $(pidof penstock)\n";

static int refuse(const char *what, const char *detail)
{
	fprintf(stderr, "penstock serve: %s%s\nTry 'penstock serve --help'.\n", what, detail);
	return 2;
}

int serve_main(int count, char **arguments)
{
	struct gateway_options options = { 0 };
	for (int i = 1; i < count; i++) {
		if (strcmp(arguments[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		}
		if (strcmp(arguments[i], "--config") == 0 && i + 1 < count)
			options.config_path = arguments[++i];
		else if (strcmp(arguments[i], "--record") == 0 && i + 1 < count)
			options.record_path = arguments[++i];
		else
			return refuse("unknown argument ", arguments[i]);
	}
	if (!options.config_path)
		return refuse("--config FILE is missing", "");
	struct config *config = NULL;
	struct bytes faults = { 0 };
	enum error error = config_load(options.config_path, &config, &faults);
	if (error)
		fputs(faults.len ? bytes_text(&faults) : error_text(error), stderr);
	bytes_fini(&faults);
	return error ? 2 : gateway_run(config, &options);
}
