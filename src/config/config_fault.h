/* Faults of a config file: gathered, not thrown, so that one run shows them all. Private to config/. */
#ifndef PENSTOCK_CONFIG_CONFIG_FAULT_H
#define PENSTOCK_CONFIG_CONFIG_FAULT_H

#include "base/bytes.h"

/* Faults written out; what comes after is only counted. */
#define CONFIG_FAULTS_MAX 100u

/* Line and column in the file, both from 1, columns in characters. */
struct config_place {
	unsigned line;
	unsigned column;
};

struct config_faults {
	const char *file;  /* borrowed: how the file is called in each line */
	struct bytes *out; /* borrowed */
	unsigned count;
};

/* Appends "file:line:col: path: what" and a line end; `path` may be "". */
void config_fault(struct config_faults *faults, struct config_place place, const char *path, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Ends the list: says how many faults were left out, if any. */
void config_faults_end(struct config_faults *faults);

#endif
