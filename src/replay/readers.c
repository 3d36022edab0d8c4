#include "replay/readers.h"

#include <string.h>

#include "base/macros.h"
#include "replay/synthetic.h"

static const struct reader {
	const char *name;
	reader_looks *looks;
	reader_read *read;
	const char *help;
} readers[] = {
#define READER(name, looks, read, help) { #name, looks, read, help },
#include "replay/readers.def"
#undef READER
};

static bool is_auto(const struct reader_settings *settings)
{
	return !settings->format || strcmp(settings->format, "auto") == 0;
}

static const struct reader *find_reader(struct lines *lines, const struct reader_settings *settings)
{
	struct span line;
	if (!is_auto(settings)) {
		for (size_t i = 0; i < COUNT_OF(readers); i++) {
			if (strcmp(settings->format, readers[i].name) == 0)
				return &readers[i];
		}
		return NULL;
	}
	while (lines_next(lines, &line)) {
		if (span_trim(line).len == 0)
			continue;
		for (size_t i = 0; i < COUNT_OF(readers); i++) {
			if (readers[i].looks(line))
				return &readers[i];
		}
		return NULL;
	}
	return NULL;
}

static void list_names(struct bytes *out)
{
	for (size_t i = 0; i < COUNT_OF(readers); i++)
		bytes_printf(out, "%s%s", i ? ", " : "", readers[i].name);
}

enum error readers_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                        struct bytes *fault)
{
	const struct reader *reader = find_reader(lines, settings);
	enum error error = lines_status(lines);
	if (!reader && !error) {
		error = ERROR_SYNTAX;
		if (is_auto(settings))
			bytes_append_text(fault, "its first line is of no known trace format; say which with --format: ");
		else
			bytes_printf(fault, "there is no format %s; --format is auto, ", settings->format);
		list_names(fault);
	}
	if (!error)
		error = lines_rewind(lines);
	if (!error) {
		workload->format = reader->name;
		error = reader->read(lines, settings, workload, fault);
	}
	if (!error)
		error = lines_status(lines);
	if (!error)
		workload_sort(workload);
	if (error && fault->len == 0)
		bytes_printf(fault, "it can't be read: %s", error_text(error));
	return error;
}

enum error readers_load(const struct reader_settings *settings, struct workload *workload, struct bytes *fault)
{
	const struct span path = span_of(settings->path);
	if (span_starts_with(path, SPAN("synthetic:"))) {
		workload->format = "synthetic";
		return synthetic_make((struct span){ path.at + 10, path.len - 10 }, settings->seed, workload, fault);
	}
	struct lines *lines = NULL;
	enum error error = lines_open(settings->path, &lines);
	if (error)
		bytes_printf(fault, "it can't be opened: %s", error_text(error));
	else
		error = readers_read(lines, settings, workload, fault);
	lines_close(&lines);
	return error;
}

void readers_help(struct bytes *out)
{
	for (size_t i = 0; i < COUNT_OF(readers); i++)
		bytes_printf(out, "  %-9s %s\n", readers[i].name, readers[i].help);
}
