/* Synthetic access logs: a request is a few numbers, and becomes the line that the gateway would have written. */
#ifndef PENSTOCK_TEST_WHY_LINES_H
#define PENSTOCK_TEST_WHY_LINES_H

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/random.h"
#include "why/causes.h"
#include "why/report.h"

/* Times in ms. Zeroed members are left out or take what is usual. */
struct line {
	double at; /* since the log's begin */
	double arrive;
	double loop;
	double retrieve;
	double queue;
	double tokenize;
	double engine_queue;
	double prefill;
	double upstream;
	double client; /* paused */
	double decode;
	int prompt;
	int output;
	int attempts;
	bool repeat;
	bool is_opaque; /* the engine tells nothing */
	const char *replica;
	const char *outcome;
	const char *rung;
	const char *route;
	int status;
};

static inline void append_line(struct bytes *log, const struct line *line, unsigned number)
{
	const double begin = 1764000000000.0 + line->at;
	const time_t second = (time_t)(begin / 1000);
	char text[32];
	struct tm parts;
	gmtime_r(&second, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
	const double forward = line->tokenize + line->engine_queue + line->prefill + line->upstream;
	const double before = line->arrive + line->loop + line->retrieve + line->queue;
	const bool is_refused = line->status && line->status != 200;
	bytes_printf(log,
	             "{\"time\":\"%s.%03dZ\",\"request\":\"req_%u\",\"total_ms\":%.3f,\"outcome\":\"%s\",\"status\":%d",
	             text, (int)((int64_t)begin % 1000), number, before + forward + line->client + line->decode,
	             line->outcome ? line->outcome : "completed", line->status ? line->status : 200);
	bytes_printf(log, ",\"route\":\"%s\",\"pool\":\"small\"", line->route ? line->route : "assistant");
	if (!is_refused)
		bytes_printf(log, ",\"replica\":\"%s\"", line->replica ? line->replica : "small/0");
	if (line->rung)
		bytes_printf(log, ",\"rung\":\"%s\"", line->rung);
	bytes_printf(log, ",\"streamed\":true%s", line->repeat ? ",\"repeat\":true" : "");
	if (line->attempts > 1)
		bytes_printf(log, ",\"attempts\":%d", line->attempts);
	if (line->client > 0)
		bytes_printf(log, ",\"paused_ms\":%.3f", line->client);
	if (!is_refused)
		bytes_printf(log, ",\"prompt_tokens\":%d,\"cached_tokens\":0,\"output_tokens\":%d,\"first_token_ms\":%.3f",
		             line->prompt ? line->prompt : 100, line->output ? line->output : 50, before + forward);
	if (!line->is_opaque && !is_refused)
		bytes_printf(log, ",\"engine\":{\"tokenize_ms\":%.3f,\"queue_ms\":%.3f,\"prefill_ms\":%.3f,\"decode_ms\":%.3f}",
		             line->tokenize, line->engine_queue, line->prefill, line->decode);
	bytes_printf(log, ",\"stages_ms\":{\"head\":%.3f,\"parse\":%.3f,\"dispatch\":%.3f", line->arrive, line->loop,
	             line->queue);
	if (line->retrieve > 0)
		bytes_printf(log, ",\"retrieve\":%.3f", line->retrieve);
	bytes_printf(log, ",\"forward\":%.3f,\"relay\":%.3f}}\n", forward, line->client + line->decode);
}

/* A request of a healthy service: lengths differ by half, nobody waits. One every 500 ms. */
static inline struct line usual_line(struct random *random, unsigned number)
{
	const int output = 40 + (int)random_below(random, 21);
	const int prompt = 80 + (int)random_below(random, 41);
	return (struct line){
		.at = number * 500.0,
		.arrive = 0.05,
		.loop = 0.05,
		.queue = 0.01,
		.tokenize = 0.3,
		.prefill = prompt * 0.5 * (0.95 + 0.1 * random_unit(random)),
		.upstream = 1,
		.decode = output * 10 * (0.95 + 0.1 * random_unit(random)),
		.prompt = prompt,
		.output = output,
	};
}

/* How a healthy request is changed. */
typedef void change_line(struct line *line, unsigned number, struct random *random);

static inline void write_log(struct bytes *log, unsigned count, change_line *change)
{
	struct random random;
	random_seed(&random, 7);
	for (unsigned i = 0; i < count; i++) {
		struct line line = usual_line(&random, i);
		if (change)
			change(&line, i, &random);
		append_line(log, &line, i);
	}
}

/* A line of people in front of so many places: each waits for the first that is free. arrival_ms(i) says when the i-th comes. two_routes: every second one is another
 * route's. */
static inline void write_queue(struct bytes *log, unsigned count, unsigned places, double (*arrival_ms)(unsigned),
                               bool two_routes)
{
	struct random random;
	double free_at[16] = { 0 };
	random_seed(&random, 7);
	for (unsigned i = 0; i < count; i++) {
		struct line line = usual_line(&random, i);
		unsigned soonest = 0;
		for (unsigned j = 1; j < places; j++)
			soonest = free_at[j] < free_at[soonest] ? j : soonest;
		line.at = arrival_ms(i);
		line.queue = free_at[soonest] > line.at ? free_at[soonest] - line.at : 0.01;
		line.route = two_routes && i % 2 ? "other" : "assistant";
		free_at[soonest] = line.at + line.queue + line.prefill + line.decode + 5;
		append_line(log, &line, i);
	}
}

struct found {
	struct finding findings[CAUSES];
	size_t count;
	struct view view;
	struct records records;
};

static inline void find_in(struct bytes *log, const struct live *live, struct found *found)
{
	*found = (struct found){ 0 };
	ck_error_is(records_add_text(&found->records, bytes_span(log)), OK);
	ck_assert_uint_eq(found->records.skipped, 0);
	records_sort(&found->records, 0);
	ck_error_is(view_init(&found->records, records_text(&found->records, SPAN("assistant")), live, &found->view), OK);
	found->count = causes_find(&found->view, found->findings);
}

static inline void found_fini(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		finding_fini(&found->findings[i]);
	view_fini(&found->view);
	records_fini(&found->records);
}

static inline const char *first_cause(const struct found *found)
{
	return found->count ? found->findings[0].name : "nothing";
}

#endif
