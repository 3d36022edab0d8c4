/* A run under way: private to script_run.c and script_expect.c. */
#ifndef PENSTOCK_TEST_SCRIPT_STATE_H
#define PENSTOCK_TEST_SCRIPT_STATE_H

#include "base/random.h"
#include "script.h"

struct named {
	struct span base;
	uint32_t number; /* 0 = none */
	int line;
	bool is_examined; /* its end was expected */
};

struct run {
	struct random random; /* of sizes */
	struct script *script;
	const struct script_run *given;
	struct world *world;
	struct named *names; /* by the world's number of the request */
	uint32_t count;
	uint32_t capacity;
};

/* Its number in the world; UINT32_MAX when there is none of that name. */
uint32_t run_find_request(const struct run *run, struct span name);
/* "refused queue_full". Returns `out`. */
const char *run_text_of_end(const struct world_request *request, char *out, size_t size);
/* What an expect statement says; false when it is not understood. */
bool run_expect(struct run *run, struct words words);

#endif
