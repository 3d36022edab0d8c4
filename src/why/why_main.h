/* `penstock why`: which stage holds the p95, since when, and what to change. */
#ifndef PENSTOCK_WHY_WHY_MAIN_H
#define PENSTOCK_WHY_WHY_MAIN_H

/* Exit status: 0 it was answered (also that nothing stands out), 1 there is not enough to say anything, or the gateway does not answer, 2 bad usage. */
int why_main(int count, char **arguments);

#endif
