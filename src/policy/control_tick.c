/* Once a second: each route's ladder looks at the pressure, each pool at its demand. */
#include <math.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/control_state.h"

/* The rank of the 95th percentile. */
#define RANK 0.95
#define UTILIZATION 0.8
#define COLD_START_UNKNOWN_NS (10 * NS_PER_S)

/* ---- pressure ---- */

/* Half as long again as its own prompt takes alone, where that is longer than what is promised: no rung makes such a prompt shorter, and to refuse it while
 * nobody else waits helps no one. It misses the promise, and is counted so. */
#define OWN_PERCENT 150

double pressure_of(const struct route *route, int64_t expected_ns, int64_t own_ns, int64_t token_ns,
                   uint32_t output_tokens)
{
	const struct control_route *settings = &route->settings;
	double late_ns = route->gate * (double)expected_ns;
	double own = own_ns == NS_NEVER ? 0 : (double)own_ns * OWN_PERCENT / 100;
	double pressure = 0;
	if (settings->ttft_ns)
		pressure = late_ns / fmax((double)settings->ttft_ns, own);
	if (settings->tpot_ns && token_ns != NS_NEVER)
		pressure = fmax(pressure, (double)token_ns / (double)settings->tpot_ns);
	if (settings->e2e_ns && token_ns != NS_NEVER)
		pressure = fmax(pressure, (late_ns + (double)token_ns * output_tokens) / (double)settings->e2e_ns);
	return pressure;
}

void pressure_note(struct route *route, uint64_t second, double ratio)
{
	uint32_t step =
		ratio * PRESSURE_PER_UNIT < PRESSURE_STEPS - 1 ? (uint32_t)(ratio * PRESSURE_PER_UNIT) : PRESSURE_STEPS - 1;
	route->counts[second % PRESSURE_SECONDS][step]++;
}

/* The 95th percentile of what the arrivals of the last seconds were predicted, over what they were promised; of a usual one that came now where none came. */
static double measured_pressure(const struct control *control, const struct route *route)
{
	uint32_t total = 0;
	for (uint32_t s = 0; s < PRESSURE_SECONDS; s++)
		for (uint32_t i = 0; i < PRESSURE_STEPS; i++)
			total += route->counts[s][i];
	if (total == 0) {
		const struct pool *pool = &control->pools[route->pool];
		if (route->prompt_tokens <= 0)
			return 0; /* nobody has ever asked */
		const struct event usual = { .pool = route->pool,
			                         .class = CLASS_STANDARD,
			                         .prompt_tokens = (uint32_t)route->prompt_tokens,
			                         .output_tokens = (uint32_t)route->output_tokens };
		const struct forecast forecast = forecast_request(control, pool, &usual);
		int64_t expected_ns = forecast_expected_ns(pool, CLASS_STANDARD, &forecast, forecast.first_token_ns);
		if (expected_ns == NS_NEVER)
			return 0; /* nobody asks, and nothing runs */
		return pressure_of(route, expected_ns, forecast.own_ns, forecast_token_ns(control, pool), usual.output_tokens);
	}
	uint32_t rank = (uint32_t)ceil(RANK * total);
	uint32_t seen = 0;
	for (uint32_t i = 0; i < PRESSURE_STEPS; i++) {
		for (uint32_t s = 0; s < PRESSURE_SECONDS; s++)
			seen += route->counts[s][i];
		if (seen >= rank)
			return (i + 0.5) / PRESSURE_PER_UNIT;
	}
	return 0;
}

static bool has_promise(const struct control_route *settings)
{
	return settings->ttft_ns || settings->tpot_ns || settings->e2e_ns || settings->rung_count;
}

static void step_route(struct control *control, uint32_t index)
{
	struct route *route = &control->routes[index];
	if (!has_promise(&route->settings))
		return;
	route->pressure = fmax(measured_pressure(control, route), route->told_permille / 1000.0);
	/* The oldest second's place is the next one's. */
	uint32_t *next = route->counts[(control->seconds + 1) % PRESSURE_SECONDS];
	for (uint32_t i = 0; i < PRESSURE_STEPS; i++)
		next[i] = 0;
	if (ladder_step(&route->ladder, route->settings.rung_count, control->now_ns, route->pressure) != 0)
		give_order(control,
		           &(struct order){
					   .kind = ORDER_RUNG, .ticket = CONTROL_TICKET_NONE, .route = index, .rung = route->ladder.rung });
}

/* A promise is of 95 of 100; two are kept in hand for what cannot be foreseen. Followed as policy/quantile does: it rests where so many of those who are let in
 * come late. One that is late among few moves it little, which a percentile of few would not. */
#define GATE_LATE 0.03
#define GATE_STEP 0.04
/* The first ones are believed more: five times at first, less with each of a hundred. */
#define GATE_STEP_FIRST 0.2
#define GATE_STEP_LESS 0.0016
#define GATE_MIN 0.8
#define GATE_MAX 8

void gate_note(struct route *route, bool is_in_time)
{
	double size = fmax(GATE_STEP, GATE_STEP_FIRST - GATE_STEP_LESS * route->gate_count++);
	double step = is_in_time ? 1 / (1 + size * GATE_LATE / (1 - GATE_LATE)) : 1 + size;
	route->gate = fmin(fmax(route->gate * step, GATE_MIN), GATE_MAX);
}

/* ---- demand ---- */

static double pool_pressure(const struct control *control, uint32_t pool)
{
	double pressure = 0;
	for (uint32_t i = 0; i < control->route_count; i++) {
		const struct route *route = &control->routes[i];
		bool is_about_time = route->settings.ttft_ns || route->settings.tpot_ns || route->settings.e2e_ns;
		if (route->pool == pool && is_about_time)
			pressure = fmax(pressure, route->pressure);
	}
	return pressure;
}

static void step_pool(struct control *control, uint32_t index)
{
	struct pool *pool = &control->pools[index];
	const struct demand_bounds bounds = { pool->settings.scale_min, pool->settings.scale_max,
		                                  pool->settings.scale_spare, UTILIZATION };
	uint32_t running = 0;
	if (pool->settings.scale_max == 0)
		return;
	for (uint32_t i = 0; i < pool->settings.replica_count; i++)
		running += control->replicas[pool->first_replica + i].state != REPLICA_DOWN;
	int64_t horizon_ns = demand_start_p95_ns(&pool->demand, COLD_START_UNKNOWN_NS);
	uint32_t wanted =
		demand_wanted(&pool->demand, control->now_ns, horizon_ns, pool_pressure(control, index), running, &bounds);
	if (wanted == pool->wanted)
		return;
	pool->wanted = wanted;
	give_order(control,
	           &(struct order){ .kind = ORDER_SCALE, .ticket = CONTROL_TICKET_NONE, .pool = index, .wanted = wanted });
}

/* ---- the tick ---- */

int64_t tick_first_ns(const struct control *control)
{
	for (uint32_t i = 0; i < control->route_count; i++)
		if (has_promise(&control->routes[i].settings))
			return 0;
	for (uint32_t i = 0; i < control->pool_count; i++)
		if (control->pools[i].settings.scale_max)
			return 0;
	return NS_NEVER;
}

/* As far as there is room for orders: the rest comes with the next call, which is then due at once. */
void tick(struct control *control)
{
	uint32_t count = control->route_count + control->pool_count;
	if (control->now_ns < control->tick_ns)
		return;
	for (; control->ticked < count && has_room(control); control->ticked++) {
		if (control->ticked < control->route_count)
			step_route(control, control->ticked);
		else
			step_pool(control, control->ticked - control->route_count);
	}
	if (control->ticked < count)
		return;
	control->ticked = 0;
	control->seconds++;
	control->tick_ns = control->now_ns + NS_PER_S;
}
