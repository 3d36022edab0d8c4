#ifndef PENSTOCK_REPLAY_REPLAY_MAIN_H
#define PENSTOCK_REPLAY_REPLAY_MAIN_H

/* `penstock replay`; arguments[0] is the subcommand. Returns the exit status. */
int replay_main(int count, char **arguments);

#endif
