/* An upstream's address: what is accepted is bounded, terminated and means the same when it is read again. */
#include "base/url.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct url url;
	struct url again;
	char *text = exact_copy(data, size);
	const enum error error = url_parse((struct span){ text, size }, &url);
	free(text);
	if (error != OK || url.address.kind == ADDRESS_UNIX)
		return 0;
	struct bytes whole = { 0 };
	bytes_printf(&whole, "%s://%s%s", url.is_tls ? "https" : "http", url.authority, url.path);
	MUST(url_parse(bytes_span(&whole), &again) == OK);
	MUST(again.is_tls == url.is_tls && again.address.port == url.address.port);
	MUST(strcmp(again.address.host, url.address.host) == 0 && strcmp(again.authority, url.authority) == 0);
	MUST(strpbrk(url.authority, "\r\n@/?# ") == NULL && strpbrk(url.path, "\r\n?# ") == NULL);
	bytes_fini(&whole);
	return 0;
}
