/* The worker process: one model behind HTTP on a Unix socket, as DESIGN 8 describes it.
 *
 *   POST /v1/chat/completions, /v1/completions   OpenAI's, plus the request headers below
 *   POST /v1/embeddings                          instead of these, where the model makes vectors
 *   GET  /v1/models                              the one model
 *   GET  /load                                   server-sent load reports (api/load_report.h), at most 20 a second
 *
 * Request headers: x-penstock-deadline-ms (first token wanted within), x-penstock-expected-tokens (output to reserve room for),
 * x-penstock-class (0 = the highest), x-penstock-cache-salt (who shares prefixes), x-request-id (logged). Cancel = close the connection. */
#ifndef PENSTOCK_ENGINE_WORKER_H
#define PENSTOCK_ENGINE_WORKER_H

#include <stdbool.h>

#include "config/config.h"

struct worker_options {
	const char *socket_path;
	const struct pool_config *settings; /* the engine.* keys */
	bool exits_with_parent;             /* standard input is a pipe of the parent: its end ends the worker */
};

/* Runs until SIGTERM or the parent's end. Returns the process's exit status. */
int worker_run(const struct worker_options *options);

#endif
