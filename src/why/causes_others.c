/* Clients, the document store, the gateway's own work, and engines that tell nothing. */
#include <math.h>
#include <stdlib.h>

#include "why/causes.h"

#define SHARE_MIN 0.15
#define OWN_WORK_MIN_MS 5.0

/* The excess of a part over a floor. */
static bool weigh_part(const struct view *view, enum part part, double floor_ms, double share, struct finding *finding)
{
	double *excess = excess_new(view);
	for (size_t i = 0; excess && i < view->count; i++)
		excess[i] = fmax(view_part_ms(view, view->served[i].record, part) - floor_ms, 0);
	bool is_found = excess && view->count >= CAUSE_COUNT_MIN &&
	                finding_weigh(view, excess, part_is_before_first(part), share, finding);
	free(excess);
	return is_found;
}

static void tell_part(const struct view *view, enum part part, const char *what, struct finding *finding)
{
	bytes_printf(&finding->sentence, "%s: %.0f %% of the p95 %s", what, 100 * view->tail_share[finding->measure][part],
	             measure_text(finding->measure));
	bytes_append_text(&finding->evidence, "median ");
	append_ms(&finding->evidence, part_quantile_ms(view, part, 0.5, false));
	bytes_append_text(&finding->evidence, ", 95th percentile ");
	append_ms(&finding->evidence, part_quantile_ms(view, part, 0.95, false));
	bytes_printf(&finding->evidence, ", in %zu of %zu requests", finding->count, view->count);
}

bool cause_slow_client(const struct view *view, struct finding *finding)
{
	if (!weigh_part(view, PART_client, 0, SHARE_MIN, finding))
		return false;
	tell_part(view, PART_client, "clients do not read their answers as fast as they come", finding);
	append_effect(finding, "with clients that read");
	return true;
}

bool cause_slow_retrieval(const struct view *view, struct finding *finding)
{
	double floor_ms = part_quantile_ms(view, PART_retrieve, 0.125, true);
	bool is_found = weigh_part(view, PART_retrieve, floor_ms, SHARE_MIN, finding);
	/* Slow always: what it takes at best is no excuse. */
	if (!is_found && !weigh_part(view, PART_retrieve, 0, 0.3, finding))
		return false;
	tell_part(view, PART_retrieve, "the document store is slow", finding);
	append_effect(finding, is_found ? "with the store as fast as in its fastest quarter" : "without it");
	return true;
}

bool cause_loop_busy(const struct view *view, struct finding *finding)
{
	double high = part_quantile_ms(view, PART_loop, 0.95, false);
	double floor_ms = part_quantile_ms(view, PART_loop, 0.125, false);
	if (high < OWN_WORK_MIN_MS)
		return false;
	/* A loop that is always busy has no fast quarter: its own work is microseconds. */
	if (!weigh_part(view, PART_loop, fmin(floor_ms, 1), SHARE_MIN, finding))
		return false;
	tell_part(view, PART_loop, "the gateway's own stages are long, its loop was busy", finding);
	append_effect(finding, "with a loop that is free");
	return true;
}

bool cause_pool_lag(const struct view *view, struct finding *finding)
{
	double floor_ms = part_quantile_ms(view, PART_tokenize, 0.125, true);
	if (!weigh_part(view, PART_tokenize, fmin(floor_ms, OWN_WORK_MIN_MS), SHARE_MIN, finding))
		return false;
	tell_part(view, PART_tokenize, "the engine's template and tokens take long", finding);
	append_effect(finding, "with a thread pool that is free");
	return true;
}

bool cause_slow_sender(const struct view *view, struct finding *finding)
{
	if (!weigh_part(view, PART_arrive, 0, SHARE_MIN, finding))
		return false;
	tell_part(view, PART_arrive, "requests take long to arrive", finding);
	append_effect(finding, "with requests that arrive at once");
	return true;
}

/* The median of a part in the requests that began before. */
static double median_before(const struct view *view, enum part part, double change_ms)
{
	double *values = excess_new(view);
	size_t count = 0;
	for (size_t i = 0; values && i < view->count && view->served[i].record->begin_ms < change_ms; i++)
		values[count++] = view_part_ms(view, view->served[i].record, part);
	double median = values ? quantile_ms(values, count, 0.5) : 0;
	free(values);
	return median;
}

bool cause_slow_upstream(const struct view *view, struct finding *finding)
{
	double *values = excess_new(view);
	for (size_t i = 0; values && i < view->count; i++)
		values[i] = view_part_ms(view, view->served[i].record, PART_upstream);
	double change_ms = values ? view_change_ms(view, values) : -1;
	free(values);
	if (change_ms < 0)
		return false;
	double median = median_before(view, PART_upstream, change_ms);
	if (!weigh_part(view, PART_upstream, median, SHARE_MIN, finding))
		return false;
	tell_part(view, PART_upstream, "the engines take longer until their first token than before", finding);
	bytes_append_text(&finding->evidence, "; the median was ");
	append_ms(&finding->evidence, median);
	append_effect(finding, "with engines as fast as before");
	finding->since_ms = change_ms;
	return true;
}
