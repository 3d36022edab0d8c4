#include "replay/body.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "replay/words.h"

static size_t text_bytes(const struct body_settings *settings, uint64_t tokens)
{
	const double bytes = (double)tokens * settings->bytes_per_token;
	return bytes < 1 ? 1 : (size_t)bytes;
}

static bool append_words(struct bytes *out, size_t len, uint64_t seed)
{
	if (!bytes_reserve(out, len))
		return false;
	words_write(out->data + out->len, len, seed);
	out->len += len;
	return true;
}

/* Pieces end where the sum of their tokens ends, so that rounding never shifts what follows. */
static void write_text(const struct body_settings *settings, const struct workload *workload,
                       const struct workload_row *row, uint64_t own_seed, struct bytes *out)
{
	uint32_t left = row->prompt_tokens;
	for (uint32_t i = 0; i < row->pieces && left; i++) {
		const struct workload_piece *piece = &workload->piece_list[row->first_piece + i];
		const uint32_t tokens = piece->tokens < left ? piece->tokens : left;
		if (tokens && !append_words(out, text_bytes(settings, tokens), piece->id ^ settings->seed))
			return;
		left -= tokens;
	}
	if (left)
		append_words(out, text_bytes(settings, left), own_seed);
}

static void write_head(const struct body_settings *settings, const struct workload *workload,
                       const struct workload_row *row, size_t body_len, struct bytes *out)
{
	const char *key = settings->keys ? settings->keys[row->tenant] : NULL;
	const char *class = settings->class ? settings->class : workload->labels[row->class];
	bytes_printf(out,
	             "POST %s/v1/chat/completions HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock-replay/" PENSTOCK_VERSION
	             "\r\ncontent-type: application/json\r\naccept: %s\r\n",
	             settings->url->path, settings->url->authority,
	             settings->is_stream ? "text/event-stream" : "application/json");
	if (key)
		bytes_printf(out, "authorization: Bearer %s\r\n", key);
	if (*class)
		bytes_printf(out, "x-penstock-class: %s\r\n", class);
	bytes_printf(out, "content-length: %zu\r\n\r\n", body_len);
}

enum error body_build(const struct body_settings *settings, const struct workload *workload, size_t index,
                      struct body *out)
{
	const struct workload_row *row = &workload->rows[index];
	/* Of the row and not of its place, so that two runs with one seed ask the same. */
	const uint64_t own_seed = (settings->seed + index + 1) * UINT64_C(0xbf58476d1ce4e5b9);
	struct bytes text = { 0 };
	bytes_reserve(&text, text_bytes(settings, row->prompt_tokens) + 1024);
	bytes_append_literal(&text, "{\"model\":");
	json_write_string(&text, span_of(settings->model));
	bytes_append_literal(&text, ",\"messages\":[{\"role\":\"user\",\"content\":\"");
	const size_t begin = text.len;
	write_text(settings, workload, row, own_seed, &text);
	out->text_len = text.len - begin;
	bytes_append_literal(&text, "\"}],\"max_tokens\":");
	bytes_append_number(&text, row->output_tokens);
	if (row->session)
		bytes_printf(&text, ",\"user\":\"session-%llx\"", (unsigned long long)row->session);
	if (settings->is_stream)
		bytes_append_literal(&text, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
	bytes_append_byte(&text, '}');
	out->body_len = out->head_at = text.len;
	write_head(settings, workload, row, out->body_len, &text);
	out->head_len = text.len - out->head_at;
	if (!bytes_ok(&text)) {
		bytes_fini(&text);
		return ERROR_MEMORY;
	}
	out->memory = text.data;
	return OK;
}

void body_fini(struct body *body)
{
	free(body->memory);
	body->memory = NULL;
}
