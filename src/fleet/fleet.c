/* The set of replicas: made from the config, started and stopped together, and what is known of each. */
#include "fleet/fleet.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "config/config_pool.h"
#include "fleet/fleet_parts.h"

#define KILL_AFTER_NS (2 * NS_PER_S)

/* ---- what the parts tell ---- */

void replica_publish(struct replica *replica, const struct load_report *report)
{
	struct fleet *fleet = replica->fleet;
	if (replica->is_parked)
		return; /* nobody is to send it anything, whatever it says */
	pthread_mutex_lock(&fleet->lock);
	replica->report = *report;
	pthread_mutex_unlock(&fleet->lock);
	if (report->state == ENGINE_READY) {
		replica->was_ready = true;
		timer_stop(&replica->deadline);
	}
	fleet->events->on_load(fleet->owner, replica->index, report);
}

void replica_publish_state(struct replica *replica, enum engine_state state)
{
	struct load_report report = replica->report;
	report.state = state;
	report.percent = 0;
	replica_publish(replica, &report);
}

void fleet_tell_stopped(struct fleet *fleet)
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
	const struct pool_config *config = &fleet->config->pools[pool];
	char name[160];
	snprintf(name, sizeof(name), "%s/%u", config->name, number);
	*replica = (struct replica){ .fleet = fleet, .index = index, .pool = pool };
	fleet->names[index] = strdup(name);
	if (!fleet->names[index])
		return ERROR_MEMORY;
	replica_init_scale(replica);
	if (config_pool_is_upstream(config))
		return replica_init_remote(replica, config->upstream_urls.items[number]);
	return replica_init_process(replica, folder);
}

static enum error make_context(const struct pool_config *pool, struct tls_context **out, struct bytes *fault)
{
	bool needs_one = false;
	for (size_t i = 0; i < pool->upstream_urls.count; i++) {
		struct url url;
		needs_one |= url_parse(span_of(pool->upstream_urls.items[i]), &url) == OK && url.is_tls;
	}
	return needs_one ? tls_context_new_client(pool->upstream_ca, out, fault) : OK;
}

/* A peer for each loop and replica: sessions are resumed there. */
enum error replica_connect(const struct replica *replica, struct loop *loop, struct http_pool_settings *settings,
                           struct http_pool **out)
{
	const struct pool_config *pool = replica_config(replica);
	struct tls_context *context = replica->fleet->tls[replica->pool];
	settings->tls = NULL;
	settings->allow_local = !config_pool_is_upstream(pool) || pool->upstream_allow_local;
	enum error error = replica->url.is_tls ? tls_peer_new(context, replica->url.address.host, &settings->tls) : OK;
	if (!error)
		error = http_pool_new(loop, &replica->url.address, settings, out);
	tls_peer_unref(&settings->tls);
	return error;
}

enum error fleet_connect(const struct fleet *fleet, uint32_t replica, struct loop *loop,
                         struct http_pool_settings *settings, struct http_pool **out)
{
	return replica_connect(&fleet->replicas[replica], loop, settings, out);
}

enum error fleet_new(struct loop *loop, struct config *config, const char *folder, const char *program,
                     const struct fleet_events *events, void *owner, struct fleet **out, struct bytes *fault)
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
		fleet->count += config_pool_replicas(&config->pools[i]);
	fleet->replicas = calloc(fleet->count, sizeof(*fleet->replicas));
	fleet->names = calloc(fleet->count, sizeof(*fleet->names));
	fleet->tls = calloc(config->pool_count, sizeof(struct tls_context *));
	enum error error = fleet->replicas && fleet->names && fleet->program && fleet->tls ? OK : ERROR_MEMORY;
	for (size_t i = 0; i < config->pool_count && !error; i++)
		error = make_context(&config->pools[i], &fleet->tls[i], fault);
	uint32_t index = 0;
	for (uint32_t pool = 0; pool < config->pool_count && !error; pool++) {
		for (uint32_t number = 0; number < config_pool_replicas(&config->pools[pool]) && !error; number++)
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
	for (uint32_t i = 0; i < fleet->count && !error; i++) {
		struct replica *replica = &fleet->replicas[i];
		if (config_pool_is_upstream(replica_config(replica)))
			replica_start_remote(replica);
		else if (i - fleet_first(fleet, replica->pool) < (uint32_t)replica_config(replica)->replicas_min)
			error = replica_start_process(replica);
		else
			replica_park(replica);
	}
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
		timer_stop(&replica->retire);
		http_call_cancel(&replica->call);
		if (replica->process)
			process_close_input(replica->process);
	}
	timer_start_after(&fleet->kill, KILL_AFTER_NS);
	fleet_tell_stopped(fleet);
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
		timer_stop(&replica->retire);
		http_call_cancel(&replica->call);
		http_pool_free(&replica->connection);
		process_release(&replica->process);
		sse_fini(&replica->sse);
		bytes_fini(&replica->head);
		bytes_fini(&replica->answer);
		free((char *)(uintptr_t)fleet->names[i]);
	}
	for (size_t i = 0; fleet->tls && i < fleet->config->pool_count; i++)
		tls_context_unref(&fleet->tls[i]);
	free(fleet->tls);
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

uint32_t fleet_first(const struct fleet *fleet, uint32_t pool)
{
	uint32_t first = 0;
	while (first < fleet->count && fleet->replicas[first].pool < pool)
		first++;
	return first;
}

const struct url *fleet_url(const struct fleet *fleet, uint32_t replica)
{
	return &fleet->replicas[replica].url;
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
