/* Any bytes as a config: read, refused or not, nothing may break. A text that is accepted must stand a second reading of its names. */
#include <stdint.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config *config;
	struct bytes faults = { 0 };
	const enum error error = config_parse((const char *)data, len, "fuzz.yaml", &config, &faults);
	if (error == OK) {
		for (size_t i = 0; i < config->route_count; i++) {
			const struct route_config *route = &config->routes[i];
			MUST(config_route(config, span_of(route->name)) == route);
			for (size_t tier = 0; tier < route->tiers.count; tier++)
				MUST(config_pool(config, span_of(route->tiers.items[tier])) != NULL);
		}
		for (size_t i = 0; i < config->key_count; i++)
			MUST(strlen(config->keys[i].hash) == strlen("hmac-sha256:") + 64);
	}
	/* A refusal says why. */
	MUST((error == OK) == (config != NULL) && (error != ERROR_SYNTAX || faults.len > 0));
	config_unref(&config);
	bytes_fini(&faults);
	return 0;
}
