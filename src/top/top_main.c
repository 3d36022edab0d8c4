#include "top/top_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/macros.h"
#include "top/frame.h"
#include "top/terminal.h"
#include "watch/admin_client.h"

#define PERIOD_NS NS_PER_S
#define ANSWER_NS (2 * NS_PER_S)
/* How far back rates and percentiles look: a page a second. */
#define PAGES 11
#define ONCE_WIDTH 100
#define TITLE_BYTES 512

static const char usage[] =
	"Usage: penstock top [--admin URL] [--key KEY] [--once]\n"
	"\n"
	"Shows a running gateway, once a second: its promises and what they cost, alerts, queue, ladder, replicas and "
	"stages. Rates\n"
	"and percentiles are those of the last ten seconds. q quits.\n"
	"\n"
	"  --admin URL  where the gateway's admin side is (" ADMIN_URL_DEFAULT ")\n"
	"  --key KEY    an API key, where that is not this machine (default: PENSTOCK_KEY of the environment)\n"
	"  --once       print one frame, without colours, and end: for scripts\n"
	"\n"
	"Examples:\n"
	"  penstock top\n"
	"  penstock top --admin http://10.0.0.5:8081 --key \"$KEY\"\n"
	"  penstock top --once | grep -A9 REPLICAS\n";

struct page {
	struct bytes text;
	int64_t at_ns;
};

struct top {
	struct admin_client *client;
	struct page pages[PAGES]; /* a ring */
	size_t newest;
	size_t count;
	struct bytes alerts;
	struct bytes readiness;
	struct bytes fault; /* why the last look gave nothing; empty = it did */
};

static enum error get(struct top *top, const char *path, struct bytes *body)
{
	int status = 0;
	enum error error = admin_get(top->client, path, ANSWER_NS, &status, body);
	/* 503 of /readyz is an answer. */
	bool is_answer = !error && (status == 200 || (status == 503 && strcmp(path, "/readyz") == 0));
	if (error)
		bytes_printf(&top->fault, "no answer from %s: %s; trying again", admin_client_url(top->client),
		             error_text(error));
	else if (!is_answer)
		bytes_printf(&top->fault, "%s%s: status %d%s", admin_client_url(top->client), path, status,
		             status == 401 ? "; a key is needed: --key KEY" : "; trying again");
	return error ? error : is_answer ? OK : ERROR_PERMISSION;
}

/* A gateway that was started anew counts from 0: what was before is forgotten. */
static void look(struct top *top)
{
	size_t next = (top->newest + 1) % PAGES;
	bytes_clear(&top->fault);
	if (get(top, "/metrics", &top->pages[next].text) != OK || get(top, "/alerts", &top->alerts) != OK ||
	    get(top, "/readyz", &top->readiness) != OK) {
		top->count = 0;
		return;
	}
	top->pages[next].at_ns = clock_now_ns();
	top->newest = next;
	if (top->count < PAGES)
		top->count++;
}

static void write_title(const struct top *top, const struct snapshot *snapshot, char title[TITLE_BYTES])
{
	char text[16];
	struct tm parts;
	time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
	localtime_r(&now, &parts);
	strftime(text, sizeof(text), "%H:%M:%S", &parts);
	if (!snapshot)
		snprintf(title, TITLE_BYTES, "penstock top  %s  %s  q quits", admin_client_url(top->client), text);
	else
		snprintf(title, TITLE_BYTES, "penstock top  %s  %s  %.1f req/s, %.0f open, %.0f connections  q quits",
		         admin_client_url(top->client), text, snapshot_rate(snapshot, "penstock_requests_total", NULL, NULL),
		         prometheus_sum(&snapshot->now, "penstock_requests_open", NULL, NULL),
		         prometheus_sum(&snapshot->now, "penstock_connections_open", NULL, NULL));
}

static void draw(struct top *top, struct frame_options *options, struct bytes *out)
{
	struct snapshot snapshot;
	char title[TITLE_BYTES];
	const struct page *now = &top->pages[top->newest];
	const struct page *before = &top->pages[(top->newest + PAGES + 1 - top->count) % PAGES];
	options->title = title;
	if (!top->count) {
		write_title(top, NULL, title);
		frame_write_message(bytes_text(&top->fault), options, out);
		return;
	}
	struct span past = top->count > 1 ? bytes_span(&before->text) : (struct span){ 0 };
	double seconds = (double)(now->at_ns - before->at_ns) / (double)NS_PER_S;
	if (snapshot_read(bytes_span(&now->text), past, seconds, bytes_span(&top->alerts), bytes_span(&top->readiness),
	                  &snapshot) != OK)
		return;
	/* Counters only grow: one that shrank is another gateway's. */
	if (prometheus_sum(&snapshot.now, "penstock_control_events_total", NULL, NULL) <
	    prometheus_sum(&snapshot.before, "penstock_control_events_total", NULL, NULL)) {
		top->count = 1;
		prometheus_fini(&snapshot.before);
		snapshot.seconds = 0;
	}
	write_title(top, &snapshot, title);
	frame_write(&snapshot, options, out);
	snapshot_fini(&snapshot);
}

static int show_once(struct top *top)
{
	struct bytes frame = { 0 };
	struct frame_options options = { .width = ONCE_WIDTH };
	look(top);
	if (top->count) {
		struct timespec second = { .tv_sec = 1 };
		nanosleep(&second, NULL);
		look(top);
	}
	if (!top->count) {
		fprintf(stderr, "penstock top: %s\n", bytes_text(&top->fault));
		return 1;
	}
	draw(top, &options, &frame);
	fwrite(frame.data, 1, frame.len, stdout);
	bytes_fini(&frame);
	return 0;
}

static int show(struct top *top)
{
	struct bytes frame = { 0 };
	int64_t next_ns = 0;
	if (!terminal_open()) {
		fputs("penstock top: standard output is no terminal; --once prints one frame\n", stderr);
		return 2;
	}
	for (int key = 0; key != 'q' && key != 'Q' && !terminal_is_over();) {
		struct frame_options options = { .with_ansi = true };
		int64_t now_ns = clock_now_ns();
		if (now_ns >= next_ns) {
			look(top);
			next_ns = now_ns + PERIOD_NS;
		}
		terminal_size(&options.width, &options.height);
		bytes_clear(&frame);
		draw(top, &options, &frame);
		terminal_draw(&frame);
		int64_t wait_ms = (next_ns - clock_now_ns()) / NS_PER_MS;
		key = terminal_is_over() ? 0 : terminal_key((int)max_ll(wait_ms, 1));
	}
	terminal_close();
	bytes_fini(&frame);
	return 0;
}

static void top_fini(struct top *top)
{
	for (size_t i = 0; i < PAGES; i++)
		bytes_fini(&top->pages[i].text);
	bytes_fini(&top->alerts);
	bytes_fini(&top->readiness);
	bytes_fini(&top->fault);
	admin_client_free(&top->client);
}

int top_main(int count, char **arguments)
{
	struct top top = { 0 };
	const char *url = ADMIN_URL_DEFAULT;
	const char *key = getenv("PENSTOCK_KEY");
	bool is_once = false;
	for (int i = 1; i < count; i++) {
		bool has_value = i + 1 < count;
		if (strcmp(arguments[i], "--help") == 0)
			return fputs(usage, stdout), 0;
		if (strcmp(arguments[i], "--once") == 0)
			is_once = true;
		else if (strcmp(arguments[i], "--admin") == 0 && has_value)
			url = arguments[++i];
		else if (strcmp(arguments[i], "--key") == 0 && has_value)
			key = arguments[++i];
		else
			return fprintf(stderr, "penstock top: what is meant by '%s'?\n\n%s", arguments[i], usage), 2;
	}
	enum error error = admin_client_new(url, key, &top.client, &top.fault);
	int status = 2;
	if (error)
		fprintf(stderr, "penstock top: %s\n", top.fault.len ? bytes_text(&top.fault) : error_text(error));
	else
		status = is_once ? show_once(&top) : show(&top);
	top_fini(&top);
	return status;
}
