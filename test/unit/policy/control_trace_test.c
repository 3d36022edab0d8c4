/* Real arrivals in virtual time: control, batch and the step model together, on a replica that is asked for half as much again as it can do,
 * and bursts on one that has just started. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "unit.h"
#include "world.h"

#define TRACE "traces/azure2023/conv.csv.gz"
#define TRACE_REQUESTS 8000
#define TRACE_SECONDS 1200
#define DEADLINE_NS (15 * NS_PER_S)
#define WAIT_MAX_NS (10 * NS_PER_S)
#define TTFT_NS (2 * NS_PER_S)

struct arrival {
	int64_t at_ns;
	uint32_t prompt_tokens;
	uint32_t output_tokens;
};

/* Reads a line of the trace: YYYY-MM-DD HH:MM:SS.fffffff,prompt,output (the day does not change in it). */
static bool read_arrival(const char *line, struct arrival *out)
{
	unsigned hours, minutes, seconds, ticks, prompt, output;
	if (sscanf(line, "%*10s %2u:%2u:%2u.%7u,%u,%u", &hours, &minutes, &seconds, &ticks, &prompt, &output) != 6)
		return false;
	int64_t second = ((int64_t)hours * 60 + minutes) * 60 + seconds;
	*out = (struct arrival){ second * NS_PER_S + ticks * 100, max_ll(prompt, 1), max_ll(output, 1) };
	return true;
}

/* The number of arrivals, from time 0; 0 when the trace is not there. */
static size_t read_trace(struct arrival *arrivals, size_t capacity)
{
	const char *shared = getenv("PENSTOCK_SHARED");
	char path[512];
	char line[128];
	size_t count = 0;
	snprintf(path, sizeof(path), "%s/" TRACE, shared ? shared : "../shared");
	if (access(path, R_OK) != 0)
		snprintf(path, sizeof(path), "../../shared/" TRACE); /* from a worktree */
	char command[600];
	if (access(path, R_OK) != 0 || strchr(path, '\''))
		return 0;
	snprintf(command, sizeof(command), "zcat '%s'", path);
	FILE *file = popen(command, "r");
	ck_assert_ptr_nonnull(file);
	while (count < capacity && fgets(line, sizeof(line), file))
		count += read_arrival(line, &arrivals[count]);
	pclose(file);
	for (size_t i = count; i-- > 0;)
		arrivals[i].at_ns -= arrivals[0].at_ns;
	return count;
}

struct figures {
	uint32_t offered;
	uint32_t refused; /* on arrival */
	uint32_t hopeless_later;
	uint32_t expired;
	uint32_t cancelled;
	uint32_t done;
	uint32_t late; /* first token after what was promised */
	uint32_t over_deadline;
	uint32_t in_time;    /* first token within the route's promise */
	double ratio_median; /* actual / promised */
	double error_median; /* of what was expected, over the actual */
	double error_p95;
	int64_t span_ns;
	uint64_t steps;
};

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

static struct figures figures_of(const struct world *world)
{
	static double ratios[TRACE_REQUESTS];
	static double errors[TRACE_REQUESTS];
	size_t known = 0;
	struct figures figures = { .offered = world_count(world),
		                       .span_ns = world_now_ns(world),
		                       .steps = world_steps(world) };
	for (uint32_t i = 0; i < world_count(world); i++) {
		const struct world_request *request = world_request(world, i);
		ck_assert_int_ge(request->ended_ns, 0);
		bool had_ticket = request->ticket != CONTROL_TICKET_NONE;
		figures.refused += request->state == WORLD_REFUSED && !had_ticket;
		figures.expired += request->refusal == REFUSAL_EXPIRED;
		figures.hopeless_later += request->refusal == REFUSAL_HOPELESS && had_ticket;
		figures.cancelled += request->state == WORLD_CANCELLED;
		figures.done += request->state == WORLD_DONE;
		if (request->first_token_ns < 0)
			continue;
		int64_t actual_ns = request->first_token_ns - request->arrived_ns;
		figures.late += actual_ns > request->promised_ns;
		figures.over_deadline += request->first_token_ns > request->deadline_ns;
		figures.in_time += actual_ns <= TTFT_NS;
		errors[known] = fabs((double)(actual_ns - request->predicted_ns)) / (double)actual_ns;
		ratios[known++] = (double)actual_ns / (double)max_ll(request->promised_ns, 1);
	}
	qsort(ratios, known, sizeof(*ratios), compare_doubles);
	qsort(errors, known, sizeof(*errors), compare_doubles);
	figures.ratio_median = known ? ratios[known / 2] : 0;
	figures.error_median = known ? errors[known / 2] : 0;
	figures.error_p95 = known ? errors[known * 95 / 100] : 0;
	return figures;
}

static void print_figures(const char *name, const struct figures *figures)
{
	uint32_t admitted = figures->offered - figures->refused;
	printf("%s: %u offered in %.0f s, %u admitted, %u done, %u expired, %u hopeless in the queue, %u cancelled; first "
	       "token within the "
	       "promise %.1f %%, median actual/promised %.2f; expected is %.1f %% off in the median, %.0f %% at p95; "
	       "%llu calls of control\n",
	       name, figures->offered, (double)figures->span_ns / 1e9, admitted, figures->done, figures->expired,
	       figures->hopeless_later, figures->cancelled, 100.0 * (1 - (double)figures->late / figures->done),
	       figures->ratio_median, 100 * figures->error_median, 100 * figures->error_p95,
	       (unsigned long long)figures->steps);
}

/* About 4 requests a second of this trace, which brings 6. */
static const struct world_engine engine = {
	.sequences = 16,
	.rates = { 5 * NS_PER_MS, 60 * NS_PER_US, 300 * NS_PER_US, 200 * NS_PER_US, 5 * NS_PER_MS, 120 * NS_PER_US },
	.noise = 0.2,
	.is_learning = true,
};

static struct world *small_world(uint32_t queue_max, int64_t wait_max_ns)
{
	const struct control_pool pool = { queue_max, wait_max_ns, 1 };
	struct world *world;
	ck_error_is(world_new(&(struct control_settings){ .pools = &pool, .pool_count = 1, .in_flight_max = 64, .seed = 5 },
	                      &world),
	            OK);
	return world;
}

/* expected_tokens: what control is told of each output; 0 = the truth. */
static struct figures run_trace(const struct arrival *arrivals, size_t count, uint32_t expected_tokens)
{
	struct world *world = small_world(100, WAIT_MAX_NS);
	world_replica_ready(world, 0, &engine);
	for (size_t i = 0; i < count && arrivals[i].at_ns < TRACE_SECONDS * NS_PER_S; i++) {
		world_run_until(world, arrivals[i].at_ns);
		world_arrive(world, &(struct world_request){
								.class = CLASS_STANDARD,
								.prompt_tokens = arrivals[i].prompt_tokens,
								.output_tokens = arrivals[i].output_tokens,
								.expected_tokens = expected_tokens,
								.deadline_ns = arrivals[i].at_ns + DEADLINE_NS,
							});
	}
	ck_assert(world_run_out(world, world_now_ns(world) + 120 * NS_PER_S));
	ck_assert_uint_eq(control_tickets(world_control(world)), 0);
	struct figures figures = figures_of(world);
	world_free(&world);
	return figures;
}

START_TEST(a_real_afternoon_at_one_and_a_half_times_what_is_possible)
{
	static struct arrival arrivals[TRACE_REQUESTS];
	size_t count = read_trace(arrivals, TRACE_REQUESTS);
	if (count == 0) {
		printf("skipped: no " TRACE " in ../shared or $PENSTOCK_SHARED\n");
		return;
	}
	const uint32_t expected[] = { 0, 201 }; /* the truth; the mean of the trace */
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		struct figures figures = run_trace(arrivals, count, expected[i]);
		print_figures(expected[i] ? "lengths known on average" : "lengths known", &figures);
		uint32_t admitted = figures.offered - figures.refused;
		uint32_t dropped = figures.expired + figures.hopeless_later + figures.cancelled;
		ck_assert_int_ge(figures.span_ns, 1000 * NS_PER_S);
		ck_assert_uint_gt(figures.refused, figures.offered / 5);
		/* Two thirds of the offered work can be done: nearly all of that is. */
		ck_assert_uint_gt(figures.done, figures.offered * 57 / 100);
		/* A promise is the 95th percentile as learned; 9 of 10 kept allow for what changes while it is learned. */
		ck_assert_uint_lt(figures.late, figures.done / 10);
		ck_assert_uint_le(dropped, admitted / 50);
		ck_assert_uint_eq(figures.over_deadline, 0);
	}
}
END_TEST

/* The same trace, faster and faster, on a route that promises its first tokens within two seconds. */
static struct figures run_promise(const struct arrival *arrivals, size_t count, double speed)
{
	const struct control_pool pool = { .queue_max = 200, .wait_max_ns = 20 * NS_PER_S, .replica_count = 1 };
	const struct control_route route = { .ttft_ns = TTFT_NS };
	const struct control_settings settings = {
		.pools = &pool, .pool_count = 1, .routes = &route, .route_count = 1, .in_flight_max = 64, .seed = 5
	};
	struct world *world;
	ck_error_is(world_new(&settings, &world), OK);
	world_replica_ready(world, 0, &engine);
	for (size_t i = 0; i < count && (double)arrivals[i].at_ns < TRACE_SECONDS * 1e9 * fmin(speed, 1); i++) {
		int64_t at_ns = (int64_t)((double)arrivals[i].at_ns / speed);
		world_run_until(world, at_ns);
		world_arrive(world, &(struct world_request){ .class = CLASS_STANDARD,
		                                             .prompt_tokens = arrivals[i].prompt_tokens,
		                                             .output_tokens = arrivals[i].output_tokens,
		                                             .expected_tokens = 201,
		                                             .deadline_ns = NS_NEVER });
	}
	int64_t loaded_ns = world_now_ns(world);
	ck_assert(world_run_out(world, world_now_ns(world) + 120 * NS_PER_S));
	struct figures figures = figures_of(world);
	figures.span_ns = loaded_ns;
	world_free(&world);
	return figures;
}

START_TEST(a_promise_is_kept_for_those_who_are_let_in_however_many_come)
{
	static struct arrival arrivals[TRACE_REQUESTS];
	size_t count = read_trace(arrivals, TRACE_REQUESTS);
	if (count == 0) {
		printf("skipped: no " TRACE " in ../shared or $PENSTOCK_SHARED\n");
		return;
	}
	static const double speeds[] = { 0.4, 0.6, 0.8, 1.2, 2.4 };
	double best = 0;
	for (size_t i = 0; i < COUNT_OF(speeds); i++) {
		struct figures figures = run_promise(arrivals, count, speeds[i]);
		double goodput = figures.in_time / ((double)figures.span_ns / 1e9);
		best = fmax(best, goodput);
		printf("x%.1f: %u offered, %u done, goodput %.2f/s, in time %.1f %% of those done; ", speeds[i],
		       figures.offered, figures.done, goodput, 100.0 * figures.in_time / figures.done);
		print_figures("", &figures);
		ck_assert_double_ge(goodput, speeds[i] < 1 ? 0 : best * 0.9);
		ck_assert_uint_ge(figures.in_time, figures.done * 93 / 100);
	}
}
END_TEST

/* 200 at the same moment for a pool that has never seen one: who is let in is served in time, the others are told when. */
static void burst(uint32_t prompt_tokens, uint32_t output_tokens, int64_t wait_max_ns)
{
	struct world *world = small_world(300, wait_max_ns);
	struct world_engine steady = engine;
	steady.is_learning = false;
	steady.noise = 0;
	world_replica_ready(world, 0, &steady);
	for (int i = 0; i < 200; i++)
		world_arrive(world, &(struct world_request){ .prompt_tokens = prompt_tokens,
		                                             .output_tokens = output_tokens,
		                                             .deadline_ns = NS_NEVER });
	world_run_until(world, 0);
	ck_assert(world_run_out(world, 3600 * NS_PER_S));
	struct figures figures = figures_of(world);
	int64_t last_dispatch_ns = 0;
	int64_t retry_least_ns = NS_NEVER;
	for (uint32_t i = 0; i < 200; i++) {
		const struct world_request *request = world_request(world, i);
		last_dispatch_ns = max_ll(last_dispatch_ns, request->dispatched_ns);
		if (request->state == WORLD_REFUSED)
			retry_least_ns = min_ll(retry_least_ns, request->retry_after_ns);
	}
	printf("burst of 200 x %u+%u, wait up to %.0f s: %u admitted, %u done, last dispatched after %.2f s\n",
	       prompt_tokens, output_tokens, (double)wait_max_ns / 1e9, 200 - figures.refused, figures.done,
	       (double)last_dispatch_ns / 1e9);
	ck_assert_uint_eq(figures.expired + figures.hopeless_later + figures.cancelled, 0);
	ck_assert_uint_eq(figures.done, 200 - figures.refused);
	ck_assert_int_le(last_dispatch_ns, wait_max_ns);
	/* Not too shy either: the wait that is allowed is used, but for the round of 16 that would have ended it. */
	int64_t round_ns = predict_service_ns(&steady.rates, prompt_tokens, output_tokens, steady.sequences);
	if (figures.refused) {
		ck_assert_int_ge(last_dispatch_ns, (wait_max_ns - 2 * round_ns) * 8 / 10);
		/* Those who are not let in are told how long they would have waited: about as long as the last of those who were. */
		ck_assert_int_ge(retry_least_ns, last_dispatch_ns * 3 / 4);
		ck_assert_int_le(retry_least_ns, last_dispatch_ns * 5 / 4 + 2 * round_ns);
	}
	world_free(&world);
}

START_TEST(who_is_let_in_from_a_burst_is_served_in_time)
{
	burst(300, 100, 10 * NS_PER_S);
	burst(300, 100, 60 * NS_PER_S);
	burst(2000, 20, 10 * NS_PER_S);
	burst(50, 400, 20 * NS_PER_S);
	burst(10, 1, 5 * NS_PER_S);
}
END_TEST

UNIT_MAIN("policy/control_trace", a_promise_is_kept_for_those_who_are_let_in_however_many_come,
          a_real_afternoon_at_one_and_a_half_times_what_is_possible, who_is_let_in_from_a_burst_is_served_in_time)
