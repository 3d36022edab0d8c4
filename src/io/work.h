/* Work that takes over 200 us leaves the loop: a small pool of threads, shared by the process. */
#ifndef PENSTOCK_IO_WORK_H
#define PENSTOCK_IO_WORK_H

#include "base/error.h"
#include "io/loop.h"

/* Runs work(argument) on a pool thread, then done(argument) on the loop. Cannot be cancelled. ERROR_MEMORY. */
enum error work_start(struct loop *loop, void (*work)(void *argument), void (*done)(void *argument), void *argument);

#endif
