#include "replay/csv.h"

#include <ctype.h>

size_t csv_split(struct span line, struct span fields[static CSV_FIELDS_MAX])
{
	size_t count = 0;
	size_t begin = 0;
	bool is_quoted = false;
	for (size_t i = 0; i <= line.len; i++) {
		if (i < line.len && line.at[i] == '"')
			is_quoted = !is_quoted;
		if (i < line.len && (line.at[i] != ',' || is_quoted))
			continue;
		struct span field = span_trim((struct span){ line.at + begin, i - begin });
		if (field.len >= 2 && field.at[0] == '"' && field.at[field.len - 1] == '"')
			field = (struct span){ field.at + 1, field.len - 2 };
		if (count < CSV_FIELDS_MAX)
			fields[count++] = field;
		begin = i + 1;
	}
	return count;
}

static bool is_filler(char byte)
{
	return byte == ' ' || byte == '_' || byte == '-';
}

static bool name_is(struct span field, const char *name)
{
	size_t at = 0;
	for (;; name++) {
		while (at < field.len && is_filler(field.at[at]))
			at++;
		while (is_filler(*name))
			name++;
		if (*name == '\0' || at == field.len)
			return *name == '\0' && at == field.len;
		if (tolower((unsigned char)field.at[at]) != tolower((unsigned char)*name))
			return false;
		at++;
	}
}

int csv_column(const struct span *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (name_is(fields[i], name))
			return (int)i;
	}
	return -1;
}
