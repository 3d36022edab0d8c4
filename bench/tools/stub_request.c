#include "stub_request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOW_BYTES 4096

bool request_sizes(const char *bytes, size_t count, size_t *head_bytes, size_t *request_bytes)
{
	const char *end = memmem(bytes, count, "\r\n\r\n", 4);
	if (!end)
		return false;
	size_t body_bytes = 0;
	for (const char *line = bytes; (line = memchr(line, '\n', (size_t)(end - line))) != NULL;) {
		line++;
		if ((*line == 'c' || *line == 'C') && strncasecmp(line, "content-length:", 15) == 0)
			body_bytes = strtoul(line + 15, NULL, 10);
	}
	*head_bytes = (size_t)(end - bytes) + 4;
	*request_bytes = *head_bytes + body_bytes;
	return true;
}

bool request_says(const char *body, size_t bytes, const char *name)
{
	size_t window = bytes < 2 * WINDOW_BYTES ? bytes : WINDOW_BYTES, name_bytes = strlen(name);
	for (int turn = 0; turn < (window == bytes ? 1 : 2); turn++) {
		const char *from = turn == 0 ? body + bytes - window : body;
		const char *end = from + window;
		const char *at = memmem(from, window, name, name_bytes);
		if (!at)
			continue;
		at += name_bytes;
		while (at < end && (*at == ' ' || *at == ':' || *at == '\n' || *at == '\t'))
			at++;
		return end - at >= 4 && memcmp(at, "true", 4) == 0;
	}
	return false;
}
