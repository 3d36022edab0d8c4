/* The `check` subcommand. */
#ifndef PENSTOCK_GATEWAY_CHECK_MAIN_H
#define PENSTOCK_GATEWAY_CHECK_MAIN_H

/* arguments[0] is "check". Exit status: 0 the config is good, 2 it isn't. */
int check_main(int count, char **arguments);

#endif
