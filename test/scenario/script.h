/* A scenario as read from its file, and one run of it. The grammar stands at the top of scenario.c. */
#ifndef PENSTOCK_TEST_SCRIPT_H
#define PENSTOCK_TEST_SCRIPT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "world.h"

#define SCRIPT_POOLS_MAX 8

/* ---- words of a line ---- */

struct words {
	struct span rest;
	int line; /* from 1, for complaints */
};

/* The next word; empty at the end of the line. */
struct span words_next(struct words *words);

/* 12, 1500ms, 2s, 5m, 1h (times in ns), 40% (as 40), never (NS_NEVER). */
bool value_read(struct span text, int64_t *out);

/* name=value, name>=value, name<=value. */
struct term {
	struct span name;
	char operator; /* '=', '>', '<' */
	struct span text;
	int64_t value;
	bool is_number; /* value is set */
};
bool term_read(struct span word, struct term *out);
bool term_holds(const struct term *term, int64_t actual);

/* ---- the file ---- */

struct statement {
	int64_t at_ns;       /* NS_NEVER: at the end */
	uint64_t order;      /* equal times go as they stand in the file */
	struct words words;  /* after the time; the first is the verb */
	uint32_t repetition; /* of a request with times=, from 1; 0 = it has none */
};

struct script {
	const char *path; /* borrowed */
	struct bytes text;
	struct span pool_names[SCRIPT_POOLS_MAX];
	struct control_pool pools[SCRIPT_POOLS_MAX];
	struct span route_names[SCRIPT_POOLS_MAX];
	struct control_route routes[SCRIPT_POOLS_MAX];
	struct control_settings settings;
	struct statement *statements; /* by time */
	size_t statement_count;
	size_t statement_capacity;
	struct bytes complaints; /* a line each: FILE:LINE: what */
};

/* Complains about what it does not understand; false then. Free it in any case. */
bool script_read(const char *path, struct script *out);
void script_free(struct script *script);
void script_complain(struct script *script, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Its number, or UINT32_MAX. */
uint32_t script_pool(const struct script *script, struct span name);
/* Its number, or UINT32_MAX. */
uint32_t script_route(const struct script *script, struct span name);
/* NAME/N: the number over all pools; UINT32_MAX when there is none. */
uint32_t script_replica(const struct script *script, struct span name);

/* ---- a run ---- */

struct script_run {
	bool is_injected; /* expectations are not looked at: something was done to it */
	world_hook *hook; /* NULL = events go together, as they come */
	void *context;
	struct bytes *record; /* NULL = none */
};

/* Runs all statements, then until nothing is open; complains about what was expected otherwise, what was left unexpected, what was not
 * given back. False when it did. */
bool script_execute(struct script *script, const struct script_run *run);

#endif
