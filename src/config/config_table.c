/* config.def as an array, and the look-ups over it. Some fifty rows, read at start-up and reload: linear search is enough. */
#include "config/config_table.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "config/config.h"

#define ROW(in, of, kind, name, ...) \
	{ .field = #name, .section = in, .type = CONFIG_##kind, .offset = offsetof(struct of, name), __VA_ARGS__ },
#define KEY_root(type, ...) ROW(CONFIG_ROOT, config, type, __VA_ARGS__)
#define KEY_key(type, ...) ROW(CONFIG_KEY, key_config, type, __VA_ARGS__)
#define KEY_pool(type, ...) ROW(CONFIG_POOL, pool_config, type, __VA_ARGS__)
#define KEY_route(type, ...) ROW(CONFIG_ROUTE, route_config, type, __VA_ARGS__)

const struct config_row config_rows[] = {
#include "config/config.def"
};
#undef ROW

const size_t config_row_count = COUNT_OF(config_rows);

bool config_row_is_known(const struct config_row *row)
{
#ifdef PENSTOCK_TEST_HOOKS
	(void)row;
	return true;
#else
	return !row->test_only;
#endif
}

const struct config_row *config_row_find(enum config_section section, const char *path)
{
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->section == section && config_row_is_known(row) && strcmp(row->path, path) == 0)
			return row;
	}
	return NULL;
}

bool config_path_is_group(enum config_section section, const char *path)
{
	const size_t len = strlen(path);
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->section == section && config_row_is_known(row) && strncmp(row->path, path, len) == 0 &&
		    row->path[len] == '.')
			return true;
	}
	return false;
}

int config_choice_find(const char *choices, struct span word)
{
	struct span rest = span_of(choices);
	for (int i = 0;; i++) {
		const size_t len = span_find(rest, '|');
		if (span_equal((struct span){ rest.at, len }, word))
			return i;
		if (len == rest.len)
			return -1;
		rest = (struct span){ rest.at + len + 1, rest.len - len - 1 };
	}
}

#define WORD_MAX 40

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits (insert, drop, replace, swap two neighbours) from one word to the other: optimal string alignment. */
static unsigned edit_distance(struct span a, struct span b)
{
	unsigned rows[3][WORD_MAX + 1];
	for (unsigned j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		const unsigned *above = rows[(i - 1) % 3];
		unsigned *row = rows[i % 3];
		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			const unsigned replaced = above[j - 1] + (a.at[i - 1] != b.at[j - 1]);
			row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
				row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[a.len % 3][b.len];
}

void config_guess_init(struct config_guess *guess, struct span word)
{
	*guess = (struct config_guess){ .word = word };
	/* A third of the word may be wrong; more is another word. */
	guess->distance = word.len < 3 ? 2 : (unsigned)(word.len / 3) + 1;
}

void config_guess_offer(struct config_guess *guess, struct span candidate)
{
	if (guess->word.len > WORD_MAX || candidate.len > WORD_MAX || candidate.len == 0)
		return;
	const unsigned distance = edit_distance(guess->word, candidate);
	if (distance >= guess->distance)
		return;
	guess->distance = distance;
	memcpy(guess->best, candidate.at, candidate.len);
	guess->best[candidate.len] = '\0';
}

void config_guess_keys(struct config_guess *guess, enum config_section section, const char *prefix)
{
	const struct span start = span_of(prefix);
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		struct span path = span_of(row->path);
		if (row->section != section || !config_row_is_known(row) || !span_starts_with(path, start))
			continue;
		path = (struct span){ path.at + start.len, path.len - start.len };
		path.len = span_find(path, '.');
		config_guess_offer(guess, path);
	}
	if (section == CONFIG_ROOT && start.len == 0) {
		config_guess_offer(guess, SPAN("keys"));
		config_guess_offer(guess, SPAN("pools"));
		config_guess_offer(guess, SPAN("routes"));
	}
	for (size_t i = 0; i < config_row_count && guess->best[0] == '\0'; i++) {
		const struct config_row *row = &config_rows[i];
		const char *last = strrchr(row->path, '.');
		if (row->section == section && config_row_is_known(row) && last != NULL && span_is(guess->word, last + 1))
			memcpy(guess->best, row->path, strlen(row->path) + 1);
	}
}
