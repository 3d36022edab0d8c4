/* docs/config.md, written from the table: what it says is what the reader does. */
#include "config/config.h"

#include "config/config_table.h"
#include "config/config_value.h"

static const struct {
	const char *title;
	const char *text;
} sections[CONFIG_SECTIONS] = {
	[CONFIG_ROOT] = { "Top level", "Keys that stand at the top of the file, beside `keys`, `pools` and `routes`." },
	[CONFIG_KEY] = { "`keys`",
	                 "A list: who may send requests. Without it everyone on this machine may, and nobody else." },
	[CONFIG_POOL] = { "`pools`", "A mapping from a pool's name to its settings. A pool is replicas of one model." },
	[CONFIG_ROUTE] = { "`routes`",
	                   "A mapping from a route's name, the model name that clients send, to its settings." },
};

static const char *type_text(const struct config_row *row)
{
	switch (row->type) {
	case CONFIG_STRING:
		return "text";
	case CONFIG_BOOLEAN:
		return "`true` or `false`";
	case CONFIG_INTEGER:
		return "whole number";
	case CONFIG_NUMBER:
		return "number";
	case CONFIG_SHARE:
		return "share, in percent";
	case CONFIG_DURATION:
		return "time";
	case CONFIG_SIZE:
		return "size";
	case CONFIG_STRING_LIST:
		return "text or list of texts";
	case CONFIG_CHOICE:
		return "choice";
	}
	return "";
}

static void write_bounds(struct bytes *out, const struct config_row *row)
{
	if (row->type == CONFIG_CHOICE) {
		struct span rest = span_of(row->choices);
		while (rest.len > 0) {
			const size_t len = span_find(rest, '|');
			bytes_printf(out, "`%.*s`", (int)len, rest.at);
			const size_t used = len < rest.len ? len + 1 : len;
			rest = (struct span){ rest.at + used, rest.len - used };
			bytes_append_text(out, rest.len > 0 ? ", " : "");
		}
	} else if (row->minimum < row->maximum) {
		config_value_write(out, row, row->minimum);
		bytes_append_text(out, " to ");
		config_value_write(out, row, row->maximum);
		bytes_append_text(out, row->type == CONFIG_SHARE ? "%" : "");
		bytes_append_text(out, row->automatic ? ", or `auto`" : "");
	}
}

static void write_row(struct bytes *out, const struct config_row *row)
{
	bytes_printf(out, "| `%s` | %s", row->path, type_text(row));
	if (row->unit != NULL)
		bytes_printf(out, ", %s", row->unit);
	if (row->required)
		bytes_append_text(out, " | *required* | ");
	else if (row->initial[0] == '\0')
		bytes_append_text(out, " | *none* | ");
	else
		bytes_printf(out, " | `%s` | ", row->initial);
	write_bounds(out, row);
	bytes_printf(out, " | %s |\n", row->help);
}

void config_write_reference(struct bytes *out)
{
	bytes_append_text(
		out,
		"# Config reference\n\n"
		"Written by `make reference` from `src/config/config.def`; don't edit it by hand.\n\n"
		"The file is YAML: one document, without anchors, aliases, tags or merge keys. A dot in a key below is one "
		"level of nesting. Times are a whole number with `ms`, `s`, `m` or `h`; sizes are bytes, or a whole number "
		"with `KiB`, `MiB` or `GiB`. `${NAME}` in a value is that environment variable; `$${` stands for `${` "
		"itself. `penstock check FILE` reports every fault with its line and column.\n");
	for (int section = 0; section < CONFIG_SECTIONS; section++) {
		bytes_printf(out, "\n## %s\n\n%s\n\n", sections[section].title, sections[section].text);
		bytes_append_text(out, "| key | type | default | bounds | what it does |\n|---|---|---|---|---|\n");
		for (size_t i = 0; i < config_row_count; i++) {
			if ((int)config_rows[i].section == section && !config_rows[i].test_only)
				write_row(out, &config_rows[i]);
		}
	}
}
