/* The terminal: one key at a time, no echo, a screen of its own; given back as it was, whatever ends the program that can be caught. */
#ifndef PENSTOCK_TOP_TERMINAL_H
#define PENSTOCK_TOP_TERMINAL_H

#include <stdbool.h>

#include "base/bytes.h"

/* False when standard output is no terminal. Catches SIGINT, SIGTERM, SIGHUP and SIGWINCH. */
bool terminal_open(void);
/* Gives it back; may be called again. */
void terminal_close(void);
/* 80 x 24 where it is not known. */
void terminal_size(unsigned *width, unsigned *height);
/* Draws a frame over the last one. */
void terminal_draw(struct bytes *frame);
/* Waits for a key for so long: its byte; 0 when none came or the size has changed. */
int terminal_key(int wait_ms);
/* Has a signal asked to end? */
bool terminal_is_over(void);

#endif
