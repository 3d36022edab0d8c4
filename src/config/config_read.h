/* The two steps from a tree to a struct config: reading by the table, and checks across keys. Private to config/. */
#ifndef PENSTOCK_CONFIG_CONFIG_READ_H
#define PENSTOCK_CONFIG_CONFIG_READ_H

#include "base/error.h"
#include "config/config.h"
#include "config/config_fault.h"
#include "config/config_tree.h"

/* Fills every field: from the tree or with its default. Faults are recorded and give OK. ERROR_MEMORY. */
enum error config_read(struct config *config, const struct config_node *root, struct config_faults *faults);
/* What no single key can see: names that must exist or differ, addresses that need keys. Only records faults. */
void config_check(const struct config *config, const struct config_node *root, struct config_faults *faults);

/* What a route's promise contradicts (config_promise.c); node: the route's. */
void config_check_promise(const struct config *config, const struct route_config *route, const struct config_node *node,
                          struct config_faults *faults);

#endif
