#include "stages/kept.h"

#include "policy/promise.h"
#include "stages/request.h"
#include "stages/services.h"

enum account { OWN, OURS };

static const enum account accounts[OUTCOME_COUNT] = {
#define OUTCOME(name, status, code, retry, account, message) [OUTCOME_##name] = account,
#include "stages/outcomes.def"
#undef OUTCOME
};

static bool is_refused(enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_queue_full:
	case OUTCOME_hopeless:
	case OUTCOME_queue_expired:
	case OUTCOME_no_replica:
	case OUTCOME_over_promise:
	case OUTCOME_try_again:
	case OUTCOME_drained:
		return true;
	default:
		return false;
	}
}

static void note(const struct request *request, enum indicator indicator, bool is_met)
{
	struct metrics_shard *metrics = request->services->metrics;
	metric_add(metrics, METRIC_promise_requests_total, request->route_label, indicator, 1);
	metric_add(metrics, METRIC_promise_met_total, request->route_label, indicator, is_met);
}

/* Its client left before anybody could say whether it would have been in time. */
static bool is_open(const struct request *request, int64_t spent_ns, int64_t target_ns)
{
	return request->outcome == OUTCOME_client_gone && spent_ns <= target_ns;
}

static void count_first_token(const struct request *request, int64_t total_ns)
{
	int64_t target_ns = request->route->promise_ttft_p95;
	bool has_come = request->first_token_ns >= 0;
	if (!target_ns || (!has_come && is_open(request, total_ns, target_ns)))
		return;
	note(request, INDICATOR_ttft, has_come && request->first_token_ns <= target_ns);
}

/* From the first token to the end, without the time in which the client did not read. */
static void count_tokens(const struct request *request, int64_t total_ns)
{
	int64_t target_ns = request->route->promise_tpot_p95;
	int64_t tokens = request->upstream.output_tokens;
	bool is_answered = request->outcome == OUTCOME_completed;
	if (!target_ns || request->outcome == OUTCOME_client_gone || (is_answered && tokens < 2))
		return;
	int64_t stream_ns = total_ns - request->first_token_ns - request->paused_ns;
	note(request, INDICATOR_tpot, is_answered && stream_ns <= target_ns * (tokens - 1));
}

static void count_end(const struct request *request, int64_t total_ns)
{
	int64_t target_ns = request->route->promise_e2e_p95;
	if (!target_ns || is_open(request, total_ns, target_ns))
		return;
	note(request, INDICATOR_e2e, request->outcome == OUTCOME_completed && total_ns <= target_ns);
}

void kept_count(const struct request *request, int64_t now_ns)
{
	const struct route_config *route = request->route;
	int64_t total_ns = now_ns - request->begin_ns;
	if (!route || route->promise_kind == PROMISE_KIND_NONE || accounts[request->outcome] == OWN)
		return;
	note(request, INDICATOR_refuse, !is_refused(request->outcome));
	count_first_token(request, total_ns);
	count_tokens(request, total_ns);
	count_end(request, total_ns);
	if (request->has_checks && (request->outcome == OUTCOME_completed || request->outcome == OUTCOME_check_failed))
		note(request, INDICATOR_checks, request->outcome == OUTCOME_completed);
}
