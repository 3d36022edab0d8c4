/* A replica's life: start -> connect to its /load (again and again until it listens) -> reports -> exit -> back-off -> start. */
#include "fleet/fleet.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "config/config_pool.h"
#include "http/http_client.h"
#include "http/sse.h"
#include "io/process.h"

#define BACK_OFF_MIN_NS (250 * NS_PER_MS)
#define BACK_OFF_MAX_NS (30 * NS_PER_S)
/* A worker that lived so long starts over with the shortest back-off. */
#define STABLE_NS (60 * NS_PER_S)
#define CONNECT_RETRY_NS (20 * NS_PER_MS)
#define KILL_AFTER_NS (2 * NS_PER_S)
#define EVENT_BYTES_MAX (64 * 1024)
#define ARGUMENTS_MAX 64
/* A worker's exit status for a model that it can't use. */
#define EXIT_MODEL 2

struct replica {
	struct fleet *fleet;
	uint32_t index;
	uint32_t pool;
	struct address address;
	struct process *process; /* NULL between two lives */
	struct http_pool *connection;
	struct http_call *call; /* /load; NULL while not connected */
	struct sse sse;
	struct timer retry;    /* the next connect, or the next start */
	struct timer deadline; /* of a start */
	int64_t back_off_ns;
	int64_t started_ns;
	bool was_ready; /* in any life */
	/* Guarded by fleet->lock. */
	struct load_report report;
	uint32_t restarts;
};

struct fleet {
	struct loop *loop;
	struct config *config; /* a reference */
	const struct fleet_events *events;
	void *owner;
	char *program;
	struct replica *replicas;
	const char **names;
	uint32_t count;
	pthread_mutex_t lock;
	bool stopping;
	void (*stopped)(void *owner);
	struct timer kill; /* those that don't end when asked */
};

static enum error start_process(struct replica *replica);

/* ---- reports ---- */

static void publish(struct replica *replica, const struct load_report *report)
{
	struct fleet *fleet = replica->fleet;
	pthread_mutex_lock(&fleet->lock);
	replica->report = *report;
	pthread_mutex_unlock(&fleet->lock);
	if (report->state == ENGINE_READY) {
		replica->was_ready = true;
		timer_stop(&replica->deadline);
	}
	fleet->events->on_load(fleet->owner, replica->index, report);
}

static void publish_state(struct replica *replica, enum engine_state state)
{
	struct load_report report = replica->report;
	report.state = state;
	report.percent = 0;
	publish(replica, &report);
}

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
			publish(replica, &report);
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
	if (http_call_start(replica->connection, head, (struct span){ 0 }, &load_events, replica, &replica->call) != OK)
		timer_start_after(&replica->retry, CONNECT_RETRY_NS);
}

/* ---- processes ---- */

static void tell_stopped(struct fleet *fleet)
{
	if (!fleet->stopping || !fleet->stopped)
		return;
	for (uint32_t i = 0; i < fleet->count; i++) {
		if (fleet->replicas[i].process)
			return;
	}
	void (*stopped)(void *owner) = fleet->stopped;
	fleet->stopped = NULL;
	timer_stop(&fleet->kill);
	stopped(fleet->owner);
}

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
		tell_stopped(fleet);
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
	publish_state(replica, is_unusable ? ENGINE_FAILED : ENGINE_STARTING);
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
	else if (start_process(replica) != OK)
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
static enum error start_process(struct replica *replica)
{
	struct fleet *fleet = replica->fleet;
	const struct pool_config *pool = &fleet->config->pools[replica->pool];
	const char *arguments[ARGUMENTS_MAX] = { fleet->program, "engine", "--socket", replica->address.path,
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
	publish_state(replica, ENGINE_STARTING);
	timer_start_after(&replica->retry, CONNECT_RETRY_NS);
	timer_start_after(&replica->deadline, pool->engine_start_timeout);
	return OK;
}

static void on_kill(struct timer *timer)
{
	struct fleet *fleet = container_of(timer, struct fleet, kill);
	for (uint32_t i = 0; i < fleet->count; i++) {
		if (fleet->replicas[i].process)
			process_signal(fleet->replicas[i].process, SIGKILL);
	}
}

/* ---- the fleet ---- */

static enum error make_replica(struct fleet *fleet, uint32_t index, uint32_t pool, uint32_t number, const char *folder)
{
	struct replica *replica = &fleet->replicas[index];
	struct http_pool_settings settings = { .connect_ns = NS_PER_S, .idle_ns = NS_PER_S, .idle_max = 0 };
	char name[160];
	snprintf(name, sizeof(name), "%s/%u", fleet->config->pools[pool].name, number);
	*replica = (struct replica){ .fleet = fleet, .index = index, .pool = pool, .address = { .kind = ADDRESS_UNIX } };
	int len = snprintf(replica->address.path, sizeof(replica->address.path), "%s/engine-%u.sock", folder, index);
	if (len < 0 || (size_t)len >= sizeof(replica->address.path))
		return ERROR_LIMIT;
	timer_init(&replica->retry, fleet->loop, on_retry);
	timer_init(&replica->deadline, fleet->loop, on_start_deadline);
	sse_init(&replica->sse, EVENT_BYTES_MAX);
	fleet->names[index] = strdup(name);
	if (!fleet->names[index])
		return ERROR_MEMORY;
	return http_pool_new(fleet->loop, &replica->address, &settings, &replica->connection);
}

enum error fleet_new(struct loop *loop, struct config *config, const char *folder, const char *program,
                     const struct fleet_events *events, void *owner, struct fleet **out)
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));
	if (!fleet)
		return ERROR_MEMORY;
	fleet->loop = loop;
	fleet->config = config_ref(config);
	fleet->events = events;
	fleet->owner = owner;
	fleet->program = strdup(program);
	pthread_mutex_init(&fleet->lock, NULL);
	timer_init(&fleet->kill, loop, on_kill);
	for (size_t i = 0; i < config->pool_count; i++)
		fleet->count += (uint32_t)config->pools[i].replicas_min;
	fleet->replicas = calloc(fleet->count, sizeof(*fleet->replicas));
	fleet->names = calloc(fleet->count, sizeof(*fleet->names));
	enum error error = fleet->replicas && fleet->names && fleet->program ? OK : ERROR_MEMORY;
	uint32_t index = 0;
	for (uint32_t pool = 0; pool < config->pool_count && !error; pool++) {
		for (uint32_t number = 0; number < config->pools[pool].replicas_min && !error; number++)
			error = make_replica(fleet, index++, pool, number, folder);
	}
	if (error)
		fleet_free(&fleet);
	*out = fleet;
	return error;
}

enum error fleet_start(struct fleet *fleet)
{
	enum error error = OK;
	for (uint32_t i = 0; i < fleet->count && !error; i++)
		error = start_process(&fleet->replicas[i]);
	return error;
}

void fleet_stop(struct fleet *fleet, void (*stopped)(void *owner))
{
	fleet->stopping = true;
	fleet->stopped = stopped;
	for (uint32_t i = 0; i < fleet->count; i++) {
		struct replica *replica = &fleet->replicas[i];
		timer_stop(&replica->retry);
		timer_stop(&replica->deadline);
		http_call_cancel(&replica->call);
		if (replica->process)
			process_close_input(replica->process);
	}
	timer_start_after(&fleet->kill, KILL_AFTER_NS);
	tell_stopped(fleet);
}

void fleet_free(struct fleet **fleet_slot)
{
	struct fleet *fleet = *fleet_slot;
	if (!fleet)
		return;
	*fleet_slot = NULL;
	timer_stop(&fleet->kill);
	for (uint32_t i = 0; fleet->replicas && i < fleet->count; i++) {
		struct replica *replica = &fleet->replicas[i];
		if (!replica->fleet)
			continue;
		timer_stop(&replica->retry);
		timer_stop(&replica->deadline);
		http_call_cancel(&replica->call);
		http_pool_free(&replica->connection);
		process_release(&replica->process);
		sse_fini(&replica->sse);
		free((char *)(uintptr_t)fleet->names[i]);
	}
	free(fleet->replicas);
	free(fleet->names);
	free(fleet->program);
	pthread_mutex_destroy(&fleet->lock);
	config_unref(&fleet->config);
	free(fleet);
}

uint32_t fleet_count(const struct fleet *fleet)
{
	return fleet->count;
}

const char *const *fleet_names(const struct fleet *fleet)
{
	return fleet->names;
}

uint32_t fleet_pool(const struct fleet *fleet, uint32_t replica)
{
	return fleet->replicas[replica].pool;
}

const struct address *fleet_address(const struct fleet *fleet, uint32_t replica)
{
	return &fleet->replicas[replica].address;
}

void fleet_load(struct fleet *fleet, uint32_t replica, struct load_report *out)
{
	pthread_mutex_lock(&fleet->lock);
	*out = fleet->replicas[replica].report;
	pthread_mutex_unlock(&fleet->lock);
}

uint32_t fleet_restarts(struct fleet *fleet, uint32_t replica)
{
	pthread_mutex_lock(&fleet->lock);
	uint32_t restarts = fleet->replicas[replica].restarts;
	pthread_mutex_unlock(&fleet->lock);
	return restarts;
}

int fleet_process_id(const struct fleet *fleet, uint32_t replica)
{
	const struct process *process = fleet->replicas[replica].process;
	return process ? process_id(process) : 0;
}
