/* ServeGen: the rate of each client in windows of ten minutes, with the fitted shape of its gaps. Requests are drawn: gaps in units of expected
 * requests, mapped through the client's rate, so that both the rate and the burst are as recorded. Lengths come from the quantiles of the file
 * beside it; a client without any takes those of a random other one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/random.h"
#include "replay/arrivals.h"
#include "replay/csv.h"
#include "replay/quantity.h"
#include "replay/readers.h"

#define WINDOW_NS (600 * NS_PER_S)
#define LENGTH_WINDOW_S (6 * 3600)
#define QUANTILES 11
#define REQUESTS_MAX 20000000u

/* The columns of a length file; p0 and p100 aren't there: what is outside takes the nearest. */
static const char *const quantile_names[QUANTILES - 2] = {
	"p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99"
};
static const double quantile_shares[QUANTILES] = { 0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1 };

struct lengths_row {
	uint32_t client;
	int64_t window_s;
	bool is_output;
	double values[QUANTILES];
};

struct lengths {
	struct lengths_row *rows; /* owned */
	size_t count;
	size_t capacity;
};

struct client {
	uint32_t number;
	double left; /* expected requests to the next arrival */
	bool is_begun;
	uint32_t label;
};

struct generator {
	const struct reader_settings *settings;
	struct workload *workload;
	struct lengths lengths;
	struct random random;
	struct client client; /* rows of one client stand together */
};

bool servegen_looks(struct span first_line)
{
	struct span fields[CSV_FIELDS_MAX];
	const size_t count = csv_split(first_line, fields);
	return csv_column(fields, count, "window_start_s") >= 0 && csv_column(fields, count, "rate_rps") >= 0;
}

static enum error add_lengths(struct lengths *lengths, const struct lengths_row *row)
{
	if (lengths->count == lengths->capacity) {
		size_t capacity = lengths->capacity ? lengths->capacity * 2 : 256;
		struct lengths_row *larger = realloc(lengths->rows, capacity * sizeof(*larger));
		if (!larger)
			return ERROR_MEMORY;
		lengths->rows = larger;
		lengths->capacity = capacity;
	}
	lengths->rows[lengths->count++] = *row;
	return OK;
}

static bool read_lengths_row(const struct span *fields, size_t count, const int *columns, int client, int window,
                             int field, struct lengths_row *row)
{
	uint64_t number;
	double start;
	for (int i = 0; i < QUANTILES - 2; i++) {
		if (columns[i] < 0 || columns[i] >= (int)count || quantity_number(fields[columns[i]], &row->values[i + 1]))
			return false;
	}
	row->values[0] = row->values[1];
	row->values[QUANTILES - 1] = row->values[QUANTILES - 2];
	row->is_output = span_is(fields[field], "output_tokens");
	if (!row->is_output && !span_is(fields[field], "input_tokens"))
		return false;
	if (span_to_u64(fields[client], UINT32_MAX, &number) || quantity_number(fields[window], &start))
		return false;
	row->client = (uint32_t)number;
	row->window_s = (int64_t)start;
	return true;
}

static enum error read_lengths(struct lines *lines, struct lengths *lengths)
{
	struct span line;
	struct span fields[CSV_FIELDS_MAX];
	int columns[QUANTILES - 2];
	if (!lines_next(lines, &line))
		return ERROR_SYNTAX;
	size_t count = csv_split(line, fields);
	for (int i = 0; i < QUANTILES - 2; i++)
		columns[i] = csv_column(fields, count, quantile_names[i]);
	const int client = csv_column(fields, count, "client");
	const int window = csv_column(fields, count, "window_start_s");
	const int field = csv_column(fields, count, "field");
	if (client < 0 || window < 0 || field < 0)
		return ERROR_SYNTAX;
	enum error error = OK;
	while (!error && lines_next(lines, &line)) {
		struct lengths_row row = { 0 };
		count = csv_split(line, fields);
		if (max_ll(max_ll(client, window), field) < (long long)count &&
		    read_lengths_row(fields, count, columns, client, window, field, &row))
			error = add_lengths(lengths, &row);
	}
	return error ? error : lines_status(lines);
}

/* The lengths file that was named, or lengths-X beside rates-X. */
static enum error load_lengths(const struct reader_settings *settings, struct lengths *lengths, struct bytes *fault)
{
	struct bytes path = { 0 };
	const char *rates = settings->path ? strstr(settings->path, "rates-") : NULL;
	for (const char *next = rates; next; next = strstr(next + 1, "rates-"))
		rates = next;
	if (settings->companion)
		bytes_append_text(&path, settings->companion);
	else if (rates)
		bytes_printf(&path, "%.*slengths-%s", (int)(rates - settings->path), settings->path, rates + 6);
	struct lines *lines = NULL;
	enum error error = path.len ? lines_open(bytes_text(&path), &lines) : ERROR_NOT_FOUND;
	if (!error)
		error = read_lengths(lines, lengths);
	if (!error && lengths->count == 0)
		error = ERROR_SYNTAX;
	if (error)
		bytes_printf(fault,
		             "it has rates only, and a file with the lengths is needed beside it (--companion FILE): %s: %s",
		             path.len ? bytes_text(&path) : "lengths-*.csv", error_text(error));
	lines_close(&lines);
	bytes_fini(&path);
	return error;
}

/* The client's row for that time; without one, a random row. */
static const struct lengths_row *find_lengths(struct generator *generator, bool is_output, int64_t at_s)
{
	const struct lengths *lengths = &generator->lengths;
	const struct lengths_row *nearest = NULL;
	const int64_t window_s = at_s - at_s % LENGTH_WINDOW_S;
	for (size_t i = 0; i < lengths->count; i++) {
		const struct lengths_row *row = &lengths->rows[i];
		if (row->client != generator->client.number || row->is_output != is_output)
			continue;
		if (!nearest || llabs(row->window_s - window_s) < llabs(nearest->window_s - window_s))
			nearest = row;
	}
	for (int tries = 0; !nearest && tries < 1000; tries++) {
		const struct lengths_row *row = &lengths->rows[random_below(&generator->random, lengths->count)];
		if (row->is_output == is_output)
			nearest = row;
	}
	return nearest;
}

static uint32_t draw_length(struct random *random, const struct lengths_row *row)
{
	if (!row)
		return 1;
	const double share = random_unit(random);
	int i = 1;
	while (i < QUANTILES - 1 && quantile_shares[i] < share)
		i++;
	const double part = (share - quantile_shares[i - 1]) / (quantile_shares[i] - quantile_shares[i - 1]);
	const double value = row->values[i - 1] + part * (row->values[i] - row->values[i - 1]);
	return (uint32_t)fmin(fmax(value, 1), 1e7);
}

struct rate_row {
	uint32_t client;
	int64_t begin_ns;
	double rate;
	enum arrivals_kind kind;
	double shape;
};

static enum error begin_client(struct generator *generator, uint32_t number)
{
	struct bytes name = { 0 };
	struct client *client = &generator->client;
	*client = (struct client){ .number = number, .is_begun = true, .left = random_unit(&generator->random) };
	bytes_printf(&name, "client-%u", number);
	enum error error = workload_label(generator->workload, bytes_span(&name), &client->label);
	bytes_fini(&name);
	return error;
}

static enum error draw_window(struct generator *generator, const struct rate_row *window)
{
	const struct reader_settings *settings = generator->settings;
	struct client *client = &generator->client;
	enum error error = OK;
	if (!client->is_begun || client->number != window->client)
		error = begin_client(generator, window->client);
	const int64_t begin_ns = max_ll(window->begin_ns, settings->from_ns);
	const int64_t end_ns = min_ll(window->begin_ns + WINDOW_NS, settings->to_ns);
	const double rate = window->rate * settings->scale;
	if (error || begin_ns >= end_ns || rate <= 0)
		return error;
	const struct lengths_row *prompt = find_lengths(generator, false, begin_ns / NS_PER_S);
	const struct lengths_row *output = find_lengths(generator, true, begin_ns / NS_PER_S);
	double expected = rate * (double)(end_ns - begin_ns) / 1e9;
	double at = client->left;
	while (at < expected && !error) {
		struct workload_row row = { .at_ns = begin_ns + (int64_t)(at / rate * 1e9), .tenant = client->label };
		row.prompt_tokens = draw_length(&generator->random, prompt);
		row.output_tokens = draw_length(&generator->random, output);
		generator->workload->read_rows++;
		error = generator->workload->count < REQUESTS_MAX ? workload_add(generator->workload, row) : ERROR_LIMIT;
		at += arrivals_gap(&generator->random, window->kind, window->shape);
	}
	client->left = at - expected;
	return error;
}

static bool read_rate(const struct span *fields, const int *columns, struct rate_row *row)
{
	uint64_t client;
	double start;
	double variation = 1;
	if (span_to_u64(fields[columns[0]], UINT32_MAX, &client) || quantity_number(fields[columns[1]], &start) ||
	    quantity_number(fields[columns[2]], &row->rate) || start < 0 || start > 1e9 || row->rate < 0 || row->rate > 1e6)
		return false;
	row->client = (uint32_t)client;
	row->begin_ns = (int64_t)(start * 1e9);
	row->kind = ARRIVALS_POISSON;
	if (quantity_number(fields[columns[5]], &row->shape) == OK && row->shape >= 1e-3 && row->shape < 1e6)
		row->kind = span_is(fields[columns[4]], "Weibull") ? ARRIVALS_WEIBULL : ARRIVALS_GAMMA;
	else if (quantity_number(fields[columns[3]], &variation) == OK && variation > 0.01 && variation < 100) {
		row->kind = ARRIVALS_GAMMA;
		row->shape = arrivals_gamma_shape(variation);
	}
	/* Where the fit has shapes this small, its moments are those of one huge gap. */
	row->shape = fmax(row->shape, row->kind == ARRIVALS_WEIBULL ? 0.1 : 0.005);
	return true;
}

static enum error read_rates(struct lines *lines, struct generator *generator, struct bytes *fault)
{
	static const char *const names[] = { "client", "window_start_s", "rate_rps", "iat_cv", "iat_dist", "shape" };
	struct span line;
	struct span fields[CSV_FIELDS_MAX];
	int columns[COUNT_OF(names)];
	int last = 0;
	size_t count = lines_next(lines, &line) ? csv_split(line, fields) : 0;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		columns[i] = csv_column(fields, count, names[i]);
		last = (int)max_ll(last, columns[i]);
		if (columns[i] < 0) {
			bytes_printf(fault, "its first line doesn't name the column %s", names[i]);
			return ERROR_SYNTAX;
		}
	}
	enum error error = OK;
	while (!error && lines_next(lines, &line)) {
		struct rate_row row;
		count = csv_split(line, fields);
		if ((int)count > last && read_rate(fields, columns, &row)) {
			error = draw_window(generator, &row);
		} else if (span_trim(line).len) {
			generator->workload->read_rows++;
			workload_drop(generator->workload, DROP_SYNTAX);
		}
	}
	if (error == ERROR_LIMIT)
		bytes_append_text(fault,
		                  "it gives more than 20 million requests; take a window (--from, --to) or a smaller --scale");
	return error;
}

enum error servegen_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                         struct bytes *fault)
{
	struct generator generator = { .settings = settings, .workload = workload };
	random_seed(&generator.random, settings->seed);
	enum error error = load_lengths(settings, &generator.lengths, fault);
	if (!error)
		error = read_rates(lines, &generator, fault);
	workload->is_scaled = true;
	workload->was_unsorted = false; /* drawn client by client */
	if (!error)
		workload_note(workload, "arrivals were drawn from the clients' recorded rates and fitted gaps (seed %llu)",
		              (unsigned long long)settings->seed);
	free(generator.lengths.rows);
	return error;
}
