#include "replay/builder.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define WINDOW_ROWS 65536
#define WINDOW_BYTES (192u << 20)

struct builder {
	struct body_settings settings;
	const struct workload *workload;
	size_t gate;
	pthread_t thread;
	struct body *window; /* owned ring */
	atomic_size_t built; /* rows; only the thread raises it */
	atomic_size_t taken; /* only the taker does */
	atomic_size_t bytes; /* built and not taken */
	atomic_bool is_open; /* the gate */
	atomic_bool is_stopped;
	atomic_bool has_failed;
	double gate_ratio; /* written before is_open */
	bool is_started;
};

static void rest_for(int64_t duration_ns)
{
	const struct timespec duration = { 0, duration_ns };
	nanosleep(&duration, NULL);
}

static bool is_full(struct builder *builder)
{
	return atomic_load(&builder->built) - atomic_load(&builder->taken) >= WINDOW_ROWS ||
	       atomic_load(&builder->bytes) >= WINDOW_BYTES;
}

/* Waits for the taker or the gate; false: stop. */
static bool may_build(struct builder *builder, size_t row)
{
	while (!atomic_load(&builder->is_stopped)) {
		const bool is_shut = row >= builder->gate && !atomic_load_explicit(&builder->is_open, memory_order_acquire);
		if (!is_shut && !is_full(builder))
			return true;
		rest_for(NS_PER_MS);
	}
	return false;
}

static void *build_all(void *argument)
{
	struct builder *builder = argument;
	/* Beside the sender on one core it must never be the one that is running when a request is due. */
	const struct sched_param none = { 0 };
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
	for (size_t row = 0; row < builder->workload->count && may_build(builder, row); row++) {
		if (row == builder->gate && builder->gate_ratio > 0)
			builder->settings.bytes_per_token = builder->gate_ratio;
		struct body *body = &builder->window[row % WINDOW_ROWS];
		if (body_build(&builder->settings, builder->workload, row, body)) {
			atomic_store(&builder->has_failed, true);
			break;
		}
		atomic_fetch_add(&builder->bytes, body->body_len + body->head_len);
		atomic_store_explicit(&builder->built, row + 1, memory_order_release);
	}
	return NULL;
}

enum error builder_new(const struct body_settings *settings, const struct workload *workload, size_t gate,
                       struct builder **out)
{
	*out = NULL;
	struct builder *builder = calloc(1, sizeof(*builder));
	if (!builder)
		return ERROR_MEMORY;
	*builder = (struct builder){ .settings = *settings, .workload = workload, .gate = gate };
	builder->window = calloc(WINDOW_ROWS, sizeof(*builder->window));
	if (!builder->window) {
		free(builder);
		return ERROR_MEMORY;
	}
	builder->is_started = pthread_create(&builder->thread, NULL, build_all, builder) == 0;
	if (!builder->is_started) {
		builder_free(&builder);
		return ERROR_LIMIT;
	}
	*out = builder;
	return OK;
}

void builder_free(struct builder **slot)
{
	struct builder *builder = *slot;
	struct body body;
	if (!builder)
		return;
	*slot = NULL;
	atomic_store(&builder->is_stopped, true);
	if (builder->is_started)
		pthread_join(builder->thread, NULL);
	while (builder_take(builder, &body))
		body_fini(&body);
	free(builder->window);
	free(builder);
}

void builder_open_gate(struct builder *builder, double bytes_per_token)
{
	builder->gate_ratio = bytes_per_token;
	atomic_store_explicit(&builder->is_open, true, memory_order_release);
}

void builder_wait_full(struct builder *builder)
{
	for (;;) {
		const size_t built = atomic_load(&builder->built);
		if (is_full(builder) || built == builder->workload->count || atomic_load(&builder->has_failed))
			return;
		if (built >= builder->gate && !atomic_load(&builder->is_open))
			return;
		rest_for(NS_PER_MS);
	}
}

bool builder_take(struct builder *builder, struct body *out)
{
	const size_t taken = atomic_load_explicit(&builder->taken, memory_order_relaxed);
	if (taken == atomic_load_explicit(&builder->built, memory_order_acquire))
		return false;
	*out = builder->window[taken % WINDOW_ROWS];
	atomic_fetch_sub(&builder->bytes, out->body_len + out->head_len);
	atomic_store_explicit(&builder->taken, taken + 1, memory_order_release);
	return true;
}

bool builder_failed(const struct builder *builder)
{
	return atomic_load(&builder->has_failed);
}
