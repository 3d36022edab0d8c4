/* The `engine` subcommand. */
#ifndef PENSTOCK_ENGINE_ENGINE_MAIN_H
#define PENSTOCK_ENGINE_ENGINE_MAIN_H

/* arguments[0] is "engine". Returns the exit status: 0 ended as asked, 2 bad usage or a model that can't be used. */
int engine_main(int count, char **arguments);

#endif
