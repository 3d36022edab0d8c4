/* Called by answer.c on the loop. */
#include "engine/logprobs.h"

#include <string.h>

#include "base/json.h"
#include "engine/generation.h"

/* JSON has no infinity; this is what OpenAI writes for "practically impossible". */
#define LOGPROB_MIN (-9999.0)

static void write_number(struct bytes *out, float logprob)
{
	json_write_double(out, logprob > LOGPROB_MIN ? (double)logprob : LOGPROB_MIN);
}

static struct generation_logprob entry_at(struct span entries, size_t index)
{
	struct generation_logprob entry;
	memcpy(&entry, entries.at + index * sizeof(entry), sizeof(entry));
	return entry;
}

static void write_token(struct engine *engine, int32_t token, struct bytes *scratch, struct bytes *out)
{
	bytes_clear(scratch);
	engine->ops->token_text(engine, token, scratch);
	json_write_string(out, bytes_span(scratch));
}

/* "token":..,"logprob":..,"bytes":[..] */
static void write_chat_token(struct engine *engine, const struct token_logprob *token, struct bytes *scratch,
                             struct bytes *out)
{
	bytes_append_text(out, "{\"token\":");
	write_token(engine, token->token, scratch, out);
	bytes_append_text(out, ",\"logprob\":");
	write_number(out, token->logprob);
	bytes_append_text(out, ",\"bytes\":[");
	for (size_t i = 0; i < scratch->len; i++)
		bytes_printf(out, i ? ",%u" : "%u", (unsigned char)scratch->data[i]);
	bytes_append_text(out, "]");
}

static void write_chat(struct engine *engine, struct span entries, size_t count, struct bytes *scratch,
                       struct bytes *out)
{
	bytes_append_text(out, "{\"content\":[");
	for (size_t i = 0; i < count; i++) {
		struct generation_logprob entry = entry_at(entries, i);
		if (i)
			bytes_append_text(out, ",");
		write_chat_token(engine, &entry.chosen, scratch, out);
		bytes_append_text(out, ",\"top_logprobs\":[");
		for (uint32_t top = 0; top < entry.top_count; top++) {
			if (top)
				bytes_append_text(out, ",");
			write_chat_token(engine, &entry.tops[top], scratch, out);
			bytes_append_text(out, "}");
		}
		bytes_append_text(out, "]}");
	}
	bytes_append_text(out, "],\"refusal\":null}");
}

static void write_tops(struct engine *engine, const struct generation_logprob *entry, struct bytes *scratch,
                       struct bytes *out)
{
	bytes_append_text(out, "{");
	for (uint32_t top = 0; top < entry->top_count; top++) {
		if (top)
			bytes_append_text(out, ",");
		write_token(engine, entry->tops[top].token, scratch, out);
		bytes_append_text(out, ":");
		write_number(out, entry->tops[top].logprob);
	}
	bytes_append_text(out, "}");
}

static void write_completion(struct engine *engine, struct span entries, size_t count, uint32_t *offset,
                             struct bytes *scratch, struct bytes *out)
{
	struct bytes values = { 0 };
	struct bytes tops = { 0 };
	struct bytes offsets = { 0 };
	bytes_append_text(out, "{\"tokens\":[");
	for (size_t i = 0; i < count; i++) {
		struct generation_logprob entry = entry_at(entries, i);
		const char *comma = i ? "," : "";
		bytes_append_text(out, comma);
		write_token(engine, entry.chosen.token, scratch, out);
		bytes_printf(&offsets, "%s%u", comma, *offset);
		*offset += (uint32_t)scratch->len;
		bytes_append_text(&values, comma);
		write_number(&values, entry.chosen.logprob);
		bytes_append_text(&tops, comma);
		write_tops(engine, &entry, scratch, &tops);
	}
	bytes_append_text(out, "],\"token_logprobs\":[");
	bytes_append_span(out, bytes_span(&values));
	bytes_append_text(out, "],\"top_logprobs\":[");
	bytes_append_span(out, bytes_span(&tops));
	bytes_append_text(out, "],\"text_offset\":[");
	bytes_append_span(out, bytes_span(&offsets));
	bytes_append_text(out, "]}");
	out->failed |= values.failed || tops.failed || offsets.failed;
	bytes_fini(&values);
	bytes_fini(&tops);
	bytes_fini(&offsets);
}

void logprobs_write(struct engine *engine, struct span entries, bool is_chat, uint32_t *text_offset, struct bytes *out)
{
	struct bytes scratch = { 0 };
	size_t count = entries.len / sizeof(struct generation_logprob);
	if (is_chat)
		write_chat(engine, entries, count, &scratch, out);
	else
		write_completion(engine, entries, count, text_offset, &scratch, out);
	bytes_fini(&scratch);
}
