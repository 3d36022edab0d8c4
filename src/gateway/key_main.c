/* `penstock key new`: makes an API key and the hash that goes into the config. The key itself is kept nowhere. */
#include "gateway/key_main.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "config/config.h"
#include "gateway/secret.h"
#include "io/digest.h"
#include "stages/keys.h"

#define KEY_RANDOM_BYTES 32

static const char usage[] =
	"Usage: penstock key new [--config FILE] [--name NAME]\n"
	"\n"
	"Prints a new API key, once, and the line for the config's `keys:` that lets it in. The hash is bound to the "
	"secret in the\n"
	"config's state folder (default ~/.local/state/penstock), which is made if it isn't there.\n"
	"\n"
	"Example:\n"
	"  penstock key new --config penstock.yaml --name shop\n";

static int refuse(const char *what)
{
	fprintf(stderr, "penstock key: %s\nTry 'penstock key --help'.\n", what);
	return 2;
}

static void write_hex(struct bytes *out, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bytes_printf(out, "%02x", bytes[i]);
}

static int make_key(const char *state_folder, const char *name)
{
	uint8_t random[KEY_RANDOM_BYTES];
	uint8_t digest[DIGEST_BYTES];
	struct bytes secret = { 0 };
	struct bytes fault = { 0 };
	struct bytes key = { 0 };
	struct bytes hash = { 0 };
	struct digest *hmac = NULL;
	enum error error = secret_load(state_folder, &secret, &fault);
	random_secure(random, sizeof(random));
	bytes_append_text(&key, "psk-");
	write_hex(&key, random, sizeof(random));
	if (!error)
		error = digest_new(bytes_span(&secret), &hmac);
	if (!error)
		error = digest_of(hmac, bytes_span(&key), digest);
	digest_free(&hmac);
	if (error) {
		fprintf(stderr, "penstock key: %s\n", fault.len ? bytes_text(&fault) : error_text(error));
	} else {
		write_hex(&hash, digest, sizeof(digest));
		printf("key: %s\n\nGive it to the client; it is not stored. In the config:\n\nkeys:\n  - {name: %s, hash: "
		       "\"" KEY_HASH_PREFIX "%s\"}\n",
		       bytes_text(&key), name, bytes_text(&hash));
	}
	bytes_fini(&secret);
	bytes_fini(&fault);
	bytes_fini(&key);
	bytes_fini(&hash);
	return error ? 2 : 0;
}

int key_main(int count, char **arguments)
{
	const char *path = NULL;
	const char *name = "client";
	bool is_new = false;
	for (int i = 1; i < count; i++) {
		if (strcmp(arguments[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		}
		if (strcmp(arguments[i], "new") == 0)
			is_new = true;
		else if (strcmp(arguments[i], "--config") == 0 && i + 1 < count)
			path = arguments[++i];
		else if (strcmp(arguments[i], "--name") == 0 && i + 1 < count)
			name = arguments[++i];
		else
			return refuse("unknown argument");
	}
	if (!is_new)
		return refuse("say what to do: new");
	static const char defaults[] = "{pools: {p: {engine: {model: m}}}, routes: {r: {tiers: [p]}}}";
	struct config *config = NULL;
	struct bytes faults = { 0 };
	enum error error = path ? config_load(path, &config, &faults)
	                        : config_parse(defaults, sizeof(defaults) - 1, "defaults", &config, &faults);
	if (error)
		fputs(bytes_text(&faults), stderr);
	int status = error ? 2 : make_key(config->state, name);
	bytes_fini(&faults);
	config_unref(&config);
	return status;
}
