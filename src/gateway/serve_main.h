/* The `serve` subcommand. */
#ifndef PENSTOCK_GATEWAY_SERVE_MAIN_H
#define PENSTOCK_GATEWAY_SERVE_MAIN_H

/* arguments[0] is "serve". Exit status: as gateway_run's, 2 for bad usage. */
int serve_main(int count, char **arguments);

#endif
