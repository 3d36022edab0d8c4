/* Capacity that is not there: a replica that starts, requests that were refused, answers that were degraded. */
#include <math.h>
#include <stdlib.h>

#include "why/causes.h"

#define SHARE_MIN 0.15
#define REPLICAS_MAX 256
/* A replica that is there sooner has not been waited for: its first request waits for its turn like others. */
#define START_MIN_MS 1000.0
#define REFUSED_SHARE 0.05
/* For the outcome of most of them: what is common is met soon. */
#define REFUSALS_LOOKED_AT 64

/* ---- cold starts ---- */

static bool is_starting_live(const struct view *view, struct finding *finding)
{
	for (size_t i = 0; view->live && i < view->live->pool_count; i++) {
		const struct live_pool *pool = &view->live->pools[i];
		if (!view_has_pool(view, pool->name) || pool->starting_s <= 0 ||
		    (pool->queued[0] < 1 && pool->queued[1] < 1 && pool->ready > 0))
			continue;
		finding->weight = 0.9;
		bytes_printf(&finding->sentence, "a replica of pool %s has been starting for %.0f s, and %.0f requests wait",
		             pool->name, pool->starting_s, pool->queued[1]);
		bytes_printf(&finding->evidence, "%u of %u replicas are ready; 95 of 100 starts took at most %.0f s",
		             pool->ready, pool->replicas, pool->start_p95_s);
		bytes_printf(&finding->effect, "it should be ready in about %.0f s",
		             fmax(pool->start_p95_s - pool->starting_s, 0));
		return true;
	}
	return false;
}

/* The waits of those who came before a time, as excess; whether there were some, and hardly any after it. */
static bool waited_before(const struct view *view, double time_ms, double *excess)
{
	double sums[2] = { 0 };
	double counts[2] = { 0 };
	for (size_t i = 0; i < view->count; i++) {
		const struct seen *seen = &view->served[i];
		int is_after = seen->arrival_ms >= time_ms;
		sums[is_after] += seen_wait_ms(seen);
		counts[is_after]++;
		excess[i] = !is_after && seen_wait_ms(seen) >= CAUSE_WAIT_MIN_MS ? seen_wait_ms(seen) : 0;
	}
	double before = counts[0] > 0 ? sums[0] / counts[0] : 0;
	return counts[0] >= 5 && before >= CAUSE_WAIT_MIN_MS && (counts[1] <= 0 || sums[1] / counts[1] < 0.5 * before);
}

/* A replica whose first request came late in the window, with the waits that ended with it. */
static bool joined_late(const struct view *view, double *excess, const char **replica, double *joined_ms)
{
	const char *known[REPLICAS_MAX];
	size_t count = 0;
	double late_ms = view->begin_ms + fmax(0.1 * (view->end_ms - view->begin_ms), START_MIN_MS);
	for (size_t i = 0; i < view->count && count < REPLICAS_MAX; i++) {
		const struct seen *seen = &view->served[i];
		size_t j = 0;
		while (j < count && known[j] != seen->record->replica)
			j++;
		if (j < count)
			continue;
		known[count++] = *replica = seen->record->replica;
		*joined_ms = seen->start_ms;
		if (seen->start_ms >= late_ms && waited_before(view, seen->start_ms, excess))
			return true;
	}
	return false;
}

bool cause_cold_start(const struct view *view, struct finding *finding)
{
	const char *replica = "";
	double joined_ms = 0;
	if (is_starting_live(view, finding))
		return true;
	double *excess = excess_new(view);
	bool is_found = excess && view->count >= CAUSE_COUNT_MIN && joined_late(view, excess, &replica, &joined_ms) &&
	                finding_weigh(view, excess, true, SHARE_MIN, finding);
	if (is_found) {
		finding->since_ms = -1;
		bytes_printf(&finding->sentence, "users waited until replica %s took its first request, ", replica);
		append_ms(&finding->sentence, joined_ms - view->begin_ms);
		bytes_append_text(&finding->sentence, " into the window, and not after");
		bytes_printf(&finding->evidence, "%zu requests waited before it", finding->count);
		append_effect(finding, "with it ready from the start");
	}
	free(excess);
	return is_found;
}

/* ---- refusals and rungs ---- */

bool cause_refusals(const struct view *view, struct finding *finding)
{
	double share = view->all_count ? (double)view->refused_count / (double)view->all_count : 0;
	if (view->all_count < CAUSE_COUNT_MIN || share < REFUSED_SHARE)
		return false;
	const char *most = "";
	size_t most_count = 0;
	for (size_t i = 0; i < view->refused_count && i < REFUSALS_LOOKED_AT; i++) {
		size_t count = 0;
		for (size_t j = 0; j < view->refused_count; j++)
			count += view->refused[j]->outcome == view->refused[i]->outcome;
		if (count > most_count) {
			most_count = count;
			most = view->refused[i]->outcome;
		}
		if (i < FINDING_WORST)
			finding->worst[i] = view->refused[i];
		if (most_count * 2 > view->refused_count)
			break;
	}
	finding->weight = fmin(share * 2, 1);
	finding->count = view->refused_count;
	bytes_printf(&finding->sentence, "%.0f %% of the requests were refused, most of them as %s", 100 * share, most);
	bytes_printf(&finding->evidence, "%zu of %zu", view->refused_count, view->all_count);
	bytes_printf(&finding->effect, "%.2g times the capacity would have taken them all", 1 / fmax(1 - share, 0.01));
	return true;
}

bool cause_degraded(const struct view *view, struct finding *finding)
{
	const char *rung = "";
	for (size_t i = 0; i < view->count; i++) {
		const struct record *record = view->served[i].record;
		if (!*record->rung)
			continue;
		if (finding->count < FINDING_WORST)
			finding->worst[finding->count] = record;
		finding->count++;
		rung = record->rung;
	}
	double share = view->count ? (double)finding->count / (double)view->count : 0;
	if (view->count < CAUSE_COUNT_MIN || share < 0.1)
		return false;
	finding->weight = fmin(share / 2, 0.5);
	bytes_printf(&finding->sentence, "%.0f %% of the answers were degraded by the ladder, lately by rung %s",
	             100 * share, rung);
	bytes_printf(&finding->evidence, "%zu of %zu", finding->count, view->count);
	bytes_append_text(&finding->effect, "without the ladder these answers would be whole, and later");
	return true;
}
