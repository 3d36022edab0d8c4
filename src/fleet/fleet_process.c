/* A worker's life: start -> connect to its /load (again and again until it listens) -> reports -> exit -> back-off -> start. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "config/config_pool.h"
#include "fleet/fleet_parts.h"

#define BACK_OFF_MIN_NS (250 * NS_PER_MS)
#define BACK_OFF_MAX_NS (30 * NS_PER_S)
/* A worker that lived so long starts over with the shortest back-off. */
#define STABLE_NS (60 * NS_PER_S)
#define CONNECT_RETRY_NS (20 * NS_PER_MS)
#define CONNECT_NS NS_PER_S
#define EVENT_BYTES_MAX (64 * 1024)
#define ARGUMENTS_MAX 64
/* A worker's exit status for a model that it can't use. */
#define EXIT_MODEL 2

/* ---- reports ---- */

static void on_load_body(void *owner, struct span data)
{
	struct replica *replica = owner;
	while (data.len) {
		bool complete = false;
		struct sse_event event;
		struct load_report report;
		if (sse_feed(&replica->sse, &data.at, &data.len, &complete, &event) != OK) {
			http_call_cancel(&replica->call);
			timer_start_after(&replica->retry, CONNECT_RETRY_NS);
			return;
		}
		if (complete && event.data.len && load_report_read(event.data, &report) == OK)
			replica_publish(replica, &report);
	}
}

static void on_load_head(void *owner, const struct http_head *head)
{
	(void)owner;
	(void)head;
}

static void on_load_end(void *owner, enum error why)
{
	struct replica *replica = owner;
	(void)why; /* not listening yet, or dead: its exit will tell */
	replica->call = NULL;
	if (replica->process && !replica->fleet->stopping)
		timer_start_after(&replica->retry, CONNECT_RETRY_NS);
}

static const struct http_call_events load_events = { .on_head = on_load_head,
	                                                 .on_body = on_load_body,
	                                                 .on_end = on_load_end };

static void connect_load(struct replica *replica)
{
	static const struct span head = SPAN("GET /load HTTP/1.1\r\nhost: engine\r\n\r\n");
	sse_fini(&replica->sse);
	sse_init(&replica->sse, EVENT_BYTES_MAX);
	const struct http_request request = { .head = head, .connect_ns = CONNECT_NS };
	if (http_call_start(replica->connection, &request, &load_events, replica, &replica->call) != OK)
		timer_start_after(&replica->retry, CONNECT_RETRY_NS);
}

/* ---- the process ---- */

static void plan_restart(struct replica *replica, int exit_status)
{
	int64_t lived_ns = clock_now_ns() - replica->started_ns;
	if (lived_ns > STABLE_NS || replica->back_off_ns == 0)
		replica->back_off_ns = BACK_OFF_MIN_NS;
	int64_t wait_ns = exit_status == EXIT_MODEL ? BACK_OFF_MAX_NS : replica->back_off_ns;
	replica->back_off_ns = min_ll(2 * replica->back_off_ns, BACK_OFF_MAX_NS);
	timer_start_after(&replica->retry, wait_ns);
	log_line(LOG_WARNING, "replica %s will be started again in %lld ms", replica->fleet->names[replica->index],
	         (long long)(wait_ns / NS_PER_MS));
}

static void on_exited(void *owner, int exit_status, int term_signal)
{
	struct replica *replica = owner;
	struct fleet *fleet = replica->fleet;
	process_release(&replica->process);
	http_call_cancel(&replica->call);
	timer_stop(&replica->retry);
	timer_stop(&replica->deadline);
	if (fleet->stopping) {
		fleet_tell_stopped(fleet);
		return;
	}
	if (replica->is_parked) {
		log_line(LOG_INFO, "replica %s has ended: it is not needed now", fleet->names[replica->index]);
		return;
	}
	log_line(LOG_ERROR, "replica %s ended: %s %d", fleet->names[replica->index], term_signal ? "signal" : "exit status",
	         term_signal ? term_signal : exit_status);
	pthread_mutex_lock(&fleet->lock);
	replica->restarts++;
	pthread_mutex_unlock(&fleet->lock);
	bool is_unusable = exit_status == EXIT_MODEL && !replica->was_ready;
	char why[sizeof(replica->report.fault)];
	snprintf(why, sizeof(why), "%s", replica->report.fault);
	/* One that never worked will not: there is nothing to wait for. Others come back, and requests may wait for them. */
	replica_publish_state(replica, is_unusable ? ENGINE_FAILED : ENGINE_STARTING);
	if (is_unusable)
		fleet->events->on_unusable(fleet->owner, replica->index, why);
	else
		plan_restart(replica, exit_status);
}

static void on_retry(struct timer *timer)
{
	struct replica *replica = container_of(timer, struct replica, retry);
	if (replica->process)
		connect_load(replica);
	else if (replica_start_process(replica) != OK)
		plan_restart(replica, 0);
}

static void on_start_deadline(struct timer *timer)
{
	struct replica *replica = container_of(timer, struct replica, deadline);
	log_line(LOG_ERROR, "replica %s was not ready in time (engine.start_timeout) and is killed",
	         replica->fleet->names[replica->index]);
	if (replica->process)
		process_signal(replica->process, SIGKILL);
}

/* argv: penstock engine --socket PATH --exit-with-parent engine.KEY=VALUE... */
enum error replica_start_process(struct replica *replica)
{
	struct fleet *fleet = replica->fleet;
	const struct pool_config *pool = replica_config(replica);
	const char *arguments[ARGUMENTS_MAX] = { fleet->program, "engine", "--socket", replica->url.address.path,
		                                     "--exit-with-parent" };
	size_t count = 5;
	struct bytes settings = { 0 };
	config_pool_write_arguments(pool, &settings);
	for (size_t at = 0; at < settings.len && count < ARGUMENTS_MAX - 1; at += strlen(settings.data + at) + 1)
		arguments[count++] = settings.data + at;
	MUST(count < ARGUMENTS_MAX - 1);
	enum error error = bytes_ok(&settings) ? OK : ERROR_MEMORY;
	if (!error)
		error = process_start(fleet->loop, arguments, on_exited, replica, &replica->process);
	bytes_fini(&settings);
	if (error) {
		log_line(LOG_ERROR, "replica %s can't be started: %s", fleet->names[replica->index], error_text(error));
		return error;
	}
	replica->started_ns = clock_now_ns();
	replica_publish_state(replica, ENGINE_STARTING);
	timer_start_after(&replica->retry, CONNECT_RETRY_NS);
	timer_start_after(&replica->deadline, pool->engine_start_timeout);
	return OK;
}

enum error replica_init_process(struct replica *replica, const char *folder)
{
	struct http_pool_settings settings = { .idle_ns = NS_PER_S, .idle_max = 0 };
	struct address *address = &replica->url.address;
	*address = (struct address){ .kind = ADDRESS_UNIX };
	int len = snprintf(address->path, sizeof(address->path), "%s/engine-%u.sock", folder, replica->index);
	if (len < 0 || (size_t)len >= sizeof(address->path))
		return ERROR_LIMIT;
	snprintf(replica->url.authority, sizeof(replica->url.authority), "engine");
	timer_init(&replica->retry, replica->fleet->loop, on_retry);
	timer_init(&replica->deadline, replica->fleet->loop, on_start_deadline);
	sse_init(&replica->sse, EVENT_BYTES_MAX);
	return replica_connect(replica, replica->fleet->loop, &settings, &replica->connection);
}
