#include "load_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sockets.h"

#define MESSAGE_BYTES 8192

static void put(struct request_bytes *to, const char *text)
{
	size_t bytes = strlen(text);
	memcpy(to->bytes + to->count, text, bytes);
	to->count += bytes;
}

/* Words as a prompt has them, with a quote and a line's end here and there. */
static void put_words(struct request_bytes *to, size_t bytes)
{
	static const char words[] =
		"The valve opens at dawn and \\\"closes\\\" when the basin holds enough for the day;\\nnobody hurries. ";
	while (bytes > 0) {
		size_t part = bytes < sizeof words - 1 ? bytes : sizeof words - 1;
		/* Not inside an escape. */
		while (part < sizeof words - 1 && part > 0 && words[part - 1] == '\\')
			part--;
		if (part == 0)
			break;
		memcpy(to->bytes + to->count, words, part);
		to->count += part;
		bytes -= part;
	}
}

void request_make(struct request_bytes *request, const char *model, const char *key, const char *headers,
                  bool is_stream, size_t body_bytes)
{
	struct request_bytes body = { .bytes = memory_or_end(body_bytes + body_bytes / 64 + 4096) };
	put(&body, "{\"model\":\"");
	put(&body, model);
	put(&body,
	    is_stream
	        ? "\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"temperature\":0.7,\"max_tokens\":256,"
	        : "\",\"temperature\":0.7,\"max_tokens\":256,");
	put(&body, "\"messages\":[{\"role\":\"system\",\"content\":\"You answer in few words.\"}");
	for (unsigned turn = 0; turn == 0 || body.count + 64 < body_bytes; turn++) {
		put(&body, turn % 2 == 0 ? ",{\"role\":\"user\",\"content\":\"" : ",{\"role\":\"assistant\",\"content\":\"");
		size_t left = body.count + 4 < body_bytes ? body_bytes - body.count - 4 : 1;
		put_words(&body, left < MESSAGE_BYTES ? left : MESSAGE_BYTES);
		put(&body, "\"}");
	}
	put(&body, "]}");
	size_t head_room = 512 + (key ? strlen(key) : 0) + (headers ? strlen(headers) : 0);
	request->bytes = memory_or_end(head_room + body.count);
	request->count = (size_t)snprintf(
		request->bytes, head_room,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n"
		"content-type: application/json\r\n%s%s%s%scontent-length: %zu\r\n\r\n",
		key ? "authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "", headers ? headers : "", body.count);
	memcpy(request->bytes + request->count, body.bytes, body.count);
	request->count += body.count;
	free(body.bytes);
}
