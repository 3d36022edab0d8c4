/* From a trace file to a workload: one reader per format, rows of readers.def. */
#ifndef PENSTOCK_REPLAY_READERS_H
#define PENSTOCK_REPLAY_READERS_H

#include "base/error.h"
#include "replay/lines.h"
#include "replay/workload.h"

struct reader_settings {
	const char *format;    /* a row's name; NULL or "auto": by looking */
	const char *path;      /* of the trace: what stands beside it is found by it; may be NULL */
	const char *companion; /* ServeGen's lengths or RAGPulse's chunks; NULL: beside the trace, by its name */
	uint64_t seed;
	int64_t from_ns; /* of the trace's time; for what is drawn and not read (ServeGen) */
	int64_t to_ns;   /* NS_NEVER = no end */
	double scale;    /* of the rate, likewise */
};

/* A reader takes lines from the first on, adds rows and counts drops. ERROR_SYNTAX with a sentence in *fault when this can't be its format. */
typedef enum error reader_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                               struct bytes *fault);
typedef bool reader_looks(struct span first_line);

/* clang-format off */
#define READER(name, looks, read, help) reader_looks looks; reader_read read;
#include "replay/readers.def"
#undef READER
/* clang-format on */

/* Reads all lines with the reader that is named or found, sorts the rows. On an error *fault has a sentence without a line end. */
enum error readers_read(struct lines *lines, const struct reader_settings *settings, struct workload *workload,
                        struct bytes *fault);
/* Opens settings->path and reads it; "synthetic:..." is drawn instead (replay/synthetic.h). */
enum error readers_load(const struct reader_settings *settings, struct workload *workload, struct bytes *fault);
/* "azure: ..." a line each, for --help. */
void readers_help(struct bytes *out);

#endif
