/* Replays recordings (serve --record, scenario --record) over a fresh control: its orders must be those recorded, byte for byte.
 *
 *   replay_record FILE...       "N passed, N failed" (steps); the first difference of each file is shown
 *   replay_record --self-test   records a session of some thousand random events; it must replay, and must not when it was changed
 *
 * After the first difference a file's steps are no longer counted: the two controls are not in the same state any more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/random.h"
#include "policy/control_text.h"
#include "world.h"

#define FILE_MAX ((size_t)1 << 30)

struct tally {
	uint64_t passed;
	uint64_t failed;
};

/* ---- replaying ---- */

/* One step: true when control says what it said. */
static bool replay_step(struct control *control, const struct control_record *record, struct bytes *said,
                        struct bytes *says)
{
	size_t cap = 2 * record->event_count + CONTROL_ORDERS_EXTRA;
	int64_t next_ns;
	struct order *orders = calloc(cap, sizeof(*orders));
	MUST(orders);
	size_t count = control_step(control, record->now_ns, record->events, record->event_count, orders, cap, &next_ns);
	bytes_clear(said);
	bytes_clear(says);
	control_text_write_step(said, record->now_ns, NULL, 0, record->orders, record->order_count);
	control_text_write_step(says, record->now_ns, NULL, 0, orders, count);
	free(orders);
	return span_equal(bytes_span(said), bytes_span(says));
}

static struct tally replay(const char *name, struct span text, bool is_quiet)
{
	struct tally tally = { 0 };
	struct control_record record = { 0 };
	struct control *control = NULL;
	struct bytes said = { 0 };
	struct bytes says = { 0 };
	int64_t last_ns = 0;
	enum error error = control_text_read_settings(&text, &record);
	if (!error)
		error = control_new(&record.settings, &control);
	while (!error && !tally.failed && (error = control_text_read_step(&text, &record)) == OK) {
		bool is_same = record.now_ns >= last_ns && replay_step(control, &record, &said, &says);
		last_ns = record.now_ns;
		tally.passed += is_same;
		tally.failed += !is_same;
		if (!is_same && !is_quiet)
			printf("%s: step %llu was\n%sand is\n%s", name, (unsigned long long)tally.passed + 1, bytes_text(&said),
			       bytes_text(&says));
	}
	if (error && error != ERROR_NOT_FOUND) {
		tally.failed++;
		if (!is_quiet)
			printf("%s: %s at: %.*s\n", name, error_text(error), (int)span_find(text, '\n'), text.len ? text.at : "");
	}
	control_free(&control);
	control_record_fini(&record);
	bytes_fini(&said);
	bytes_fini(&says);
	return tally;
}

static struct tally replay_file(const char *path)
{
	struct bytes text = { 0 };
	enum error error = file_read(path, FILE_MAX, &text);
	struct tally tally = { 0, 1 };
	if (error)
		printf("%s: %s\n", path, error_text(error));
	else
		tally = replay(path, bytes_span(&text), false);
	bytes_fini(&text);
	return tally;
}

/* ---- the self test ---- */

static void random_turn(struct world *world, struct random *random)
{
	uint64_t what = random_below(random, 100);
	uint32_t count = world_count(world);
	uint32_t one = count ? count - 1 - (uint32_t)random_below(random, count < 40 ? count : 40) : 0;
	uint32_t replica = (uint32_t)random_below(random, 4);
	if (what < 70)
		world_arrive(world, &(struct world_request){
								.pool = (uint32_t)random_below(random, 2),
								.class = (enum request_class)random_below(random, CLASS_COUNT),
								.prompt_tokens = 1 + (uint32_t)random_below(random, 400),
								.output_tokens = 1 + (uint32_t)random_below(random, 60),
								.deadline_ns = world_now_ns(world) + (int64_t)random_below(random, 8 * NS_PER_S),
								.prepare_ns = (int64_t)random_below(random, 300 * NS_PER_MS),
							});
	else if (what < 80 && count)
		world_gone(world, one);
	else if (what < 86 && count)
		world_fail(world, one);
	else if (what < 88)
		world_replica_down(world, replica);
	else if (what < 90)
		world_replica_starting(world, replica, (uint32_t)random_below(random, 100));
	else
		world_replica_ready(world, replica,
		                    &(struct world_engine){
								.sequences = WORLD_SEQUENCES_MAX,
								.rates = { 3 * NS_PER_MS, 200 * NS_PER_US, 400 * NS_PER_US, 0 },
								.noise = 0.3,
							});
}

/* Returns how many events there were. */
static uint64_t record_session(struct bytes *out)
{
	const struct control_pool pools[] = { { 30, 2 * NS_PER_S, 3 }, { 10, NS_PER_S, 1 } };
	const struct control_settings settings = { .pools = pools, .pool_count = 2, .in_flight_max = 40, .seed = 12345 };
	struct world *world;
	struct random random;
	random_seed(&random, 99);
	MUST(world_new(&settings, &world) == OK);
	control_text_write_settings(out, &settings);
	world_record(world, out);
	for (int i = 0; i < 2500; i++) {
		random_turn(world, &random);
		world_run_until(world, world_now_ns(world) + (int64_t)random_below(&random, 100 * NS_PER_MS));
	}
	MUST(world_run_out(world, world_now_ns(world) + 3600 * NS_PER_S));
	MUST(control_tickets(world_control(world)) == 0);
	uint64_t events = world_events(world);
	world_free(&world);
	return events;
}

/* The text with the first `from` after `mark` replaced by `to`, which is as long. */
static void change(struct bytes *text, const char *mark, const char *from, const char *to)
{
	char *at = strstr(text->data, mark);
	MUST(at && (at = strstr(at, from)) && strlen(from) == strlen(to));
	memcpy(at, to, strlen(to));
}

static bool check(const char *what, bool is_good)
{
	if (!is_good)
		printf("FAILED: %s\n", what);
	return is_good;
}

/* The event of a request that was let in, as a timer: what follows cannot be the same. */
static void drop_an_arrival(struct bytes *text)
{
	char *order = strstr(text->data, "-> prepare");
	MUST(order);
	char *line = order;
	while (strncmp(line, " arrive", 7) != 0)
		line--;
	char *end = strchr(line, '\n');
	memmove(line + 6, end, strlen(end) + 1);
	text->len -= (size_t)(end - line) - 6;
	memcpy(line, " timer", 6);
}

static struct tally self_test(void)
{
	struct bytes session = { 0 };
	struct bytes again = { 0 };
	struct bytes changed = { 0 };
	uint64_t events = record_session(&session);
	record_session(&again);
	struct tally whole = replay("session", bytes_span(&session), false);
	bool results[6];
	results[0] = check("some thousand events", events > 3000);
	results[1] = check("the same seed gives the same session", span_equal(bytes_span(&session), bytes_span(&again)));
	results[2] = check("every step is replayed", whole.failed == 0 && whole.passed > 1000);
	bytes_append(&changed, session.data, session.len);
	bytes_text(&changed);
	change(&changed, "settings", "seed=12345", "seed=12346");
	results[3] = check("another seed differs", replay("seed", bytes_span(&changed), true).failed == 1);
	bytes_clear(&changed);
	bytes_append(&changed, session.data, session.len);
	bytes_text(&changed);
	drop_an_arrival(&changed);
	results[4] = check("a dropped event differs", replay("dropped", bytes_span(&changed), true).failed == 1);
	struct span cut = { session.data, session.len - 10 };
	results[5] = check("a cut file is noticed", replay("cut", cut, true).failed == 1);
	struct tally tally = { 0 };
	for (size_t i = 0; i < COUNT_OF(results); i++) {
		tally.passed += results[i];
		tally.failed += !results[i];
	}
	printf("%llu events in %llu steps, %zu bytes\n", (unsigned long long)events, (unsigned long long)whole.passed,
	       session.len);
	bytes_fini(&session);
	bytes_fini(&again);
	bytes_fini(&changed);
	return tally;
}

int main(int argc, char **argv)
{
	struct tally total = { 0 };
	if (argc < 2 || (argv[1][0] == '-' && strcmp(argv[1], "--self-test") != 0)) {
		fputs("usage: replay_record FILE... | --self-test\n", stderr);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		struct tally tally = argv[1][0] == '-' ? self_test() : replay_file(argv[i]);
		total.passed += tally.passed;
		total.failed += tally.failed;
	}
	printf("%llu passed, %llu failed\n", (unsigned long long)total.passed, (unsigned long long)total.failed);
	return total.failed == 0 && total.passed > 0 ? 0 : 1;
}
