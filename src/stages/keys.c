/* Called by the authenticate stage on its loop, and by the admin listener. */
#include "stages/keys.h"

#include "io/digest.h"

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return (digit | 0x20) - 'a' + 10;
}

/* The config's check has seen to it that 64 hexadecimal digits follow the prefix. */
static bool hash_matches(const char *hash, const uint8_t digest[DIGEST_BYTES])
{
	uint8_t wanted[DIGEST_BYTES];
	const char *hex = hash + sizeof(KEY_HASH_PREFIX) - 1;
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		wanted[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
	return digest_equal(wanted, digest);
}

static struct span bearer_token(const struct http_head *head)
{
	struct span value = http_header_value(head, "authorization");
	if (value.len < 7 || !span_equal_nocase((struct span){ value.at, 7 }, SPAN("Bearer ")))
		return (struct span){ 0 };
	return span_trim((struct span){ value.at + 7, value.len - 7 });
}

const struct key_config *keys_find(const struct config *config, struct digest *digest, const struct http_head *head)
{
	const struct key_config *found = NULL;
	struct span token = bearer_token(head);
	uint8_t bytes[DIGEST_BYTES];
	if (!token.len || !digest || digest_of(digest, token, bytes) != OK)
		return NULL;
	/* Every key is compared, so that the time does not tell which one came near. */
	for (size_t i = 0; i < config->key_count; i++) {
		if (hash_matches(config->keys[i].hash, bytes))
			found = &config->keys[i];
	}
	return found;
}
