/* A histogram as a piece of the tools' JSON report. */
#ifndef PENSTOCK_BENCH_TIMES_H
#define PENSTOCK_BENCH_TIMES_H

#include "base/histogram.h"

/* Prints `"name":{"count":..,"p50":..,"p90":..,"p99":..,"max":..},`, in microseconds. */
void times_print(const struct histogram *histogram, const char *name);

#endif
