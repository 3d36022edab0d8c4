/* Checks across keys. Each finds the place of its fault in the tree, where the struct has only values. */
#include "config/config_read.h"

#include <string.h>

#include "base/address.h"
#include "base/macros.h"
#include "base/url.h"
#include "config/config_table.h"

#define HASH_PREFIX "hmac-sha256:"
#define HASH_DIGITS 64

static struct config_place place_or_start(const struct config_node *node)
{
	return node == NULL ? (struct config_place){ 1, 1 } : node->place;
}

/* The i-th entry of a node, or the node itself where one value stands for a list. */
static const struct config_node *entry_at(const struct config_node *node, size_t i)
{
	if (node == NULL || node->kind == CONFIG_NODE_SCALAR)
		return node;
	const struct config_node *entry = node->first;
	while (entry != NULL && i-- > 0)
		entry = entry->next;
	return entry;
}

/* Addresses of `listen` or `admin`. */
static void check_addresses(const struct config *config, const struct config_node *root, const char *key,
                            const struct string_list *list, struct config_faults *faults)
{
	const struct config_node *node = config_tree_get(root, key);
	for (size_t i = 0; i < list->count; i++) {
		const struct config_place place = place_or_start(entry_at(node, i));
		struct address address;
		const enum error error = address_parse(span_of(list->items[i]), &address);
		if (error == ERROR_LIMIT)
			config_fault(faults, place, key, "the path in %s is longer than a socket's may be", list->items[i]);
		else if (error != OK)
			config_fault(faults, place, key, "\"%s\" is not an address: write host:port, [v6]:port or unix:/path",
			             list->items[i]);
		else if (config->key_count == 0 && !address_is_loopback(&address))
			config_fault(faults, place, key,
			             "%s can be reached from other machines, but there are no `keys`: add one "
			             "(`penstock key new` prints it), or use 127.0.0.1",
			             list->items[i]);
	}
}

static void check_tls(const struct config *config, const struct config_node *root, struct config_faults *faults)
{
	const bool has_certificate = *config->tls_certificate != '\0';
	if (has_certificate == (*config->tls_key != '\0'))
		return;
	config_fault(faults, place_or_start(config_tree_get(root, "tls")), "tls",
	             "%s is missing: a certificate and its key go together",
	             has_certificate ? "tls.key" : "tls.certificate");
}

static bool is_hash(const char *hash)
{
	const size_t prefix = strlen(HASH_PREFIX);
	if (strncmp(hash, HASH_PREFIX, prefix) != 0)
		return false;
	const char *digits = hash + prefix;
	return strspn(digits, "0123456789abcdef") == HASH_DIGITS && digits[HASH_DIGITS] == '\0';
}

static void check_keys(const struct config *config, const struct config_node *root, struct config_faults *faults)
{
	const struct config_node *list = config_tree_get(root, "keys");
	size_t i = 0;
	for (const struct config_node *node = list == NULL ? NULL : list->first; node != NULL; node = node->next) {
		if (node->kind != CONFIG_NODE_MAPPING || i == config->key_count)
			continue; /* the reader left it out */
		const struct key_config *key = &config->keys[i++];
		const struct config_node *name = config_tree_get(node, "name");
		const struct config_node *hash = config_tree_get(node, "hash");
		/* The text of a wrong hash may be the key itself: it is not shown. */
		if (hash != NULL && key->hash[0] != '\0' && !is_hash(key->hash))
			config_fault(faults, hash->place, hash->path,
			             "is not " HASH_PREFIX " and %d lower-case hexadecimal digits: `penstock key new` prints it",
			             HASH_DIGITS);
		for (const struct key_config *earlier = config->keys; earlier < key; earlier++) {
			if (name != NULL && key->name[0] != '\0' && strcmp(earlier->name, key->name) == 0)
				config_fault(faults, name->place, name->path, "%s is also the name of the key on line %u", key->name,
				             earlier->line);
			if (hash != NULL && key->hash[0] != '\0' && strcmp(earlier->hash, key->hash) == 0)
				config_fault(faults, hash->place, hash->path, "is also the hash of the key on line %u", earlier->line);
		}
	}
}

/* Headers that are the hop's own, or that would hand the client's credentials on. */
static bool may_be_forwarded(const char *name)
{
	static const char *const kept[] = {
		"authorization", "connection", "content-length", "content-type",      "cookie",
		"expect",        "host",       "keep-alive",     "transfer-encoding", "te",
		"trailer",       "upgrade",    "x-api-key",      "accept-encoding",   "anthropic-version"
	};
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	bool is_good = strspn(name, letters) == strlen(name) && strlen(name) <= 64;
	for (size_t i = 0; i < COUNT_OF(kept); i++)
		is_good = is_good && !span_equal_nocase(span_of(name), span_of(kept[i]));
	return is_good && !(strlen(name) >= 10 && span_equal_nocase((struct span){ name, 10 }, SPAN("x-penstock")));
}

static void check_upstream(const struct pool_config *pool, const struct config_node *upstream,
                           struct config_faults *faults)
{
	const struct config_node *urls = config_tree_get(upstream, "urls");
	for (size_t i = 0; i < pool->upstream_urls.count; i++) {
		const struct config_node *node = entry_at(urls, i);
		struct url url;
		if (url_parse(span_of(pool->upstream_urls.items[i]), &url) != OK)
			config_fault(faults, place_or_start(node), node == NULL ? "" : node->path,
			             "\"%s\" is not an upstream's URL: write http://host:port, https://host/base or unix:/path, "
			             "without user, query or fragment",
			             pool->upstream_urls.items[i]);
	}
	const struct config_node *headers = config_tree_get(upstream, "forward_headers");
	for (size_t i = 0; i < pool->upstream_forward_headers.count; i++) {
		const struct config_node *node = entry_at(headers, i);
		if (!may_be_forwarded(pool->upstream_forward_headers.items[i]))
			config_fault(faults, place_or_start(node), node == NULL ? "" : node->path,
			             "\"%s\" can't be passed on: it belongs to the hop, or is no header's name",
			             pool->upstream_forward_headers.items[i]);
	}
	if (pool->upstream_kind == UPSTREAM_ANTHROPIC && *pool->upstream_model == '\0')
		config_fault(faults, place_or_start(upstream), upstream->path,
		             "upstream.model is missing: what the model is called there, as claude-sonnet-4-5");
	const struct config_node *key = config_tree_get(upstream, "key");
	if (pool->upstream_key[strcspn(pool->upstream_key, "\r\n")] != '\0')
		config_fault(faults, place_or_start(key), key == NULL ? "" : key->path, "holds a line end");
}

/* A pool is served by engines of ours or by those behind URLs. */
static void check_pool(const struct pool_config *pool, const struct config_node *node, struct config_faults *faults)
{
	const struct config_node *engine = config_tree_get(node, "engine");
	const struct config_node *upstream = config_tree_get(node, "upstream");
	if (pool->replicas_max != CONFIG_AUTO && pool->replicas_max < pool->replicas_min)
		config_fault(faults, place_or_start(config_tree_get(node, "replicas")), node->path,
		             "replicas.max is below replicas.min");
	const bool has_model = pool->engine_kind != 0 || config_tree_get(engine, "model") != NULL;
	if (upstream != NULL && engine != NULL)
		config_fault(
			faults, place_or_start(upstream), node->path,
			"has `engine` and `upstream`: one pool is served by one of them; make it two pools and name both as "
			"a route's tiers");
	else if (upstream != NULL && upstream->kind == CONFIG_NODE_MAPPING && config_tree_get(upstream, "urls") == NULL)
		config_fault(faults, place_or_start(upstream), node->path,
		             "upstream.urls is missing: where the engines are, as http://10.0.0.5:8000");
	else if (upstream != NULL && upstream->kind == CONFIG_NODE_MAPPING)
		check_upstream(pool, upstream, faults);
	/* An engine that is no mapping has its fault already. */
	else if (upstream == NULL && !has_model && (engine == NULL || engine->kind == CONFIG_NODE_MAPPING))
		config_fault(faults, place_or_start(engine == NULL ? node : engine), node->path,
		             "engine.model is missing: a known model (smollm2-135m-instruct) or the path of a GGUF file; or "
		             "upstream.urls, for engines that run elsewhere");
}

static void check_pools(const struct config *config, const struct config_node *root, struct config_faults *faults)
{
	const struct config_node *pools = config_tree_get(root, "pools");
	if (pools == NULL || (pools->kind == CONFIG_NODE_MAPPING && pools->count == 0))
		config_fault(faults, place_or_start(pools), "pools", "at least one pool is needed");
	for (size_t i = 0; i < config->pool_count; i++)
		check_pool(&config->pools[i], config_tree_get(pools, config->pools[i].name), faults);
}

/* A pool with faults of its own is still there to be named: the tree is asked, not the struct. */
static void check_tiers(const struct route_config *route, const struct config_node *tiers,
                        const struct config_node *pools, struct config_faults *faults)
{
	for (size_t i = 0; i < route->tiers.count; i++) {
		const char *tier = route->tiers.items[i];
		const struct config_node *node = entry_at(tiers, i);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(route->tiers.items[j], tier) == 0)
				config_fault(faults, place_or_start(node), node->path, "the pool %s is named twice", tier);
		}
		if (config_tree_get(pools, tier) != NULL)
			continue;
		struct config_guess guess;
		config_guess_init(&guess, span_of(tier));
		if (pools != NULL && pools->kind == CONFIG_NODE_MAPPING) {
			for (const struct config_node *pool = pools->first; pool != NULL; pool = pool->next)
				config_guess_offer(&guess, span_of(pool->key));
		}
		if (guess.best[0] == '\0')
			config_fault(faults, place_or_start(node), node->path, "there is no pool %s", tier);
		else
			config_fault(faults, place_or_start(node), node->path, "there is no pool %s (did you mean %s?)", tier,
			             guess.best);
	}
}

static void check_routes(const struct config *config, const struct config_node *root, struct config_faults *faults)
{
	const struct config_node *routes = config_tree_get(root, "routes");
	if (routes == NULL || (routes->kind == CONFIG_NODE_MAPPING && routes->count == 0))
		config_fault(faults, place_or_start(routes), "routes", "at least one route is needed");
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_node *node = config_tree_get(routes, config->routes[i].name);
		check_tiers(&config->routes[i], config_tree_get(node, "tiers"), config_tree_get(root, "pools"), faults);
		config_check_promise(config, &config->routes[i], node, faults);
	}
}

static void check_alerts(const struct config *config, const struct config_node *root, struct config_faults *faults)
{
	const struct config_node *alerts = config_tree_get(root, "alerts");
	const struct config_node *webhook = config_tree_get(alerts, "webhook");
	const struct config_node *key = config_tree_get(alerts, "webhook_key");
	struct url url;
	if (webhook != NULL && *config->alerts_webhook != '\0' && url_parse(span_of(config->alerts_webhook), &url) != OK)
		config_fault(faults, webhook->place, webhook->path,
		             "\"%s\" is not a URL: write http://host:port/path or https://host/path, without user, query or "
		             "fragment",
		             config->alerts_webhook);
	if (key != NULL && config->alerts_webhook_key[strcspn(config->alerts_webhook_key, "\r\n")] != '\0')
		config_fault(faults, key->place, key->path, "holds a line end");
}

void config_check(const struct config *config, const struct config_node *root, struct config_faults *faults)
{
	if (root == NULL || root->kind != CONFIG_NODE_MAPPING)
		return;
	check_addresses(config, root, "listen", &config->listen, faults);
	check_addresses(config, root, "admin", &config->admin, faults);
	check_tls(config, root, faults);
	check_keys(config, root, faults);
	check_pools(config, root, faults);
	check_routes(config, root, faults);
	check_alerts(config, root, faults);
}
