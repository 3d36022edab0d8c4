#include "replay/bake.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "observe/alerts.h"
#include "watch/admin_client.h"
#include "watch/prometheus.h"

#define ASK_NS (5 * NS_PER_S)
/* Fewer are no measurement. */
#define EVENTS_MIN 20

struct bake {
	struct admin_client *admin; /* NULL: nobody is asked */
	struct prometheus_page before;
};

static enum error ask(struct bake *bake, struct prometheus_page *page)
{
	struct bytes body = { 0 };
	int status = 0;
	enum error error = admin_get(bake->admin, "/metrics", ASK_NS, &status, &body);
	if (!error && status != 200)
		error = ERROR_NOT_FOUND;
	if (!error)
		error = prometheus_read(bytes_span(&body), page);
	bytes_fini(&body);
	return error;
}

enum error bake_begin(const char *admin, struct bake **out, struct bytes *fault)
{
	struct bake *bake = calloc(1, sizeof(*bake));
	*out = bake;
	if (!bake)
		return ERROR_MEMORY;
	if (!admin)
		return OK;
	enum error error = admin_client_new(admin, NULL, &bake->admin, fault);
	if (!error) {
		error = ask(bake, &bake->before);
		if (error)
			bytes_printf(fault, "%s/metrics can't be read: %s", admin, error_text(error));
	}
	if (error)
		bake_free(out);
	return error;
}

void bake_free(struct bake **bake_slot)
{
	struct bake *bake = *bake_slot;
	if (!bake)
		return;
	*bake_slot = NULL;
	prometheus_fini(&bake->before);
	admin_client_free(&bake->admin);
	free(bake);
}

static double stage_quantile(const struct bake *bake, const struct prometheus_page *now, const char *stage,
                             double quantile)
{
	double count = 0;
	double seconds =
		prometheus_quantile(now, &bake->before, "penstock_stage_duration_seconds", "stage", stage, quantile, &count);
	return count < EVENTS_MIN ? NAN : seconds;
}

void bake_write(struct bake *bake, const struct replay_summary *summary, const char *source, struct bytes *out)
{
	double measured[MEASURED_COUNT];
	for (int i = 0; i < MEASURED_COUNT; i++)
		measured[i] = NAN;
	const struct replay_distribution *ttft = &summary->measures[MEASURE_ttft];
	if (ttft->count >= EVENTS_MIN)
		measured[MEASURED_first_token_p95] = (double)ttft->ns[PERCENTILE_p95] / NS_PER_S;
	if (summary->requests >= EVENTS_MIN)
		measured[MEASURED_refusal_share] = (double)summary->refused / (double)summary->requests;
	struct prometheus_page now = { 0 };
	if (bake->admin && ask(bake, &now) == OK) {
		measured[MEASURED_queue_wait_p99] = stage_quantile(bake, &now, "dispatch", 0.99);
		measured[MEASURED_forward_p95] = stage_quantile(bake, &now, "forward", 0.95);
	}
	prometheus_fini(&now);
	alerts_write_thresholds(measured, source, out);
}
