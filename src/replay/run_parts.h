/* A run and its requests as run.c (life), dispatch.c (when), exchange.c (one request), sessions.c and progress.c share them. Not for others. */
#ifndef PENSTOCK_REPLAY_RUN_PARTS_H
#define PENSTOCK_REPLAY_RUN_PARTS_H

#include "base/clock.h"
#include "base/heap.h"
#include "http/http_client.h"
#include "io/loop.h"
#include "io/pacer.h"
#include "replay/ahead.h"
#include "replay/answer.h"
#include "replay/builder.h"
#include "replay/detector.h"
#include "replay/run.h"

#define RECENT_TTFTS 512
/* For a connection to be up, TLS included. */
#define EXCHANGE_CONNECT_NS (20 * NS_PER_S)

struct exchange;
struct scrape;
struct sessions;

struct recent_ttft {
	int64_t at_ns;
	int64_t ttft_ns;
};

struct run {
	const struct run_settings *settings;
	const struct workload *workload;
	struct run_result *result;
	struct loop *loop;
	struct pacer *pacer;
	struct timer tick;
	struct http_pool *pool;
	struct http_pool *retrieval_pool; /* NULL: none; so the next */
	struct scrape *scrape;
	struct sessions *sessions;
	struct builder *builder;
	struct heap retries;    /* exchange.retry by time */
	struct exchange *spare; /* owned list */
	struct exchange *first; /* running, oldest first */
	struct exchange *last;
	int64_t start_ns; /* monotonic; the schedule's zero */
	size_t next_row;
	size_t gate; /* the first row after the warm-up */
	struct ahead *ahead;
	uint32_t in_flight;
	uint64_t in_flight_max;
	bool is_stopping;
	bool is_pumping;
	bool is_starved; /* a request is due that isn't built yet */
	bool gate_is_open;
	/* live figures */
	uint64_t ended;
	uint64_t refused;
	uint64_t failed;
	uint64_t eligible;
	uint64_t met;
	uint64_t usage_bytes; /* of prompts whose tokens were told */
	uint64_t usage_tokens;
	struct recent_ttft recent[RECENT_TTFTS];
	uint64_t recent_count;
	struct detector detector;
	struct detector_second second; /* being gathered; ttft_s holds a sum */
	uint32_t second_ttfts;
	int64_t second_at_ns;
	int64_t progress_at_ns;
	bool is_terminal;
};

struct exchange {
	struct exchange *next; /* spare, or waiting behind its session */
	struct exchange *previous_running;
	struct exchange *next_running;
	struct run *run;
	size_t row;
	struct body body;
	struct http_call *call;
	struct http_call *retrieval;
	int64_t retrieval_begin_ns;
	struct bytes retrieval_head;
	int retrieval_status;
	struct heap_node retry;
	int64_t attempt_ns; /* when this attempt was sent; -1 = it waits */
	struct answer answer;
};

static inline struct replay_record *exchange_record(const struct exchange *exchange)
{
	return &exchange->run->result->records[exchange->row];
}

/* Ends the run: what runs is cancelled, nothing more is sent. */
void run_stop_early(struct run *run, enum run_stop stop, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Sends what is due by now, at most so many new ones. */
#define PUMP_TURN 32
#define PUMP_ANSWER 2 /* from inside an answer's callback: the turn's other answers wait */
void dispatch_pump(struct run *run, unsigned most);
/* At the end of a turn: sends what is due, arms the pacer for what is next, ends the run after the last. */
void dispatch_end_turn(void *run);
/* The pacer's wake-up: it comes early, and the last microseconds are spun away, so that the kernel's lateness isn't ours. */
void dispatch_due(void *run);
/* Takes the row's request from the builder and starts it; false: it isn't built yet. */
bool exchange_begin(struct run *run, size_t row);
/* Sends an attempt now. */
void exchange_send(struct exchange *exchange);
/* Writes its record's end and lets it go. */
void exchange_finish(struct exchange *exchange, enum replay_outcome outcome, int64_t now_ns);
/* Starts its retrieval call; where that comes before the request, its end sends the request. What starting a call gave. */
enum error retrieval_start(struct exchange *exchange);
/* Its wait is over: the next attempt, or the first one of what its session held back. */
void exchange_resume(struct exchange *exchange);
/* Ends it from outside: hangs up. */
void exchange_abandon(struct exchange *exchange, enum replay_outcome outcome);
void exchange_free_all(struct run *run);

/* Sessions that wait for their answers (--sessions closed), and then keep the recorded gap between two sends at least. */
enum error sessions_new(const struct workload *workload, struct sessions **out);
void sessions_free(struct sessions **sessions);
/* False: its session is busy, and the exchange waits until sessions_leave hands it out. Else *slip_ns: so much later than intended it may go. */
bool sessions_enter(struct sessions *sessions, uint64_t session, struct exchange *exchange, int64_t *slip_ns);
/* An exchange of this session has ended, which was sent so long after its intended time: hands out the next that waits, or NULL. */
struct exchange *sessions_leave(struct sessions *sessions, uint64_t session, int64_t slip_ns);

/* Polls the gateway's /metrics. */
enum error scrape_new(struct run *run, struct scrape **out);
void scrape_free(struct scrape **scrape);
/* Asks once more, unless the last answer is still out. */
void scrape_ask(struct scrape *scrape);
/* What the last one said; -1 = not known. */
double scrape_queue(const struct scrape *scrape);
double scrape_rung(const struct scrape *scrape);

/* Shows how it goes, when it is time to. */
void progress_show(struct run *run, int64_t now_ns, bool is_last);

/* A pool for that URL. */
enum error run_pool_new(struct run *run, const struct url *url, struct http_pool **out, struct bytes *fault);

#endif
