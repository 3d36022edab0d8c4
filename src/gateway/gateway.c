/* Start-up in the order of need, and its reverse. */
#include "gateway/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/random.h"
#include "config/config_pool.h"
#include "config/config_promise.h"
#include "gateway/certificate.h"
#include "gateway/gateway_parts.h"
#include "gateway/promises.h"
#include "gateway/scale.h"
#include "gateway/secret.h"
#include "io/digest.h"
#include "io/signals.h"
#include "policy/opaque.h"
#include "policy/promise.h"
#include "stages/conversation.h"
#include "stages/pipeline.h"

#define TRACE_RECORDS 2048
#define LOOPS_AUTO_MAX 4
#define UPSTREAM_IDLE_NS (30 * NS_PER_S)
#define UPSTREAM_IDLE_MAX 1024
#define SEQUENCES_MAX 256

/* ---- signals and the fleet's news; loop 0 ---- */

static void on_signal(void *owner, int signal_number)
{
	if (signal_number == SIGHUP)
		reload(owner);
	else
		drain_start(owner);
}

static enum replica_state control_state(enum engine_state state)
{
	if (state == ENGINE_READY)
		return REPLICA_READY;
	return state == ENGINE_FAILED || state == ENGINE_STOPPED ? REPLICA_DOWN : REPLICA_STARTING;
}

static void on_load(void *owner, uint32_t replica, const struct load_report *report)
{
	struct gateway *gateway = owner;
	scale_note_state(gateway, replica, report->state);
	if (report->request_tokens)
		atomic_store(&gateway->request_tokens[fleet_pool(gateway->fleet, replica)], (uint32_t)report->request_tokens);
	desk_add(gateway->loops[0].services.desk, &(struct event){
												  .kind = EVENT_LOAD,
												  .replica = replica,
												  .state = control_state(report->state),
												  .percent = (uint32_t)report->percent,
												  .backlog_tokens = (uint32_t)report->backlog_tokens,
												  .sequences = (uint32_t)report->sequences,
												  .cells = (uint32_t)report->cells,
												  .running = (uint32_t)(report->running + report->waiting),
												  .rates = { .fixed_ns = (int64_t)report->stream_fixed_ns,
	                                                         .prefill_ns = (int64_t)report->prompt_token_ns,
	                                                         .decode_ns = (int64_t)report->stream_token_ns,
	                                                         .context_ns = (int64_t)report->stream_context_ps,
	                                                         .prefill_fixed_ns = (int64_t)report->prompt_fixed_ns,
	                                                         .prefill_beside_ns = (int64_t)report->prompt_beside_ns },
											  });
	if (!gateway->announced && gateway_is_ready(gateway)) {
		gateway->announced = true;
		greeting_print(gateway);
	}
}

static void on_unusable(void *owner, uint32_t replica, const char *why)
{
	struct gateway *gateway = owner;
	fprintf(stderr, "penstock: replica %s can't be used: %s\n", fleet_names(gateway->fleet)[replica],
	        *why ? why : "see the log");
	gateway->exit_status = 2;
	if (!gateway->draining)
		drain_start(gateway);
}

static uint32_t in_flight(void *owner, uint32_t replica)
{
	struct gateway *gateway = owner;
	struct control_replica_view view;
	desk_view_replica(gateway->room, replica, &view);
	return view.in_flight;
}

static const struct fleet_events fleet_events = { .on_load = on_load,
	                                              .in_flight = in_flight,
	                                              .on_unusable = on_unusable };

/* ---- what control decides for all ---- */

static void on_rung(void *owner, uint32_t route, uint32_t rung)
{
	struct gateway *gateway = owner;
	/* Any loop's thread: the config is not to be looked at here. */
	atomic_store_explicit(&gateway->rungs[route], rung, memory_order_relaxed);
	log_line(LOG_WARNING, "route %s: the ladder stands on rung %u", gateway->route_names[route + 1], rung);
}

static void on_scale(void *owner, uint32_t pool, uint32_t wanted)
{
	scale_wish(owner, pool, wanted);
}

static const struct desk_events desk_events = { .on_rung = on_rung, .on_scale = on_scale };

/* ---- shared parts ---- */

static unsigned loop_count_of(const struct config *config)
{
	if (config->loops != CONFIG_AUTO)
		return (unsigned)config->loops;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (cores <= 2)
		return 1;
	return cores > LOOPS_AUTO_MAX * 2 ? LOOPS_AUTO_MAX : (unsigned)(cores / 2);
}

static enum error make_tables(struct gateway *gateway)
{
	const struct config *config = gateway->config;
	gateway->route_names = calloc(config->route_count + 1, sizeof(char *));
	gateway->pool_names = calloc(config->pool_count, sizeof(char *));
	gateway->request_tokens = calloc(config->pool_count, sizeof(*gateway->request_tokens));
	gateway->rungs = calloc(config->route_count, sizeof(*gateway->rungs));
	gateway->starting_since_ns = calloc(fleet_count(gateway->fleet), sizeof(int64_t));
	if (!gateway->route_names || !gateway->pool_names || !gateway->request_tokens || !gateway->rungs ||
	    !gateway->starting_since_ns)
		return ERROR_MEMORY;
	/* Copies: the metrics outlive a reload's old config. */
	gateway->route_names[0] = strdup("-");
	for (size_t i = 0; i < config->route_count; i++)
		gateway->route_names[i + 1] = strdup(config->routes[i].name);
	for (size_t i = 0; i < config->pool_count; i++)
		gateway->pool_names[i] = strdup(config->pools[i].name);
	const struct metric_values domains[DOMAIN_COUNT] = {
		[DOMAIN_ROUTE] = { gateway->route_names, (uint32_t)config->route_count + 1 },
		[DOMAIN_POOL] = { gateway->pool_names, (uint32_t)config->pool_count },
		[DOMAIN_REPLICA] = { fleet_names(gateway->fleet), fleet_count(gateway->fleet) },
		[DOMAIN_STAGE] = { stage_texts(), STAGE_COUNT },
		[DOMAIN_OUTCOME] = { outcome_texts(), OUTCOME_COUNT },
		[DOMAIN_FAILURE] = { failure_texts(), FAILURES },
		[DOMAIN_INDICATOR] = { indicator_texts(), INDICATORS },
	};
	enum error error = metrics_new(domains, gateway->loop_count + 1, &gateway->metrics);
	if (!error)
		gateway->main_shard = metrics_shard(gateway->metrics, gateway->loop_count);
	return error;
}

static struct ladder_rung rung_of(const struct route_config *route, size_t place)
{
	struct config_rung rung = { 0 };
	struct ladder_rung out = { .kind = RUNG_TRY_AGAIN };
	if (config_rung_read(route->promise_ladder.items[place], &rung) != OK)
		return out; /* it was checked */
	if (rung.kind == CONFIG_RUNG_OUTPUT)
		out = (struct ladder_rung){ RUNG_OUTPUT, rung.tokens };
	else if (rung.kind == CONFIG_RUNG_TIER)
		out = (struct ladder_rung){ RUNG_TIER, config_tier(route, rung.tier) };
	return out;
}

/* Times are what control refuses by: only a promise of latency is kept so. */
static struct control_route control_route(const struct route_config *route)
{
	struct control_route out = {
		.rung_count = (uint32_t)min_ll((long long)route->promise_ladder.count, LADDER_RUNGS_MAX),
		.requests_per_minute = (uint32_t)route->shape_requests,
		.tokens_per_minute = (uint32_t)route->shape_tokens,
		.repeats_per_minute = (uint32_t)route->shape_repeats,
	};
	if (route->promise_kind == PROMISE_KIND_LATENCY) {
		out.ttft_ns = route->promise_ttft_p95;
		out.tpot_ns = route->promise_tpot_p95;
		out.e2e_ns = route->promise_e2e_p95;
	}
	for (uint32_t i = 0; i < out.rung_count; i++)
		out.rungs[i] = rung_of(route, i);
	return out;
}

static enum error make_room(struct gateway *gateway)
{
	const struct config *config = gateway->config;
	struct control *control = NULL;
	struct control_pool *pools = calloc(config->pool_count, sizeof(*pools));
	struct control_route *routes = calloc(config->route_count, sizeof(*routes));
	struct control_settings settings = { .pools = pools,
		                                 .pool_count = (uint32_t)config->pool_count,
		                                 .routes = routes,
		                                 .route_count = (uint32_t)config->route_count,
		                                 .tenant_count = config->key_count ? TENANTS_MAX + 1 : 1 };
	if (!pools || !routes) {
		free(pools);
		free(routes);
		return ERROR_MEMORY;
	}
	for (size_t i = 0; i < config->route_count; i++)
		routes[i] = control_route(&config->routes[i]);
	for (size_t i = 0; i < config->pool_count; i++) {
		bool is_scaled = config->pools[i].replicas_max != CONFIG_AUTO;
		pools[i] = (struct control_pool){
			.queue_max = (uint32_t)config->pools[i].queue_requests,
			.wait_max_ns = config->pools[i].queue_wait,
			.replica_count = config_pool_replicas(&config->pools[i]),
			.is_opaque = config_pool_is_upstream(&config->pools[i]),
			.concurrency = (uint32_t)max_ll(config->pools[i].upstream_concurrency, 0),
			.scale_min = is_scaled ? (uint32_t)config->pools[i].replicas_min : 0,
			.scale_max = is_scaled ? (uint32_t)config->pools[i].replicas_max : 0,
			.scale_spare = (uint32_t)config->pools[i].replicas_spare,
		};
		uint32_t there_max = pools[i].concurrency ? pools[i].concurrency : OPAQUE_LEARNED_MAX;
		settings.in_flight_max += pools[i].replica_count * (pools[i].is_opaque ? there_max : SEQUENCES_MAX);
	}
	random_secure(&settings.seed, sizeof(settings.seed));
	enum error error = control_new(&settings, &control);
	if (!error)
		error = desk_room_new(control, gateway->loop_count, gateway->record, &desk_events, gateway, &gateway->room);
	if (!error)
		desk_record_settings(gateway->room, &settings);
	free(pools);
	free(routes);
	return error;
}

/* ---- one loop ---- */

static enum error make_upstream_pools(struct gateway *gateway, struct services *services)
{
	struct fleet *fleet = gateway->fleet;
	services->fleet = fleet;
	services->replica_count = fleet_count(fleet);
	services->replica_names = fleet_names(fleet);
	services->replicas = calloc(services->replica_count, sizeof(*services->replicas));
	enum error error = services->replicas ? OK : ERROR_MEMORY;
	for (uint32_t i = 0; i < services->replica_count && !error; i++) {
		const struct pool_config *pool = &gateway->config->pools[fleet_pool(fleet, i)];
		bool is_remote = config_pool_is_upstream(pool);
		struct http_pool_settings settings = { .idle_ns = is_remote ? pool->upstream_keep_alive : UPSTREAM_IDLE_NS,
			                                   .idle_max = UPSTREAM_IDLE_MAX };
		error = fleet_connect(fleet, i, services->loop, &settings, &services->replicas[i]);
	}
	return error;
}

static enum error fill_loop(struct gateway *gateway, unsigned index)
{
	struct worker_loop *loop = &gateway->loops[index];
	struct services *services = &loop->services;
	const struct config *config = gateway->config;
	struct http_server_settings settings = {
		.limits = { (size_t)config->limits_head_bytes, (size_t)config->limits_target_bytes,
		            (unsigned)config->limits_headers },
		.idle_ns = config->limits_idle_time,
	};
	services->config = config_ref(gateway->config);
	services->request_tokens = gateway->request_tokens;
	services->metrics = metrics_shard(gateway->metrics, index);
	services->affinity = gateway->affinity;
	services->conversations = gateway->conversations;
	services->rungs = gateway->rungs;
	services->memory = calloc(config->route_count, sizeof(*services->memory));
	enum error error = services->memory ? OK : ERROR_MEMORY;
	if (!error && gateway->secret.len)
		error = digest_new(bytes_span(&gateway->secret), &services->digest);
	if (!error)
		error = trace_new(TRACE_RECORDS, stage_texts(), STAGE_COUNT, &services->trace);
	if (!error)
		error = http_server_new(services->loop, &settings, &pipeline_http_events, services, &services->server);
	if (!error)
		error = make_upstream_pools(gateway, services);
	if (!error)
		error = desk_new(gateway->room, services, &services->desk);
	drain_watch(loop);
	return error;
}

static void free_loop(struct worker_loop *loop)
{
	struct services *services = &loop->services;
	for (uint32_t i = 0; i < services->slot_count; i++) {
		if (services->slots[i].request)
			pipeline_wake(services->slots[i].request, WAKE_SHUTDOWN);
	}
	desk_free(&services->desk);
	http_server_free(&services->server);
	for (uint32_t i = 0; services->replicas && i < services->replica_count; i++)
		http_pool_free(&services->replicas[i]);
	free(services->replicas);
	digest_free(&services->digest);
	free(services->memory);
	free(services->slots);
	trace_free(&services->trace);
	config_unref(&services->config);
}

static void *run_loop(void *argument)
{
	struct worker_loop *loop = argument;
	loop_run(loop->services.loop);
	return NULL;
}

static enum error start_threads(struct gateway *gateway)
{
	sigset_t all;
	sigset_t before;
	enum error error = OK;
	/* Signals are loop 0's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (unsigned i = 1; i < gateway->loop_count && !error; i++) {
		struct worker_loop *loop = &gateway->loops[i];
		error = error_from_errno(pthread_create(&loop->thread, NULL, run_loop, loop));
		loop->has_thread = !error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

/* ---- start and stop ---- */

static enum error make_loops(struct gateway *gateway)
{
	gateway->loop_count = loop_count_of(gateway->config);
	gateway->loops = calloc(gateway->loop_count, sizeof(*gateway->loops));
	enum error error = gateway->loops ? OK : ERROR_MEMORY;
	for (unsigned i = 0; i < gateway->loop_count && !error; i++) {
		gateway->loops[i].gateway = gateway;
		gateway->loops[i].services.loop_index = i;
		error = loop_new(&gateway->loops[i].services.loop);
	}
	return error;
}

static enum error make_fleet(struct gateway *gateway, struct bytes *fault)
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (len < 0)
		return error_from_errno(errno);
	program[len] = '\0';
	snprintf(gateway->folder, sizeof(gateway->folder), "/tmp/penstock-XXXXXX");
	if (!mkdtemp(gateway->folder))
		return error_from_errno(errno);
	return fleet_new(gateway->loops[0].services.loop, gateway->config, gateway->folder, program, &fleet_events, gateway,
	                 &gateway->fleet, fault);
}

static enum error open_record(struct gateway *gateway, struct bytes *fault)
{
	gateway->record = -1;
	if (!gateway->options->record_path)
		return OK;
	gateway->record = open(gateway->options->record_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (gateway->record < 0)
		bytes_printf(fault, "%s can't be written: %s", gateway->options->record_path, strerror(errno));
	return gateway->record < 0 ? error_from_errno(errno) : OK;
}

static enum error start(struct gateway *gateway, struct bytes *fault)
{
	enum error error = open_record(gateway, fault);
	if (!error && gateway->config->key_count)
		error = secret_load(gateway->config->state, &gateway->secret, fault);
	if (!error)
		error = certificate_load(gateway->config, &gateway->tls, fault);
	if (!error)
		error = make_loops(gateway);
	if (!error)
		error = make_fleet(gateway, fault);
	if (!error)
		error = make_tables(gateway);
	if (!error)
		error = affinity_new(&gateway->affinity);
	if (!error)
		error = conversations_new(&gateway->conversations);
	if (!error)
		error = make_room(gateway);
	for (unsigned i = 0; i < gateway->loop_count && !error; i++)
		error = fill_loop(gateway, i);
	if (!error)
		error = promises_new(gateway, &gateway->promises);
	if (!error)
		error = admin_new(gateway);
	if (!error)
		error = gateway_alerts_start(gateway, fault);
	if (!error)
		error = acceptor_open(gateway, fault);
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	for (size_t i = 0; i < COUNT_OF(signals) && !error; i++)
		error = signals_catch(gateway->loops[0].services.loop, signals[i], on_signal, gateway);
	if (!error)
		error = fleet_start(gateway->fleet);
	return error ? error : start_threads(gateway);
}

static void free_names(const char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free((char *)(uintptr_t)names[i]);
	free(names);
}

/* Left by a worker that was killed. One in a URL is somebody else's. */
static void remove_socket(const struct gateway *gateway, uint32_t replica)
{
	if (!config_pool_is_upstream(&gateway->config->pools[fleet_pool(gateway->fleet, replica)]))
		unlink(fleet_url(gateway->fleet, replica)->address.path);
}

static void stop(struct gateway *gateway)
{
	for (unsigned i = 1; i < gateway->loop_count; i++) {
		if (gateway->loops[i].has_thread) {
			loop_stop(gateway->loops[i].services.loop);
			pthread_join(gateway->loops[i].thread, NULL);
		}
	}
	acceptor_close(gateway, true);
	gateway_alerts_stop(gateway);
	for (unsigned i = 0; i < gateway->loop_count; i++)
		free_loop(&gateway->loops[i]);
	http_server_free(&gateway->admin_server);
	promises_free(&gateway->promises);
	for (uint32_t i = 0; gateway->fleet && i < fleet_count(gateway->fleet); i++)
		remove_socket(gateway, i);
	fleet_free(&gateway->fleet);
	desk_room_free(&gateway->room);
	affinity_free(&gateway->affinity);
	conversations_free(&gateway->conversations);
	for (unsigned i = 0; i < gateway->loop_count; i++)
		loop_free(&gateway->loops[i].services.loop);
	free_names(gateway->route_names, gateway->config->route_count + 1);
	free_names(gateway->pool_names, gateway->config->pool_count);
	metrics_free(&gateway->metrics);
	free(gateway->request_tokens);
	free(gateway->rungs);
	free(gateway->starting_since_ns);
	free(gateway->loops);
	bytes_fini(&gateway->secret);
	tls_context_unref(&gateway->tls);
	if (gateway->record >= 0)
		close(gateway->record);
	if (*gateway->folder)
		rmdir(gateway->folder);
	config_unref(&gateway->config);
}

int gateway_run(struct config *config, const struct gateway_options *options)
{
	struct gateway gateway = { .options = options, .config = config };
	struct bytes fault = { 0 };
	signal(SIGPIPE, SIG_IGN);
	log_start(STDERR_FILENO, (enum log_level)config->log_level);
#ifdef PENSTOCK_TEST_HOOKS
	pipeline_read_test_delays();
#endif
	enum error error = start(&gateway, &fault);
	if (error) {
		fprintf(stderr, "penstock: %s\n", fault.len ? bytes_text(&fault) : error_text(error));
		gateway.exit_status = 1;
	} else {
		loop_run(gateway.loops[0].services.loop);
	}
	stop(&gateway);
	bytes_fini(&fault);
	log_stop();
	return gateway.exit_status;
}
