/* An engine's load report: written by the worker, read by the fleet, one table of numbers and a state. */
#ifndef PENSTOCK_API_LOAD_REPORT_H
#define PENSTOCK_API_LOAD_REPORT_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum engine_state {
	ENGINE_STARTING,
	ENGINE_LOADING,
	ENGINE_WARMING,
	ENGINE_READY,
	ENGINE_FAILED,
	ENGINE_STOPPED,
	ENGINE_STATES
};

struct load_report {
	enum engine_state state;
	uint64_t percent; /* of loading, [0, 100] */
	char model[128];  /* the name that clients see */
	char fault[256];  /* ENGINE_FAILED: why */
#define LOAD(name, help) uint64_t name;
#include "api/load_report.def"
#undef LOAD
};

/* "starting", "loading", "warming", "ready", "failed", "stopped". */
const char *engine_state_text(enum engine_state state);
/* One JSON object. */
void load_report_write(struct bytes *out, const struct load_report *report);
/* Unknown members are ignored, missing numbers are 0. ERROR_SYNTAX, ERROR_MEMORY. */
enum error load_report_read(struct span text, struct load_report *out);

#endif
