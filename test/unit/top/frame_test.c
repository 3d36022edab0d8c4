/* A frame at 80 x 24 and at sizes that are too small, from pages as a gateway gives them. */
#include "top/frame.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static const char now_text[] =
	"penstock_requests_total{route=\"assistant\",outcome=\"completed\"} 190\n"
	"penstock_requests_total{route=\"assistant\",outcome=\"queue_full\"} 10\n"
	"penstock_output_tokens_total{route=\"assistant\"} 5000\n"
	"penstock_promise_requests_total{route=\"assistant\",indicator=\"ttft\"} 200\n"
	"penstock_promise_requests_total{route=\"assistant\",indicator=\"cost\"} 0\n"
	"penstock_promise_target_seconds{route=\"assistant\",indicator=\"ttft\"} 0.8\n"
	"penstock_promise_attainment_ratio{route=\"assistant\",indicator=\"ttft\"} 0.913\n"
	"penstock_promise_state{route=\"assistant\"} 3\n"
	"penstock_rung{route=\"assistant\"} 2\npenstock_ladder_pressure_ratio{route=\"assistant\"} "
	"1.4\npenstock_ladder_latched{route=\"assistant\"} 1\n"
	"penstock_queue_requests{pool=\"small\"} 7\npenstock_in_flight_requests{pool=\"small\"} 4\n"
	"penstock_predicted_wait_seconds{pool=\"small\"} 4.25\npenstock_replicas_wanted{pool=\"small\"} 3\n"
	"penstock_replica_ready{replica=\"small/0\"} 1\npenstock_replica_ready{replica=\"small/1\"} 0\n"
	"penstock_replica_in_flight_requests{replica=\"small/0\"} 4\npenstock_replica_concurrency{replica=\"small/0\"} 4\n"
	"penstock_replica_circuit_open{replica=\"small/1\"} 1\npenstock_cold_start_elapsed_seconds{replica=\"small/1\"} "
	"12\n"
	"penstock_stage_seconds_total{stage=\"dispatch\"} 60\npenstock_stage_seconds_total{stage=\"relay\"} 20\n"
	"penstock_stage_duration_seconds_bucket{stage=\"dispatch\",le=\"1\"} 0\n"
	"penstock_stage_duration_seconds_bucket{stage=\"dispatch\",le=\"2.5\"} 100\n"
	"penstock_stage_duration_seconds_bucket{stage=\"dispatch\",le=\"+Inf\"} 100\n";
static const char before_text[] = "penstock_requests_total{route=\"assistant\",outcome=\"completed\"} 100\n"
								  "penstock_output_tokens_total{route=\"assistant\"} 1000\n";
static const char alerts_text[] = "{\"firing\":1,\"alerts\":[{\"name\":\"queue_wait\",\"severity\":\"page\",\"labels\":"
								  "{\"pool\":\"small\"},\"state\":\"firing\",\"value\":"
								  "null,\"threshold\":10},{\"name\":\"promise_burn\",\"severity\":\"page\",\"labels\":{"
								  "\"route\":\"assistant\",\"indicator\":\"ttft\"},"
								  "\"state\":\"pending\",\"value\":7.25,\"threshold\":6}]}";
static const char readiness_text[] =
	"{\"ready\":true,\"replicas\":{\"small/0\":{\"state\":\"ready\",\"percent\":100,\"restarts\":0},"
	"\"small/1\":{\"state\":\"loading\",\"percent\":40,\"restarts\":2}}}";

static void snap(struct snapshot *snapshot)
{
	ck_error_is(snapshot_read(span_of(now_text), span_of(before_text), 10, span_of(alerts_text),
	                          span_of(readiness_text), snapshot),
	            OK);
}

/* Checks the size as it goes. */
static unsigned count_lines(struct bytes *frame, unsigned width)
{
	unsigned lines = 0;
	for (const char *at = bytes_text(frame); *at; lines++) {
		size_t len = strcspn(at, "\n");
		ck_assert_msg(len <= width, "too long: %.*s", (int)len, at);
		at += len + 1;
	}
	return lines;
}

static void has(struct bytes *frame, const char *text)
{
	ck_assert_msg(strstr(bytes_text(frame), text) != NULL, "no \"%s\" in\n%s", text, bytes_text(frame));
}

START_TEST(all_of_it_at_80_x_24)
{
	struct snapshot snapshot;
	struct bytes frame = { 0 };
	const struct frame_options options = { .width = 80, .height = 24, .title = "penstock top" };
	snap(&snapshot);
	frame_write(&snapshot, &options, &frame);
	ck_assert_uint_le(count_lines(&frame, 80), 24);
	has(&frame, "penstock top\nPROMISES");
	has(&frame, "              assistant          ttft     800ms       91.3 %    BROKEN\n");
	has(&frame, "              firing   page   queue_wait              small          inf/10\n");
	has(&frame, "              pending  page   promise_burn            assistant/ttft 7.25/6\n");
	has(&frame, "              assistant         10.0   400.0  10.0 %  ");
	has(&frame, "              small                  7        4  4.2s             1/3\n");
	has(&frame, "              assistant             2      1.40      0  LATCHED\n");
	has(&frame, "              small/0          ready         4/4      closed  -        0\n");
	has(&frame, "              small/1          loading 40 %  0/0      OPEN    12.0s    2\n");
	has(&frame, "              dispatch           2.4s       75.0 % #####################\n");
	ck_assert_ptr_null(strstr(bytes_text(&frame), "cost  ")); /* nothing is promised, nothing was asked */
	ck_assert_ptr_null(strchr(bytes_text(&frame), '\033'));
	bytes_fini(&frame);
	snapshot_fini(&snapshot);
}
END_TEST

START_TEST(any_size)
{
	struct snapshot snapshot;
	snap(&snapshot);
	for (unsigned width = 1; width < 120; width += 7) {
		for (unsigned height = 1; height < 30; height++) {
			struct bytes frame = { 0 };
			const struct frame_options options = { .width = width, .height = height, .title = "penstock top" };
			frame_write(&snapshot, &options, &frame);
			ck_assert_uint_le(count_lines(&frame, width), height);
			bytes_fini(&frame);
		}
	}
	struct bytes frame = { 0 };
	const struct frame_options low = { .width = 80, .height = 6, .title = "t" };
	frame_write(&snapshot, &low, &frame);
	has(&frame, "PROMISES"); /* the last to go */
	has(&frame, "queue_wait");
	bytes_fini(&frame);
	snapshot_fini(&snapshot);
}
END_TEST

START_TEST(many_rows_are_cut_and_counted)
{
	struct snapshot snapshot;
	struct bytes readiness = { 0 };
	struct bytes frame = { 0 };
	const struct frame_options options = { .width = 80, .height = 24, .with_ansi = true, .title = "t" };
	bytes_append_text(&readiness, "{\"replicas\":{");
	for (int i = 0; i < 60; i++)
		bytes_printf(&readiness, "%s\"up/%d\":{\"state\":\"ready\"}", i ? "," : "", i);
	bytes_append_text(&readiness, "}}");
	ck_error_is(
		snapshot_read(span_of(now_text), (struct span){ 0 }, 0, (struct span){ 0 }, bytes_span(&readiness), &snapshot),
		OK);
	frame_write(&snapshot, &options, &frame);
	has(&frame, " more\033[K\n");
	has(&frame, "up/0");
	has(&frame, "none fires");
	has(&frame, "\033[31m"); /* the broken promise */
	bytes_fini(&frame);
	bytes_fini(&readiness);
	snapshot_fini(&snapshot);
}
END_TEST

START_TEST(nothing_and_nonsense)
{
	struct snapshot snapshot;
	struct bytes frame = { 0 };
	const struct frame_options options = { .width = 80, .height = 24, .title = "t" };
	ck_error_is(snapshot_read((struct span){ 0 }, SPAN("x"), 1, SPAN("[1,2"), SPAN("{\"replicas\":7}"), &snapshot), OK);
	frame_write(&snapshot, &options, &frame);
	has(&frame, "none fires");
	snapshot_fini(&snapshot);
	bytes_clear(&frame);
	frame_write_message("no answer from here; trying again", &options, &frame);
	has(&frame, "no answer");
	bytes_clear(&frame);
	/* Controls of a name do not reach the terminal; characters are counted, not bytes. */
	ck_error_is(snapshot_read(SPAN("penstock_queue_requests{pool=\"\xc3\xa4\\n\x1b[2J\"} 1\n"), (struct span){ 0 }, 0,
	                          (struct span){ 0 }, (struct span){ 0 }, &snapshot),
	            OK);
	frame_write(&snapshot, &options, &frame);
	ck_assert_ptr_null(strchr(bytes_text(&frame), '\033'));
	snapshot_fini(&snapshot);
	bytes_fini(&frame);
}
END_TEST

UNIT_MAIN("top/frame", all_of_it_at_80_x_24, any_size, many_rows_are_cut_and_counted, nothing_and_nonsense)
