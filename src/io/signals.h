/* Process signals as callbacks on a loop. */
#ifndef PENSTOCK_IO_SIGNALS_H
#define PENSTOCK_IO_SIGNALS_H

#include "base/error.h"
#include "io/loop.h"

/* Calls caught(owner, signal_number) on the loop whenever the process gets the signal, until the loop is freed. */
enum error signals_catch(struct loop *loop, int signal_number, void (*caught)(void *owner, int signal_number),
                         void *owner);

#endif
