/* The table of subcommands. */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "engine/engine_main.h"
#include "gateway/check_main.h"
#include "gateway/key_main.h"
#include "gateway/serve_main.h"
#include "replay/replay_main.h"
#include "top/top_main.h"
#include "why/why_main.h"

struct subcommand {
	const char *name;
	int (*run)(int count, char **arguments); /* arguments[0] = the subcommand's name; returns the exit status */
	const char *help;
};

static int version_main(int count, char **arguments)
{
	(void)count;
	(void)arguments;
	puts("penstock " PENSTOCK_VERSION);
	return 0;
}

static const struct subcommand subcommands[] = {
	{ "serve", serve_main, "the gateway: routes, admission, engines" },
	{ "replay", replay_main, "open-loop load from a trace, and what became of it" },
	{ "why", why_main, "which stage holds the p95, since when, and what to change" },
	{ "top", top_main, "a live view of a running gateway" },
	{ "check", check_main, "check a config file" },
	{ "key", key_main, "make API keys" },
	{ "engine", engine_main, "run one engine worker by hand" },
	{ "version", version_main, "print the version" },
};

static int show_usage(FILE *out, int status)
{
	fputs("Usage: penstock SUBCOMMAND [OPTION ...]\n\nSubcommands:\n", out);
	for (size_t i = 0; i < COUNT_OF(subcommands); i++)
		fprintf(out, "  %-8s %s\n", subcommands[i].name, subcommands[i].help);
	fputs("\nEach has --help. Exit status: 0 all right, 1 the thing measured fell short, 2 bad usage or config.\n",
	      out);
	return status;
}

int main(int count, char **arguments)
{
	if (count < 2)
		return show_usage(stderr, 2);
	const char *wanted = arguments[1];
	if (strcmp(wanted, "--help") == 0 || strcmp(wanted, "help") == 0)
		return show_usage(stdout, 0);
	if (strcmp(wanted, "--version") == 0)
		wanted = "version";
	for (size_t i = 0; i < COUNT_OF(subcommands); i++) {
		if (strcmp(subcommands[i].name, wanted) == 0)
			return subcommands[i].run(count - 1, arguments + 1);
	}
	fprintf(stderr, "penstock: there is no subcommand '%s'\n", wanted);
	return show_usage(stderr, 2);
}
