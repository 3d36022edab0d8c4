/* Addresses as people write them. Strict: what could be read two ways is refused. */
#include "base/address.h"

#include <string.h>

#define PORT_MAX 65535

/* Hosts are compared and logged, so only what a name or a literal can hold passes: no blanks, no control bytes. */
static bool is_host(struct span host, bool is_v6)
{
	if (host.len == 0)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		const char byte = host.at[i];
		const bool is_alphanumeric =
			(byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
		const bool is_other =
			is_v6 ? byte == ':' || byte == '.' || byte == '%' : byte == '.' || byte == '-' || byte == '_';
		if (!is_alphanumeric && !is_other)
			return false;
	}
	return !is_v6 || span_find(host, ':') < host.len;
}

static enum error parse_unix(struct span path, struct address *out)
{
	if (path.len == 0 || span_find(path, '\0') < path.len)
		return ERROR_SYNTAX;
	if (path.len >= sizeof(out->path))
		return ERROR_LIMIT;
	out->kind = ADDRESS_UNIX;
	memcpy(out->path, path.at, path.len);
	return OK;
}

enum error address_parse(struct span text, struct address *out)
{
	*out = (struct address){ .kind = ADDRESS_TCP };
	const struct span unix_prefix = SPAN("unix:");
	if (span_starts_with(text, unix_prefix))
		return parse_unix((struct span){ text.at + unix_prefix.len, text.len - unix_prefix.len }, out);

	const bool is_v6 = text.len > 0 && text.at[0] == '[';
	struct span host = text;
	size_t colon;
	if (is_v6) {
		const size_t bracket = span_find(text, ']');
		if (bracket == text.len)
			return ERROR_SYNTAX;
		host = (struct span){ text.at + 1, bracket - 1 };
		colon = bracket + 1;
	} else {
		colon = span_find(text, ':');
		host.len = colon;
	}
	if (colon >= text.len || text.at[colon] != ':' || !is_host(host, is_v6) || host.len >= sizeof(out->host))
		return ERROR_SYNTAX;
	uint64_t port;
	if (span_to_u64((struct span){ text.at + colon + 1, text.len - colon - 1 }, PORT_MAX, &port) != OK)
		return ERROR_SYNTAX;
	memcpy(out->host, host.at, host.len);
	out->port = (uint16_t)port;
	return OK;
}

/* Four decimal groups, the first 127: "127.evil.example" is a name, not a literal. */
static bool is_v4_loopback(struct span host)
{
	unsigned groups = 0;
	while (true) {
		const size_t dot = span_find(host, '.');
		const struct span group = { host.at, dot };
		uint64_t value;
		if (span_to_u64(group, 255, &value) != OK || (groups == 0 && value != 127))
			return false;
		groups++;
		if (dot == host.len)
			return groups == 4;
		host = (struct span){ host.at + dot + 1, host.len - dot - 1 };
	}
}

bool address_is_loopback(const struct address *address)
{
	if (address->kind == ADDRESS_UNIX)
		return true;
	const struct span host = span_of(address->host);
	return span_is(host, "::1") || span_equal_nocase(host, SPAN("localhost")) || is_v4_loopback(host);
}

void address_write(struct bytes *out, const struct address *address)
{
	if (address->kind == ADDRESS_UNIX)
		bytes_printf(out, "unix:%s", address->path);
	else if (strchr(address->host, ':') != NULL)
		bytes_printf(out, "[%s]:%u", address->host, address->port);
	else
		bytes_printf(out, "%s:%u", address->host, address->port);
}
