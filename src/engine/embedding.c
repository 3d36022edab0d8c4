/* Called by worker_embeddings.c on a pool thread. */
#include "engine/embedding.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

#define JSON_DEPTH 512

enum error embedding_new(struct bytes *body, struct embedding **out)
{
	struct embedding *embedding = calloc(1, sizeof(*embedding));
	*out = embedding;
	if (!embedding)
		return ERROR_MEMORY;
	arena_init(&embedding->arena, 0);
	embedding->body = *body;
	*body = (struct bytes){ 0 };
	return OK;
}

void embedding_free(struct embedding **embedding_slot)
{
	struct embedding *embedding = *embedding_slot;
	*embedding_slot = NULL;
	if (!embedding)
		return;
	for (uint32_t i = 0; i < embedding->job.input_count; i++)
		free(embedding->job.inputs[i].tokens);
	free(embedding->job.inputs);
	free(embedding->vectors);
	api_request_fini(&embedding->request);
	bytes_fini(&embedding->body);
	bytes_fini(&embedding->answer);
	arena_fini(&embedding->arena);
	free(embedding);
}

/* ---- inputs ---- */

static enum error take_tokens(struct embedding *embedding, const struct embedder *embedder, uint32_t array,
                              struct embedding_input *input, struct api_fault *fault)
{
	const struct json *json = &embedding->request.json;
	uint32_t vocabulary = embedder_facts(embedder)->vocabulary;
	uint32_t count = 0;
	int32_t *tokens = malloc(sizeof(*tokens) * json->nodes[array].count);
	enum error error = tokens ? OK : api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	for (uint32_t node = json_first(json, array); !error && node != JSON_NONE; node = json_next(json, array, node)) {
		int64_t token = 0;
		if (json_int64(json, node, &token) != OK || token < 0 || token >= vocabulary)
			error = api_refuse(fault, ERROR_RANGE, "input", "'input' holds the token id %lld, but ids are below %u.",
			                   (long long)token, vocabulary);
		else
			tokens[count++] = (int32_t)token;
	}
	if (!error && embedder_take_tokens(embedder, tokens, count, input) != OK)
		error = api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	free(tokens);
	return error;
}

static enum error take_input(struct embedding *embedding, const struct embedder *embedder, uint32_t index,
                             struct api_fault *fault)
{
	const struct embedder_facts *facts = embedder_facts(embedder);
	struct embedding_input *input = &embedding->job.inputs[index];
	uint32_t node = embedding->request.inputs[index];
	struct span text;
	if (json_type(&embedding->request.json, node) == JSON_ARRAY) {
		enum error error = take_tokens(embedding, embedder, node, input, fault);
		if (error)
			return error;
	} else if (json_string(&embedding->request.json, node, &embedding->arena, &text) != OK ||
	           embedder_take_text(embedder, text, input) != OK) {
		return api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	}
	if (input->count > facts->context_tokens)
		return api_refuse(fault, ERROR_LIMIT, "input",
		                  "Input %u has %u tokens, but the model %s takes at most %u an input; split it.", index,
		                  input->count, facts->model_name, facts->context_tokens);
	embedding->prompt_tokens += input->count;
	return OK;
}

static enum error make_room(struct embedding *embedding, struct api_fault *fault)
{
	size_t count = embedding->request.input_count;
	embedding->job.inputs = calloc(count, sizeof(*embedding->job.inputs));
	embedding->vectors = calloc(count, sizeof(*embedding->vectors) * embedding->dimensions);
	if (!embedding->job.inputs || !embedding->vectors)
		return api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	embedding->job.input_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++)
		embedding->job.inputs[i].vector = embedding->vectors + i * embedding->dimensions;
	return OK;
}

enum error embedding_prepare(struct embedding *embedding, const struct embedder *embedder, struct api_fault *fault)
{
	const struct embedder_facts *facts = embedder_facts(embedder);
	struct api_request *request = &embedding->request;
	enum error error =
		api_request_parse(request, API_EMBEDDING, bytes_span(&embedding->body), JSON_DEPTH, &embedding->arena, fault);
	if (error)
		return error;
	embedding->dimensions = facts->dimensions;
	if (request->dimensions >= 0 && request->dimensions != facts->dimensions)
		return api_refuse(fault, ERROR_UNSUPPORTED, "dimensions",
		                  "'dimensions' must be %u, the size of the vectors of %s, or left out.", facts->dimensions,
		                  facts->model_name);
	error = make_room(embedding, fault);
	for (uint32_t i = 0; !error && i < embedding->job.input_count; i++)
		error = take_input(embedding, embedder, i, fault);
	if (!error && embedding->prompt_cap && embedding->prompt_tokens > embedding->prompt_cap)
		error =
			api_refuse(fault, ERROR_LIMIT, "input", "The inputs have %u tokens, but %u are allowed here; send fewer.",
		               embedding->prompt_tokens, embedding->prompt_cap);
	if (error == ERROR_LIMIT)
		fault->code = "context_length_exceeded";
	embedding->prepared_ns = clock_now_ns();
	return error;
}

/* ---- the answer ---- */

void embedding_write_base64(struct bytes *out, const float *vector, uint32_t count)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t group = 0;
	unsigned held = 0; /* bytes in group */
	for (size_t i = 0; i < (size_t)count * sizeof(float); i++) {
		uint32_t bits;
		memcpy(&bits, &vector[i / sizeof(float)], sizeof(bits));
		group = group << 8 | (bits >> (8 * (i % sizeof(float))) & 0xFF);
		if (++held < 3)
			continue;
		for (int shift = 18; shift >= 0; shift -= 6)
			bytes_append_byte(out, digits[group >> shift & 63]);
		group = held = 0;
	}
	if (held == 0)
		return;
	group <<= 8 * (3 - held);
	for (unsigned i = 0; i < 4; i++)
		bytes_append_byte(out, i <= held ? digits[group >> (18 - 6 * i) & 63] : '=');
}

static void write_vector(const struct embedding *embedding, const float *vector, struct bytes *out)
{
	if (embedding->request.wants_base64) {
		bytes_append_byte(out, '"');
		embedding_write_base64(out, vector, embedding->dimensions);
		bytes_append_byte(out, '"');
		return;
	}
	/* Nine digits read back as the same float. */
	for (uint32_t i = 0; i < embedding->dimensions; i++)
		bytes_printf(out, "%c%.9g", i ? ',' : '[', (double)vector[i]);
	bytes_append_byte(out, ']');
}

void embedding_write(struct embedding *embedding, const char *model)
{
	struct bytes *out = &embedding->answer;
	bytes_append_text(out, "{\"object\":\"list\",\"data\":[");
	for (uint32_t i = 0; i < embedding->job.input_count; i++) {
		bytes_printf(out, "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":", i ? "," : "", i);
		write_vector(embedding, embedding->job.inputs[i].vector, out);
		bytes_append_byte(out, '}');
	}
	bytes_append_text(out, "],\"model\":");
	json_write_string(out, span_of(model));
	bytes_printf(out, ",\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}", embedding->prompt_tokens,
	             embedding->prompt_tokens);
}

void embedding_write_timings(const struct embedding *embedding, struct bytes *out)
{
	const struct embedding_job *job = &embedding->job;
	bytes_printf(out,
	             "{\"prompt_tokens\":%u,\"cached_tokens\":0,\"output_tokens\":0,\"preemptions\":0,\"tokenize_ns\":%lld,"
	             "\"queue_ns\":%lld,\"prefill_ns\":%lld,\"decode_ns\":0}",
	             embedding->prompt_tokens, (long long)(embedding->prepared_ns - embedding->arrived_ns),
	             (long long)(job->started_ns - embedding->prepared_ns),
	             (long long)(job->finished_ns - job->started_ns));
}
