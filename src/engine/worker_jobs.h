/* The worker's requests: between worker.c, which starts the process, and the step thread. Private to engine/. */
#ifndef PENSTOCK_ENGINE_WORKER_JOBS_H
#define PENSTOCK_ENGINE_WORKER_JOBS_H

#include <stdatomic.h>
#include <stdint.h>

#include "api/load_report.h"
#include "engine/embedder.h"
#include "engine/embeddings.h"
#include "engine/engine.h"
#include "engine/steps.h"
#include "http/http_server.h"
#include "io/loop.h"

struct job;

struct worker {
	struct loop *loop;
	struct http_server *server;
	const struct pool_config *settings;
	struct engine *engine;         /* NULL until it is open */
	struct steps *steps;           /* NULL until ready */
	struct embedder *embedder;     /* instead of an engine, where the model makes vectors; NULL until it is open */
	struct embeddings *embeddings; /* instead of steps; NULL until ready */
	struct job *jobs;              /* every exchange and every generation that still runs */
	uint32_t running_jobs;         /* the step thread has them */
	uint64_t arrivals;
	struct timer report; /* the next load report */
	struct bytes last_report;
	struct load_report load;
	bool has_parent;     /* the gateway's end is ours */
	atomic_int progress; /* percent, written by the opening thread */
	struct bytes fault;  /* why opening failed */
};

extern const struct http_server_events worker_http_events;

/* The step thread has output. */
void worker_collect(struct worker *worker);
/* The embeddings' thread has ended requests. */
void worker_collect_embeddings(struct worker *worker);
/* Sends the load to who listens, if it changed, and plans the next report while anything runs. */
void worker_report(struct worker *worker);
/* Ends what is left; the step thread has stopped. */
void worker_jobs_free(struct worker *worker);

#endif
