#include "why/why_main.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "watch/admin_client.h"
#include "why/causes.h"
#include "why/report.h"

#define SINCE_DEFAULT_MS (15 * 60000.0)
#define FOR_DEFAULT_MS 10000.0
#define ANSWER_NS (10 * NS_PER_S)
#define LINE_BYTES_MAX ((size_t)1 << 20)
#define READ_BYTES 65536
#define PROGRESS_BYTES ((uint64_t)16 << 20)
/* Older ones are forgotten: what is newest says why it is slow now. */
#define RECORDS_MAX 1000000
#define LAST_PATH "/requests?last=1000"

static const char usage[] =
	"Usage: penstock why [LOG] [--since TIME] [--route NAME] [--json]\n"
	"       penstock why [--admin URL] [--key KEY] [--for TIME] [--since TIME] [--route NAME] [--json]\n"
	"\n"
	"Says which stage holds the 95th percentile of each route, end to end and to the first token, since when, why, "
	"what to\n"
	"change, and what that is predicted to give. From an access log (LOG, - for standard input) or from a running "
	"gateway:\n"
	"its last 1,000 requests, and its metrics twice, a while apart.\n"
	"\n"
	"  --admin URL   where the gateway's admin side is (" ADMIN_URL_DEFAULT ")\n"
	"  --key KEY     an API key, where that is not this machine (default: PENSTOCK_KEY of the environment)\n"
	"  --for TIME    how far apart the metrics are read (10s)\n"
	"  --since TIME  how far back, from the last request on: 90s, 15m, 2h (15m)\n"
	"  --route NAME  only this route\n"
	"  --json        for machines\n"
	"  --causes      print the table of causes\n"
	"\n"
	"Exit status: 0 it was answered, also that nothing stands out; 1 there are too few requests, or no gateway "
	"answers;\n"
	"2 bad usage.\n"
	"\n"
	"Examples:\n"
	"  penstock why\n"
	"  penstock why --route assistant --since 5m\n"
	"  penstock why access.log --json | jq '.routes[].findings[0].sentence'\n"
	"  journalctl -u penstock -o cat | penstock why - --since 1h\n";

struct options {
	const char *log; /* NULL: a running gateway */
	const char *admin;
	const char *key;
	double since_ms;
	double for_ms;
	struct report_options report;
};

/* 90s, 15m, 2h, 500ms. */
static bool read_time(const char *text, double *out_ms)
{
	char *end;
	double number = strtod(text, &end);
	static const struct {
		const char *name;
		double ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		if (end != text && strcmp(end, units[i].name) == 0 && number >= 0 && number < 1e6) {
			*out_ms = number * units[i].ms;
			return true;
		}
	}
	return false;
}

static bool read_option(const char *name, const char *value, struct options *options)
{
	if (strcmp(name, "--admin") == 0)
		options->admin = value;
	else if (strcmp(name, "--key") == 0)
		options->key = value;
	else if (strcmp(name, "--route") == 0)
		options->report.route = value;
	else if (strcmp(name, "--since") == 0)
		return read_time(value, &options->since_ms);
	else if (strcmp(name, "--for") == 0)
		return read_time(value, &options->for_ms);
	else
		return false;
	return true;
}

static bool read_options(int count, char **arguments, struct options *options)
{
	*options = (struct options){ .admin = ADMIN_URL_DEFAULT,
		                         .key = getenv("PENSTOCK_KEY"),
		                         .since_ms = SINCE_DEFAULT_MS,
		                         .for_ms = FOR_DEFAULT_MS };
	for (int i = 1; i < count; i++) {
		bool has_value = i + 1 < count;
		if (strcmp(arguments[i], "--json") == 0)
			options->report.as_json = true;
		else if (arguments[i][0] == '-' && arguments[i][1] == '-' && has_value &&
		         read_option(arguments[i], arguments[i + 1], options))
			i++;
		else if ((arguments[i][0] != '-' || !arguments[i][1]) && !options->log)
			options->log = arguments[i];
		else
			return fprintf(stderr, "penstock why: what is meant by '%s'?\n\n", arguments[i]), false;
	}
	return true;
}

/* ---- a log ---- */

/* Keeps the newer half. */
static void forget_old(struct records *records)
{
	size_t half = records->count / 2;
	memmove(records->items, records->items + half, (records->count - half) * sizeof(*records->items));
	records->count -= half;
}

static enum error take_lines(struct records *records, struct bytes *buffer)
{
	size_t end = buffer->len;
	while (end && buffer->data[end - 1] != '\n')
		end--;
	if (!end && buffer->len > LINE_BYTES_MAX)
		end = buffer->len; /* no line is so long: it is no log */
	enum error error = end ? records_add_text(records, (struct span){ buffer->data, end }) : OK;
	bytes_consume(buffer, end);
	if (records->count > RECORDS_MAX)
		forget_old(records);
	return error;
}

/* On a terminal, for logs that take longer than a moment. */
static void show_progress(FILE *file, uint64_t bytes)
{
	struct stat status;
	if (bytes % PROGRESS_BYTES || !isatty(STDERR_FILENO) || fstat(fileno(file), &status) != 0 ||
	    !S_ISREG(status.st_mode))
		return;
	fprintf(stderr, "\rreading: %.0f %%\033[K", 100.0 * (double)bytes / (double)max_ll(status.st_size, 1));
}

static enum error read_log(const char *path, struct records *records)
{
	uint64_t total = 0;
	char *block = malloc(READ_BYTES);
	struct bytes buffer = { 0 };
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	enum error error = !block ? ERROR_MEMORY : file ? OK : error_from_errno(errno);
	while (!error) {
		size_t len = fread(block, 1, READ_BYTES, file);
		if (!len)
			break;
		bytes_append(&buffer, block, len);
		total += len;
		show_progress(file, total);
		error = bytes_ok(&buffer) ? take_lines(records, &buffer) : ERROR_MEMORY;
	}
	if (total >= PROGRESS_BYTES && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (!error && ferror(file))
		error = ERROR_IO;
	if (!error)
		error = records_add_text(records, bytes_span(&buffer));
	if (error)
		fprintf(stderr, "penstock why: %s: %s\n", path, error_text(error));
	if (file && file != stdin)
		fclose(file);
	bytes_fini(&buffer);
	free(block);
	return error;
}

/* ---- a running gateway ---- */

static enum error get(struct admin_client *client, const char *path, struct bytes *body)
{
	int status = 0;
	enum error error = admin_get(client, path, ANSWER_NS, &status, body);
	if (error) {
		fprintf(stderr, "penstock why: no answer from %s%s: %s. Is the gateway running? --admin URL says where.\n",
		        admin_client_url(client), path, error_text(error));
		return error;
	}
	if (status == 200)
		return OK;
	fprintf(stderr, "penstock why: %s%s: status %d%s\n", admin_client_url(client), path, status,
	        status == 401 ? "; a key is needed: --key KEY" : "");
	return ERROR_PERMISSION;
}

/* Waits with a bar on a terminal: more than two seconds need a sign of life. */
static void wait_ms(double for_ms)
{
	bool shows = isatty(STDERR_FILENO) && for_ms > 2000;
	for (double gone = 0; gone < for_ms; gone += 100) {
		struct timespec step = { .tv_nsec = 100 * 1000 * 1000 };
		if (shows)
			fprintf(stderr, "\rwatching: %.0f of %.0f s", gone / 1000, for_ms / 1000);
		nanosleep(&step, NULL);
	}
	if (shows)
		fputs("\r\033[K", stderr);
}

static enum error look_twice(struct admin_client *client, double for_ms, struct records *records, struct live *live)
{
	struct bytes bodies[2] = { 0 };
	struct prometheus_page pages[2] = { 0 };
	enum error error = get(client, "/metrics", &bodies[0]);
	if (!error) {
		wait_ms(for_ms);
		error = get(client, "/metrics", &bodies[1]);
	}
	for (int i = 0; i < 2 && !error; i++)
		error = prometheus_read(bytes_span(&bodies[i]), &pages[i]);
	if (!error) {
		live_read(&pages[0], &pages[1], for_ms / 1000, live);
		error = get(client, LAST_PATH, &bodies[0]);
	}
	if (!error)
		error = records_add_text(records, bytes_span(&bodies[0]));
	for (int i = 0; i < 2; i++) {
		prometheus_fini(&pages[i]);
		bytes_fini(&bodies[i]);
	}
	return error;
}

static enum error read_gateway(const struct options *options, struct records *records, struct live *live)
{
	struct admin_client *client;
	struct bytes fault = { 0 };
	enum error error = admin_client_new(options->admin, options->key, &client, &fault);
	if (error)
		fprintf(stderr, "penstock why: %s\n", fault.len ? bytes_text(&fault) : error_text(error));
	else
		error = look_twice(client, options->for_ms, records, live);
	admin_client_free(&client);
	bytes_fini(&fault);
	return error;
}

static int print_causes(void)
{
	struct bytes out = { 0 };
	causes_write_reference(&out);
	fwrite(out.data, 1, out.len, stdout);
	bytes_fini(&out);
	return 0;
}

int why_main(int count, char **arguments)
{
	struct options options;
	struct records records = { 0 };
	struct live *live = calloc(1, sizeof(*live));
	struct bytes out = { 0 };
	bool answered = false;
	if (count == 2 && (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "--causes") == 0)) {
		free(live);
		return arguments[1][2] == 'h' ? (fputs(usage, stdout), 0) : print_causes();
	}
	if (!live || !read_options(count, arguments, &options)) {
		free(live);
		fputs(usage, stderr);
		return 2;
	}
	enum error error = options.log ? read_log(options.log, &records) : read_gateway(&options, &records, live);
	if (!error) {
		records_sort(&records, options.since_ms);
		error = report_write(&records, live->is_known ? live : NULL, &options.report, &answered, &out);
		if (error)
			fprintf(stderr, "penstock why: %s\n", error_text(error));
		fwrite(out.data, 1, out.len, stdout);
	}
	records_fini(&records);
	bytes_fini(&out);
	free(live);
	if (error == ERROR_SYNTAX || (error == ERROR_NOT_FOUND && options.log))
		return 2;
	return !error && answered ? 0 : 1;
}
