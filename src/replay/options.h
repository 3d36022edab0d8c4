/* What the command line says, read against options.def. */
#ifndef PENSTOCK_REPLAY_OPTIONS_H
#define PENSTOCK_REPLAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* Texts are borrowed from the arguments; NULL where not given. */
struct replay_options {
	const char *trace;
	const char *target;
	const char *model;
	const char *key;
	const char *keys;
	const char *class;
	const char *authorities;
	const char *format;
	const char *companion;
	const char *output;
	const char *sessions;
	const char *stop_when;
	const char *promise;
	const char *retrieval;
	const char *retrieval_how;
	const char *admin;
	const char *json;
	const char *html;
	const char *requests;
	const char *bake_alerts;
	double speed;
	double scale;
	double size;
	double token_bytes;
	double cancel;
	int64_t from_ns;
	int64_t to_ns;
	int64_t idle_gap_ns;
	int64_t warm_up_ns;
	int64_t timeout_ns;
	uint64_t limit;
	uint64_t prompt_max;
	uint64_t retries;
	uint64_t in_flight_max;
	uint64_t seed;
	bool is_whole;
	bool is_quiet;
	bool wants_help;
};

/* arguments[0] is the subcommand. Both --name VALUE and --name=VALUE. ERROR_SYNTAX with a sentence in *fault. */
enum error replay_options_read(int count, char **arguments, struct replay_options *out, struct bytes *fault);
/* A line each. */
void replay_options_help(struct bytes *out);

#endif
