#include "replay/keys.h"

#include <string.h>

#include "base/file.h"
#include "replay/quantity.h"

#define FILE_BYTES_MAX (1u << 20)

/* Printable and without blanks: it goes into a header. */
static bool is_key(struct span key)
{
	for (size_t i = 0; i < key.len; i++) {
		if (key.at[i] <= ' ' || key.at[i] > '~')
			return false;
	}
	return key.len > 0 && key.len < 4096;
}

static enum error take_pair(struct span pair, const struct workload *workload, struct arena *arena,
                            const char **by_label)
{
	struct span key = pair;
	const struct span tenant = span_trim(quantity_split(&key, '='));
	key = span_trim(key);
	if (!tenant.len || !is_key(key))
		return ERROR_SYNTAX;
	for (uint32_t i = 0; i < workload->label_count; i++) {
		if (!span_is(tenant, workload->labels[i]))
			continue;
		by_label[i] = arena_copy_text(arena, key);
		if (!by_label[i])
			return ERROR_MEMORY;
	}
	return OK;
}

static enum error take_pairs(struct span text, char separator, const struct workload *workload, struct arena *arena,
                             const char **by_label, struct bytes *fault)
{
	unsigned number = 0;
	while (text.len) {
		const struct span pair = span_trim(quantity_split(&text, separator));
		number++;
		if (!pair.len || pair.at[0] == '#')
			continue;
		const enum error error = take_pair(pair, workload, arena, by_label);
		if (error) {
			/* Not the text: it holds a secret. */
			bytes_printf(fault, "--keys: entry %u is not tenant=key", number);
			return error;
		}
	}
	return OK;
}

enum error keys_read(const char *text, const char *key, const struct workload *workload, struct arena *arena,
                     const char ***by_label, struct bytes *fault)
{
	*by_label = arena_alloc(arena, workload->label_count * sizeof(**by_label));
	if (!*by_label)
		return ERROR_MEMORY;
	if (key && !is_key(span_of(key))) {
		bytes_append_text(fault, "--key takes a key without blanks");
		return ERROR_SYNTAX;
	}
	for (uint32_t i = 0; i < workload->label_count; i++)
		(*by_label)[i] = key;
	if (!text)
		return OK;
	if (strchr(text, '='))
		return take_pairs(span_of(text), ',', workload, arena, *by_label, fault);
	struct bytes content = { 0 };
	enum error error = file_read(text, FILE_BYTES_MAX, &content);
	if (error)
		bytes_printf(fault, "--keys: %s can't be read: %s", text, error_text(error));
	else
		error = take_pairs(bytes_span(&content), '\n', workload, arena, *by_label, fault);
	if (content.data)
		explicit_bzero(content.data, content.len);
	bytes_fini(&content);
	return error;
}
