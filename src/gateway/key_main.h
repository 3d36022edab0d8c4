/* The `key` subcommand. */
#ifndef PENSTOCK_GATEWAY_KEY_MAIN_H
#define PENSTOCK_GATEWAY_KEY_MAIN_H

/* arguments[0] is "key". Exit status: 0 done, 2 bad usage or a state folder that can't be used. */
int key_main(int count, char **arguments);

#endif
