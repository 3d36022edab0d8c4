/* The rows of config.def as data, and finding one: what the reader, the reference page and the tests walk. Private to config/. */
#ifndef PENSTOCK_CONFIG_CONFIG_TABLE_H
#define PENSTOCK_CONFIG_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum config_section { CONFIG_ROOT, CONFIG_KEY, CONFIG_POOL, CONFIG_ROUTE, CONFIG_SECTIONS };

enum config_type {
	CONFIG_STRING,
	CONFIG_BOOLEAN,
	CONFIG_INTEGER,
	CONFIG_NUMBER,
	CONFIG_SHARE,
	CONFIG_DURATION,
	CONFIG_SIZE,
	CONFIG_STRING_LIST,
	CONFIG_CHOICE
};

/* One row; the columns are explained in config.def. */
struct config_row {
	const char *field;
	const char *path;
	size_t offset; /* of the field in the section's struct */
	enum config_section section;
	enum config_type type;
	const char *initial;
	const char *unit;
	const char *choices;
	const char *help;
	int64_t minimum;
	int64_t maximum;
	bool required;
	bool automatic;
	bool expand_home;
	bool test_only;
	bool pairs;
};

extern const struct config_row config_rows[];
extern const size_t config_row_count;

/* Whether this build knows the row: rows of test builds are unknown to others. */
bool config_row_is_known(const struct config_row *row);
/* The row of that path, NULL when there is none. */
const struct config_row *config_row_find(enum config_section section, const char *path);
/* Whether some row's path goes on below `path`, as "engine.context" below "engine". */
bool config_path_is_group(enum config_section section, const char *path);
/* The place of `word` in "a|b|c", or -1. */
int config_choice_find(const char *choices, struct span word);

/* What a person may have meant by `word`: offer each candidate, then ask for the best. */
struct config_guess {
	struct span word;
	char best[64]; /* "" = nothing is near */
	unsigned distance;
};

void config_guess_init(struct config_guess *guess, struct span word);
void config_guess_offer(struct config_guess *guess, struct span candidate);
/* Offers every key that may stand in the group `prefix` ("" = the section's top), and, when none is near, a deeper key
 * whose last part is the word itself. */
void config_guess_keys(struct config_guess *guess, enum config_section section, const char *prefix);

#endif
