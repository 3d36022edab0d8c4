#include "base/url.h"

#include <stdio.h>
#include <string.h>

#define HTTP_PORT 80
#define HTTPS_PORT 443

static bool cut_prefix(struct span *text, const char *prefix)
{
	struct span wanted = span_of(prefix);
	if (text->len < wanted.len || !span_equal_nocase((struct span){ text->at, wanted.len }, wanted))
		return false;
	*text = (struct span){ text->at + wanted.len, text->len - wanted.len };
	return true;
}

/* RFC 3986's pchar and '/', without percent signs: nobody needs them here, and they could be read twice. No dot segments. */
static bool is_path(struct span path)
{
	static const char others[] = "-._~!$&'()*+,;=:@/";
	for (size_t i = 0; i < path.len; i++) {
		const char c = path.at[i];
		bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!is_plain && !memchr(others, c, sizeof(others) - 1))
			return false;
		bool starts_segment = i > 0 && path.at[i - 1] == '/';
		if (starts_segment && (c == '.' || c == '/'))
			return false;
	}
	return true;
}

static enum error take_path(struct span path, struct url *out)
{
	static const struct span version = SPAN("/v1");
	if (!is_path(path))
		return ERROR_SYNTAX;
	while (path.len && path.at[path.len - 1] == '/')
		path.len--;
	if (path.len >= version.len && span_equal((struct span){ path.at + path.len - version.len, version.len }, version))
		path.len -= version.len;
	if (path.len >= sizeof(out->path))
		return ERROR_LIMIT;
	memcpy(out->path, path.at, path.len);
	return OK;
}

static bool has_port(struct span authority)
{
	size_t bracket = authority.len && authority.at[0] == '[' ? span_find(authority, ']') : 0;
	struct span rest = { authority.at + bracket, authority.len - bracket };
	return span_find(rest, ':') < rest.len;
}

static enum error take_authority(struct span authority, struct url *out)
{
	const unsigned own_port = out->is_tls ? HTTPS_PORT : HTTP_PORT;
	char text[sizeof(out->authority)];
	if (authority.len + 8 > sizeof(text))
		return ERROR_LIMIT;
	int len = snprintf(text, sizeof(text), "%.*s", (int)authority.len, authority.at);
	if (!has_port(authority))
		snprintf(text + len, sizeof(text) - (size_t)len, ":%u", own_port);
	enum error error = address_parse(span_of(text), &out->address);
	if (error || out->address.kind != ADDRESS_TCP || out->address.port == 0)
		return error ? error : ERROR_SYNTAX;
	bool is_v6 = strchr(out->address.host, ':') != NULL;
	len = snprintf(out->authority, sizeof(out->authority), is_v6 ? "[%s]" : "%s", out->address.host);
	if (out->address.port != own_port)
		snprintf(out->authority + len, sizeof(out->authority) - (size_t)len, ":%u", out->address.port);
	return OK;
}

enum error url_parse(struct span text, struct url *out)
{
	*out = (struct url){ 0 };
	if (span_find(text, '\0') < text.len)
		return ERROR_SYNTAX;
	if (span_starts_with(text, SPAN("unix:"))) {
		snprintf(out->authority, sizeof(out->authority), "localhost");
		return address_parse(text, &out->address);
	}
	out->is_tls = cut_prefix(&text, "https://");
	if (!out->is_tls && !cut_prefix(&text, "http://"))
		return ERROR_UNSUPPORTED;
	size_t slash = span_find(text, '/');
	enum error error = take_authority((struct span){ text.at, slash }, out);
	return error ? error : take_path((struct span){ text.at + slash, text.len - slash }, out);
}
