/* A YAML text as a tree of nodes with places: only what a config needs. Anchors, aliases, tags, merge keys, several documents
 * and duplicate keys are faults. Private to config/. */
#ifndef PENSTOCK_CONFIG_CONFIG_TREE_H
#define PENSTOCK_CONFIG_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "config/config_fault.h"

/* Open mappings and sequences at once. */
#define CONFIG_NESTING_MAX 16
#define CONFIG_KEY_BYTES_MAX 256
/* Entries of one mapping or sequence. */
#define CONFIG_ENTRIES_MAX 4096

enum config_node_kind {
	CONFIG_NODE_SCALAR,
	CONFIG_NODE_SEQUENCE,
	CONFIG_NODE_MAPPING,
	CONFIG_NODE_REFUSED /* an alias: a fault was recorded, readers skip it */
};

struct config_node {
	enum config_node_kind kind;
	bool is_null;              /* nothing, ~ or null, unquoted */
	struct config_place place; /* of the value */
	struct span text;          /* a scalar's, NUL after its end */
	const char *key;           /* of a mapping's entry, else NULL; holds no NUL */
	struct config_place key_place;
	const char *path; /* "pools.small.engine", "listen[1]"; "" for the root */
	struct config_node *first;
	struct config_node *last;
	struct config_node *next;
	size_t count; /* entries */
};

/* Reads the whole text. Nodes live in the arena; they hold no pointer into the text. ERROR_SYNTAX: what ended the reading was recorded
 * in `faults` (other faults are recorded, too, and give OK); *root is NULL then. ERROR_MEMORY. */
enum error config_tree_read(const char *text, size_t len, struct arena *arena, struct config_faults *faults,
                            const struct config_node **root);
/* The value of a mapping's key; NULL when there is none or `node` is NULL or no mapping. */
const struct config_node *config_tree_get(const struct config_node *node, const char *key);

#endif
