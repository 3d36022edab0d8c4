/* `penstock top`: a gateway's promises, queue, replicas, stages and alerts, as they are now. */
#ifndef PENSTOCK_TOP_TOP_MAIN_H
#define PENSTOCK_TOP_TOP_MAIN_H

/* Exit status: 0 it was left (q, a signal) or printed, 1 --once and no gateway answers, 2 bad usage or no terminal. */
int top_main(int count, char **arguments);

#endif
