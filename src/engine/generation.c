/* Life of a generation, and its text on the way out: what may still become a stop string or half a character is held back. */
#include "engine/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/kv_state.h"

enum error generation_new(struct bytes *body, struct generation **out)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	if (!generation)
		return ERROR_MEMORY;
	arena_init(&generation->arena, 0);
	generation->body = *body;
	*body = (struct bytes){ 0 };
	generation->sequence = -1;
	*out = generation;
	return OK;
}

void generation_free(struct engine *engine, struct generation **generation_slot)
{
	struct generation *generation = *generation_slot;
	if (!generation)
		return;
	*generation_slot = NULL;
	if (engine)
		engine->ops->release(engine, generation);
	chat_prompt_free(&generation->chat);
	free(generation->prompt);
	free(generation->output_tokens);
	kv_state_unref(&generation->state);
	api_request_fini(&generation->request);
	bytes_fini(&generation->pending);
	bytes_fini(&generation->ready.text);
	bytes_fini(&generation->ready.logprobs);
	bytes_fini(&generation->body);
	arena_fini(&generation->arena);
	free(generation);
}

void generation_copy_wishes(struct generation *generation, const struct generation *from)
{
	generation->deadline_ns = from->deadline_ns;
	generation->expected_tokens = from->expected_tokens;
	generation->output_cap = from->output_cap;
	generation->prompt_cap = from->prompt_cap;
	generation->class = from->class;
	generation->salt = from->salt;
	generation->times = from->times;
}

enum error generation_size_output(struct generation *generation, uint32_t request_tokens, int64_t output_default,
                                  struct bytes *fault)
{
	uint32_t most =
		generation->prompt_cap && generation->prompt_cap < request_tokens ? generation->prompt_cap : request_tokens - 1;
	if (generation->prompt_count == 0) {
		bytes_append_text(fault, "The prompt is empty.");
		return ERROR_RANGE;
	}
	if (generation->prompt_count > most) {
		bytes_printf(fault, "The prompt has %u tokens, but at most %u are taken; shorten it.", generation->prompt_count,
		             most);
		return ERROR_LIMIT;
	}
	int64_t wanted = generation->request.max_tokens < 0 ? output_default : generation->request.max_tokens;
	if (generation->output_cap)
		wanted = min_ll(wanted, generation->output_cap);
	generation->output_max = (uint32_t)min_ll(wanted, request_tokens - generation->prompt_count);
	generation->output_tokens = malloc(sizeof(*generation->output_tokens) * generation->output_max);
	return generation->output_tokens ? OK : ERROR_MEMORY;
}

/* Offset of the first stop string in the text, or its length. */
static size_t find_stop(const struct generation *generation, struct span text)
{
	size_t first = text.len;
	for (size_t i = 0; i < generation->stop_count; i++) {
		const struct span stop = generation->stops[i];
		const char *found = memmem(text.at, text.len, stop.at, stop.len);
		if (found && (size_t)(found - text.at) < first)
			first = (size_t)(found - text.at);
	}
	return first;
}

/* Bytes at the end that may be the beginning of a stop string. */
static size_t held_for_stop(const struct generation *generation, struct span text)
{
	size_t held = 0;
	for (size_t i = 0; i < generation->stop_count; i++) {
		const struct span stop = generation->stops[i];
		size_t most = stop.len - 1 < text.len ? stop.len - 1 : text.len;
		for (size_t len = most; len > held; len--) {
			if (memcmp(text.at + text.len - len, stop.at, len) == 0) {
				held = len;
				break;
			}
		}
	}
	return held;
}

/* Bytes at the end that begin a UTF-8 character and don't finish it. */
static size_t held_for_character(struct span text)
{
	for (size_t back = 1; back <= 3 && back <= text.len; back++) {
		unsigned char byte = (unsigned char)text.at[text.len - back];
		if ((byte & 0xC0) == 0x80)
			continue;
		size_t needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
		return needed > back ? back : 0;
	}
	return 0;
}

bool generation_add_text(struct generation *generation, struct span text)
{
	struct bytes *pending = &generation->pending;
	bytes_append_span(pending, text);
	struct span all = bytes_span(pending);
	if (all.len == 0)
		return false;
	size_t stop = find_stop(generation, all);
	if (stop < all.len) {
		bytes_append(&generation->ready.text, all.at, stop);
		bytes_clear(pending);
		return true;
	}
	size_t held = held_for_stop(generation, all);
	size_t half = held_for_character((struct span){ all.at, all.len - held });
	size_t safe = all.len - held - half;
	bytes_append(&generation->ready.text, all.at, safe);
	bytes_consume(pending, safe);
	return false;
}

void generation_flush_text(struct generation *generation)
{
	bytes_append_span(&generation->ready.text, bytes_span(&generation->pending));
	bytes_clear(&generation->pending);
}
