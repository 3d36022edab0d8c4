/* A config: what is accepted holds together, and what is refused says why. */
#include "config/config.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config;
	struct bytes faults = { 0 };
	char *text = exact_copy(data, size);
	const enum error error = config_parse(text, size, "fuzz.yaml", &config, &faults);
	free(text); /* a config keeps nothing of it */
	MUST((error == OK) == (config != NULL) && (error == OK) == (faults.len == 0));
	for (size_t i = 0; error == OK && i < config->route_count; i++) {
		const struct route_config *route = &config->routes[i];
		MUST(config_route(config, span_of(route->name)) == route && route->tiers.count > 0);
		for (size_t tier = 0; tier < route->tiers.count; tier++)
			MUST(config_pool(config, span_of(route->tiers.items[tier])) != NULL);
	}
	for (size_t i = 0; error == OK && i < config->key_count; i++)
		MUST(strlen(config->keys[i].hash) == strlen("hmac-sha256:") + 64 && config->keys[i].name[0] != '\0');
	config_unref(&config);
	bytes_fini(&faults);
	return 0;
}
