/* Runs scenarios: scripts that drive control on a scripted clock, with a small engine world around it (test/world). Ends with
 * "N passed, N failed", and fails when one did.
 *
 *   scenario PATH...                 each file, and each *.scn file below each folder
 *   scenario --every-point PATH...   each again and again: after every single call of control, something ends (see below)
 *   scenario --record OUT PATH       what control saw and said, for replay_record
 *
 * A scenario is lines of words; # begins a comment. Times are 10ms, 2s, 5m, 1h, never; the clock begins at 0.
 *
 *   settings in_flight_max=256 seed=1
 *   pool NAME queue_max=64 wait_max=10s replicas=1 scale_min= scale_max= scale_spare=
 *                                                                    in the order of the file; the first is where requests go
 *   route NAME ttft=800ms tpot= e2e= requests= tokens= repeats= rung=output:64 rung=tier:POOL rung=try_again
 *                                                                    promises, rates a minute, the ladder; the first is where requests go
 *   at TIME replica POOL/N ready sequences=1 cells=0 fixed=5ms prefill=1ms beside=0 decode=2ms context=0 noise=0%
 *   at TIME replica POOL/N starting percent=0 | down                 down: what it runs fails
 *   at TIME request NAME pool= class=standard prompt=20 output=20 expected= deadline=never prepare=0ms times= every= about=
 *                                                                    times=200: NAME1 to NAME200, every= apart; about=: random gaps
 *                                                                    route= tenant=N weight=100% requests= tokens= open=
 *                                                                    tries=N: its client comes again so often, when it was told to
 *                                                                    wave=60s swing=50%: about= goes up and down by so much, in a sine
 *                                                                    spread=50%: prompt and output are that much smaller or larger
 *   at TIME gone NAME | fails NAME | stall NAME                      the client leaves; the engine breaks off; stands still
 *   at TIME expect NAME STATE [REFUSAL] [replica=POOL/N] [retry_after>=1s] [predicted<=] [first_token<=] [waited<=] [ended=]
 *   at TIME expect NAME* STATE>=60% REFUSAL<=40% retry_after_min>= retry_after_max<= first_token_max<= first_token_p95<=
 *                                        kept>=95% (of those sent, whose first token came as promised) attained>=70% (of all who asked, the same)
 *   at TIME expect order NAME NAME...                                they were dispatched in this order
 *   at TIME expect queued=0 in_flight=0 ready=1 wait<=1s pool=NAME tickets=0 wanted=2 rung=1 moves<=6 latched=0 route=NAME
 *   end expect ...                                                   when no request is open any more
 *
 * STATE: arriving preparing queued dispatched streaming done failed gone refused cancelled; REFUSAL: queue_full hopeless expired no_replica
 * deadline, and must be said. What an engine does comes by itself: it takes steps at its rates, and tells of first tokens, progress and ends.
 * A scenario fails when the end of any request was not expected, when one is open an hour after the last line, or when something was not
 * given back. */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/macros.h"
#include "script.h"

static uint32_t passed;
static uint32_t failed;

static void count(bool is_good, struct script *script, const char *what)
{
	passed += is_good;
	failed += !is_good;
	if (!is_good)
		printf("FAILED: %s%s\n%s", script->path, what, bytes_text(&script->complaints));
}

/* ---- every point ---- */

/* What happens at the point. */
enum misfortune { ITS_CLIENT_LEAVES, ITS_ENGINE_FAILS, EVERYONE_LEAVES, A_REPLICA_DIES, NOTHING_MOVES, MISFORTUNES };

static const char *const misfortune_texts[MISFORTUNES] = { "its client leaves", "its engine fails", "everyone leaves",
	                                                       "a replica dies", "nothing moves any more" };

struct point {
	uint64_t wanted; /* after this many calls of control; 0 = only count them */
	uint64_t seen;
	enum misfortune misfortune;
};

/* The request that the event is of, or the first that is open. */
static uint32_t one_open(const struct world *world, const struct event *event)
{
	bool has_request = event && event->kind != EVENT_LOAD && event->kind != EVENT_TIMER;
	if (has_request && world_request(world, (uint32_t)event->request)->ended_ns < 0)
		return (uint32_t)event->request;
	for (uint32_t i = 0; i < world_count(world); i++)
		if (world_request(world, i)->ended_ns < 0)
			return i;
	return UINT32_MAX;
}

static void strike(void *context, struct world *world, const struct event *event)
{
	struct point *point = context;
	if (++point->seen != point->wanted)
		return;
	uint32_t request = one_open(world, event);
	switch (point->misfortune) {
	case ITS_CLIENT_LEAVES:
		if (request != UINT32_MAX)
			world_gone(world, request);
		return;
	case ITS_ENGINE_FAILS:
		if (request != UINT32_MAX)
			world_fail(world, request);
		return;
	case EVERYONE_LEAVES:
		for (uint32_t i = 0; i < world_count(world); i++)
			world_gone(world, i);
		return;
	case A_REPLICA_DIES:
		world_replica_down(world, 0);
		return;
	default:
		world_stall_all(world);
	}
}

static void run_every_point(struct script *script)
{
	struct point point = { 0 };
	struct script_run run = { .is_injected = true, .hook = strike, .context = &point };
	script_execute(script, &run);
	const uint64_t calls = point.seen;
	for (uint64_t wanted = 1; wanted <= calls; wanted++)
		for (int misfortune = 0; misfortune < MISFORTUNES; misfortune++) {
			char what[100];
			point = (struct point){ .wanted = wanted, .misfortune = (enum misfortune)misfortune };
			snprintf(what, sizeof(what), ", call %llu of %llu: %s", (unsigned long long)wanted,
			         (unsigned long long)calls, misfortune_texts[misfortune]);
			count(script_execute(script, &run), script, what);
		}
}

/* ---- files ---- */

enum mode { MODE_RUN, MODE_EVERY_POINT, MODE_RECORD };

static void run_file(const char *path, enum mode mode, struct bytes *record)
{
	struct script script;
	if (!script_read(path, &script))
		count(false, &script, "");
	else if (mode == MODE_EVERY_POINT)
		run_every_point(&script);
	else
		count(script_execute(&script, &(struct script_run){ .record = mode == MODE_RECORD ? record : NULL }), &script,
		      "");
	script_free(&script);
}

static int compare_entries(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Those at and below the paths, by name; false when a path is not there. */
static bool run_paths(char *const *paths, enum mode mode, struct bytes *record)
{
	bool is_good = true;
	FTS *tree = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, compare_entries);
	MUST(tree);
	for (const FTSENT *entry; (entry = fts_read(tree));) {
		size_t len = entry->fts_pathlen;
		bool is_scenario = len > 4 && strcmp(entry->fts_path + len - 4, ".scn") == 0;
		if (entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR) {
			fprintf(stderr, "scenario: %s: %s\n", entry->fts_path, strerror(entry->fts_errno));
			is_good = false;
		} else if (entry->fts_info == FTS_F && is_scenario) {
			run_file(entry->fts_path, mode, record);
		}
	}
	fts_close(tree);
	return is_good;
}

int main(int argc, char **argv)
{
	enum mode mode = MODE_RUN;
	const char *out = NULL;
	struct bytes record = { 0 };
	char **paths = argv + 1;
	if (argc > 1 && strcmp(argv[1], "--every-point") == 0) {
		mode = MODE_EVERY_POINT;
		paths++;
	} else if (argc > 2 && strcmp(argv[1], "--record") == 0) {
		mode = MODE_RECORD;
		out = argv[2];
		paths += 2;
	}
	if (!paths[0] || paths[0][0] == '-') {
		fputs("usage: scenario [--every-point | --record OUT] PATH...\n", stderr);
		return 2;
	}
	bool is_good = run_paths(paths, mode, &record);
	if (out && file_create(out, 0644, bytes_span(&record)) != OK) {
		fprintf(stderr, "scenario: %s could not be made\n", out);
		is_good = false;
	}
	bytes_fini(&record);
	printf("%u passed, %u failed\n", passed, failed);
	return is_good && failed == 0 && passed > 0 ? 0 : 1;
}
