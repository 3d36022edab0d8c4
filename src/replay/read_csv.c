/* Azure's and BurstGPT's traces: one request a line, columns by name. */
#include "base/clock.h"
#include "replay/csv.h"
#include "replay/quantity.h"
#include "replay/readers.h"

struct columns {
	int time;
	int prompt;
	int output;
	int session; /* -1 = none */
};

static bool find_columns(struct span header, const char *prompt, const char *output, struct columns *columns)
{
	struct span fields[CSV_FIELDS_MAX];
	const size_t count = csv_split(header, fields);
	*columns = (struct columns){ .time = csv_column(fields, count, "timestamp"),
		                         .prompt = csv_column(fields, count, prompt),
		                         .output = csv_column(fields, count, output),
		                         .session = csv_column(fields, count, "session id") };
	return columns->time >= 0 && columns->prompt >= 0 && columns->output >= 0;
}

bool azure_looks(struct span first_line)
{
	struct columns columns;
	return find_columns(first_line, "ContextTokens", "GeneratedTokens", &columns);
}

bool burstgpt_looks(struct span first_line)
{
	struct columns columns;
	return find_columns(first_line, "Request tokens", "Response tokens", &columns);
}

/* 0 to 100 million; what has decimals (a spreadsheet's 12.0) is cut. */
static bool read_tokens(struct span text, uint32_t *out)
{
	double value;
	if (quantity_number(text, &value) || value < 0 || value > 1e8)
		return false;
	*out = (uint32_t)value;
	return true;
}

typedef enum error read_time(struct span text, int64_t *out_ns);

static enum error read_row(struct span line, const struct columns *columns, read_time *time, struct workload *workload)
{
	struct span fields[CSV_FIELDS_MAX];
	const int count = (int)csv_split(line, fields);
	struct workload_row row = { 0 };
	if (columns->time >= count || columns->prompt >= count || columns->output >= count) {
		workload_drop(workload, DROP_SYNTAX);
		return OK;
	}
	if (time(fields[columns->time], &row.at_ns)) {
		workload_drop(workload, DROP_NO_TIME);
		return OK;
	}
	if (!read_tokens(fields[columns->prompt], &row.prompt_tokens) ||
	    !read_tokens(fields[columns->output], &row.output_tokens)) {
		workload_drop(workload, DROP_BAD_TOKENS);
		return OK;
	}
	if (columns->session >= 0 && columns->session < count && fields[columns->session].len)
		row.session = workload_hash(fields[columns->session]);
	return workload_add(workload, row);
}

static enum error read_rows(struct lines *lines, const struct columns *columns, read_time *time,
                            struct workload *workload)
{
	struct span line;
	enum error error = OK;
	while (!error && lines_next(lines, &line)) {
		if (span_trim(line).len == 0)
			continue;
		workload->read_rows++;
		error = read_row(line, columns, time, workload);
	}
	return error;
}

static enum error read_table(struct lines *lines, const char *prompt, const char *output, read_time *time,
                             struct workload *workload, struct bytes *fault)
{
	struct span header;
	struct columns columns;
	if (!lines_next(lines, &header) || !find_columns(header, prompt, output, &columns)) {
		bytes_printf(fault, "its first line must name the columns Timestamp, %s and %s", prompt, output);
		return ERROR_SYNTAX;
	}
	return read_rows(lines, &columns, time, workload);
}

enum error azure_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                      struct bytes *fault)
{
	(void)settings;
	return read_table(lines, "ContextTokens", "GeneratedTokens", quantity_timestamp, workload, fault);
}

enum error burstgpt_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                         struct bytes *fault)
{
	(void)settings;
	return read_table(lines, "Request tokens", "Response tokens", quantity_seconds, workload, fault);
}
