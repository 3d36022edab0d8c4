/* Numbers and times as people write them on the command line and in traces. */
#ifndef PENSTOCK_REPLAY_QUANTITY_H
#define PENSTOCK_REPLAY_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* A finite decimal number, the whole span. ERROR_SYNTAX, ERROR_RANGE. */
enum error quantity_number(struct span text, double *out);
/* 90s, 1.5m, 200ms, 50us, 2h30m; at least 0, up to 10 years. ERROR_SYNTAX (also without a unit, but for a plain 0), ERROR_RANGE. */
enum error quantity_duration(struct span text, int64_t *out_ns);
/* Seconds as a decimal number, to ns. ERROR_SYNTAX, ERROR_RANGE (beyond 100 years either way). */
enum error quantity_seconds(struct span text, int64_t *out_ns);
/* YYYY-MM-DD, a blank or T, HH:MM:SS with up to nine decimals, a Z or nothing behind: ns since 1970 (the years 1970 to 2200). ERROR_SYNTAX. */
enum error quantity_timestamp(struct span text, int64_t *out_ns);
/* Splits at the first `byte`: returns what stands before it and moves *rest behind it; the whole and an empty rest where there is none. */
struct span quantity_split(struct span *rest, char byte);
/* Writes 850 us, 12.3 ms, 4.56 s or 12.3 min. */
void quantity_write_duration(struct bytes *out, int64_t duration_ns);

#endif
