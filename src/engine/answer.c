/* Called by worker_jobs.c on the loop, once for every piece that the step thread hands over and once at the end. */
#include "engine/answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/logprobs.h"

struct tool_call {
	struct bytes id;
	struct bytes name;
	struct bytes arguments;
};

struct answer {
	struct engine *engine;
	struct generation *generation;
	struct answer_facts facts;
	uint32_t index;
	uint32_t tokens;        /* of the output */
	uint32_t cached_tokens; /* of the prompt */
	uint32_t preemptions;
	bool has_role;                 /* a stream's first delta names the role */
	uint32_t text_offset;          /* of a completion's next token */
	struct bytes *stream;          /* where deltas go during a call; NULL when not streaming */
	struct bytes pending_logprobs; /* packed entries for the next delta, or all of them */
	struct bytes content;
	struct bytes reasoning;
	struct tool_call *tools;
	size_t tool_count;
	struct bytes choice; /* the closed choice, when not streaming */
	bool failed;
};

enum error answer_new(struct engine *engine, struct generation *generation, const struct answer_facts *facts,
                      uint32_t index, struct answer **out)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	if (!answer)
		return ERROR_MEMORY;
	answer->engine = engine;
	answer->generation = generation;
	answer->facts = *facts;
	answer->index = index;
	*out = answer;
	return OK;
}

void answer_free(struct answer **answer_slot)
{
	struct answer *answer = *answer_slot;
	if (!answer)
		return;
	*answer_slot = NULL;
	for (size_t i = 0; i < answer->tool_count; i++) {
		bytes_fini(&answer->tools[i].id);
		bytes_fini(&answer->tools[i].name);
		bytes_fini(&answer->tools[i].arguments);
	}
	free(answer->tools);
	bytes_fini(&answer->pending_logprobs);
	bytes_fini(&answer->content);
	bytes_fini(&answer->reasoning);
	bytes_fini(&answer->choice);
	free(answer);
}

static bool is_chat(const struct answer *answer)
{
	return answer->generation->request.endpoint == API_CHAT;
}

static void write_head(const struct answer *answer, const char *object, struct bytes *out)
{
	bytes_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", answer->facts.id, object,
	             (long long)answer->facts.created_s);
	json_write_string(out, span_of(answer->facts.model));
	bytes_append_text(out, ",\"system_fingerprint\":\"penstock-" PENSTOCK_VERSION "\"");
}

static void write_logprobs(struct answer *answer, struct bytes *out)
{
	if (!answer->generation->request.logprobs) {
		bytes_append_text(out, "null");
		return;
	}
	logprobs_write(answer->engine, bytes_span(&answer->pending_logprobs), is_chat(answer), &answer->text_offset, out);
	bytes_clear(&answer->pending_logprobs);
}

/* ---- streams ---- */

static void begin_chunk(struct answer *answer, struct bytes *out)
{
	bytes_append_text(out, "data: ");
	write_head(answer, is_chat(answer) ? "chat.completion.chunk" : "text_completion", out);
	if (answer->generation->request.include_usage)
		bytes_append_text(out, ",\"usage\":null");
	bytes_printf(out, ",\"choices\":[{\"index\":%u,", answer->index);
}

static void end_chunk(struct answer *answer, const char *finish, struct bytes *out)
{
	bytes_append_text(out, ",\"logprobs\":");
	write_logprobs(answer, out);
	if (finish)
		bytes_printf(out, ",\"finish_reason\":\"%s\"}]}\n\n", finish);
	else
		bytes_append_text(out, ",\"finish_reason\":null}]}\n\n");
}

static void begin_delta(struct answer *answer, struct bytes *out)
{
	begin_chunk(answer, out);
	bytes_append_text(out, "\"delta\":{");
	if (!answer->has_role)
		bytes_append_text(out, "\"role\":\"assistant\",");
	answer->has_role = true;
}

static void write_tool_delta(const struct chat_delta *delta, struct bytes *out)
{
	bytes_printf(out, "\"tool_calls\":[{\"index\":%zu,", delta->tool_index);
	if (delta->tool_name.len) {
		bytes_append_text(out, "\"id\":");
		json_write_string(out, delta->tool_id);
		bytes_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
		json_write_string(out, delta->tool_name);
		bytes_append_text(out, ",");
	} else {
		bytes_append_text(out, "\"function\":{");
	}
	bytes_append_text(out, "\"arguments\":");
	json_write_string(out, delta->text);
	bytes_append_text(out, "}}]");
}

static void stream_delta(struct answer *answer, const struct chat_delta *delta)
{
	struct bytes *out = answer->stream;
	begin_delta(answer, out);
	if (delta->kind == CHAT_DELTA_TOOL) {
		write_tool_delta(delta, out);
	} else {
		bytes_append_text(out, delta->kind == CHAT_DELTA_CONTENT ? "\"content\":" : "\"reasoning_content\":");
		json_write_string(out, delta->text);
	}
	bytes_append_text(out, "}");
	end_chunk(answer, NULL, out);
}

static void stream_text(struct answer *answer, struct span text)
{
	struct bytes *out = answer->stream;
	begin_chunk(answer, out);
	bytes_append_text(out, "\"text\":");
	json_write_string(out, text);
	end_chunk(answer, NULL, out);
}

/* ---- collecting ---- */

static void keep_tool_delta(struct answer *answer, const struct chat_delta *delta)
{
	while (answer->tool_count <= delta->tool_index) {
		struct tool_call *larger = realloc(answer->tools, sizeof(*larger) * (answer->tool_count + 1));
		if (!larger) {
			answer->failed = true;
			return;
		}
		answer->tools = larger;
		answer->tools[answer->tool_count++] = (struct tool_call){ 0 };
	}
	struct tool_call *call = &answer->tools[delta->tool_index];
	bytes_append_span(&call->id, delta->tool_id);
	bytes_append_span(&call->name, delta->tool_name);
	bytes_append_span(&call->arguments, delta->text);
}

static void on_delta(void *owner, const struct chat_delta *delta)
{
	struct answer *answer = owner;
	if (delta->kind == CHAT_DELTA_TOOL)
		keep_tool_delta(answer, delta);
	if (answer->stream)
		stream_delta(answer, delta);
	else if (delta->kind != CHAT_DELTA_TOOL)
		bytes_append_span(delta->kind == CHAT_DELTA_CONTENT ? &answer->content : &answer->reasoning, delta->text);
}

static void add_text(struct answer *answer, struct span text, bool is_final)
{
	if (!is_chat(answer)) {
		if (answer->stream && text.len)
			stream_text(answer, text);
		else
			bytes_append_span(&answer->content, text);
	} else if (answer->generation->chat) {
		/* A format error is already handled there: the rest comes as content. */
		enum error error = chat_parse(answer->generation->chat, text, is_final, on_delta, answer);
		(void)error;
	} else if (text.len) {
		on_delta(answer, &(struct chat_delta){ .kind = CHAT_DELTA_CONTENT, .text = text });
	}
}

void answer_add(struct answer *answer, const struct generation_output *output, struct bytes *out)
{
	answer->tokens += output->tokens;
	answer->cached_tokens += output->cached_tokens;
	answer->preemptions += output->preemptions;
	bytes_append_span(&answer->pending_logprobs, bytes_span(&output->logprobs));
	answer->stream = answer->generation->request.stream ? out : NULL;
	if (output->text.len)
		add_text(answer, bytes_span(&output->text), false);
}

/* ---- the end ---- */

/* The prompt is one for all choices. */
static void write_usage(struct answer *const *answers, uint32_t count, struct bytes *out)
{
	uint32_t prompt = answers[0]->generation->prompt_count;
	uint32_t tokens = 0;
	for (uint32_t i = 0; i < count; i++)
		tokens += answers[i]->tokens;
	bytes_printf(out,
	             "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
	             "\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
	             prompt, tokens, prompt + tokens, answers[0]->cached_tokens);
}

static int64_t between(int64_t from_ns, int64_t to_ns)
{
	return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}

void answer_write_timings(struct answer *const *answers, uint32_t count, const struct generation_times *times,
                          struct bytes *out)
{
	uint32_t tokens = 0;
	uint32_t preemptions = 0;
	for (uint32_t i = 0; i < count; i++) {
		tokens += answers[i]->tokens;
		preemptions += answers[i]->preemptions;
	}
	bytes_printf(
		out,
		"{\"prompt_tokens\":%u,\"cached_tokens\":%u,\"output_tokens\":%u,\"preemptions\":%u,\"tokenize_ns\":%lld,"
		"\"queue_ns\":%lld,\"prefill_ns\":%lld,\"decode_ns\":%lld}",
		answers[0]->generation->prompt_count, answers[0]->cached_tokens, tokens, preemptions,
		(long long)between(times->arrived_ns, times->prepared_ns),
		(long long)between(times->prepared_ns, times->started_ns),
		(long long)between(times->started_ns, times->first_token_ns),
		(long long)between(times->first_token_ns, times->finished_ns));
}

static const char *finish_text(const struct answer *answer, enum finish_reason reason)
{
	if (reason == FINISH_LENGTH)
		return "length";
	return answer->tool_count ? "tool_calls" : "stop";
}

static void close_stream(struct answer *answer, enum finish_reason reason, struct bytes *out)
{
	size_t before = out->len;
	if (is_chat(answer)) {
		begin_delta(answer, out);
		if (out->len > before && out->data[out->len - 1] == ',') /* a role and nothing else: an empty answer */
			bytes_append_text(out, "\"content\":\"\"");
		bytes_append_text(out, "}");
	} else {
		begin_chunk(answer, out);
		bytes_append_text(out, "\"text\":\"\"");
	}
	end_chunk(answer, finish_text(answer, reason), out);
}

static void finish_stream(struct answer *const *answers, uint32_t count, const struct generation_times *times,
                          struct bytes *out)
{
	const struct answer *first = answers[0];
	if (first->generation->request.include_usage) {
		bytes_append_text(out, "data: ");
		write_head(first, is_chat(first) ? "chat.completion.chunk" : "text_completion", out);
		bytes_append_text(out, ",\"choices\":[],\"usage\":");
		write_usage(answers, count, out);
		bytes_append_text(out, "}\n\n");
	}
	bytes_append_text(out, "event: penstock\ndata: ");
	answer_write_timings(answers, count, times, out);
	bytes_append_text(out, "\n\ndata: [DONE]\n\n");
}

static void write_tool_calls(const struct answer *answer, struct bytes *out)
{
	bytes_append_text(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < answer->tool_count; i++) {
		const struct tool_call *call = &answer->tools[i];
		bytes_append_text(out, i ? ",{\"id\":" : "{\"id\":");
		json_write_string(out, bytes_span(&call->id));
		bytes_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
		json_write_string(out, bytes_span(&call->name));
		bytes_append_text(out, ",\"arguments\":");
		json_write_string(out, bytes_span(&call->arguments));
		bytes_append_text(out, "}}");
	}
	bytes_append_text(out, "]");
}

static void write_message(const struct answer *answer, struct bytes *out)
{
	bytes_append_text(out, "\"message\":{\"role\":\"assistant\",\"content\":");
	if (answer->content.len == 0 && answer->tool_count)
		bytes_append_text(out, "null");
	else
		json_write_string(out, bytes_span(&answer->content));
	bytes_append_text(out, ",\"refusal\":null");
	if (answer->reasoning.len) {
		bytes_append_text(out, ",\"reasoning_content\":");
		json_write_string(out, bytes_span(&answer->reasoning));
	}
	if (answer->tool_count)
		write_tool_calls(answer, out);
	bytes_append_text(out, "}");
}

static void close_whole(struct answer *answer, enum finish_reason reason)
{
	struct bytes *out = &answer->choice;
	bytes_printf(out, "{\"index\":%u,", answer->index);
	if (is_chat(answer)) {
		write_message(answer, out);
	} else {
		bytes_append_text(out, "\"text\":");
		json_write_string(out, bytes_span(&answer->content));
	}
	bytes_append_text(out, ",\"logprobs\":");
	write_logprobs(answer, out);
	bytes_printf(out, ",\"finish_reason\":\"%s\"}", finish_text(answer, reason));
	answer->failed |= !bytes_ok(out);
}

static void finish_whole(struct answer *const *answers, uint32_t count, struct bytes *out)
{
	write_head(answers[0], is_chat(answers[0]) ? "chat.completion" : "text_completion", out);
	bytes_append_text(out, ",\"choices\":[");
	for (uint32_t i = 0; i < count; i++) {
		bytes_append_text(out, i ? "," : "");
		bytes_append_span(out, bytes_span(&answers[i]->choice));
	}
	bytes_append_text(out, "],\"usage\":");
	write_usage(answers, count, out);
	bytes_append_text(out, "}");
}

void answer_close(struct answer *answer, enum finish_reason reason, struct bytes *out)
{
	bool streams = answer->generation->request.stream;
	answer->stream = streams ? out : NULL;
	if (answer->generation->chat)
		add_text(answer, (struct span){ 0 }, true);
	if (streams)
		close_stream(answer, reason, out);
	else
		close_whole(answer, reason);
	if (answer->failed)
		out->failed = true;
}

void answer_finish(struct answer *const *answers, uint32_t count, const struct generation_times *times,
                   struct bytes *out)
{
	if (answers[0]->generation->request.stream)
		finish_stream(answers, count, times, out);
	else
		finish_whole(answers, count, out);
	for (uint32_t i = 0; i < count; i++)
		out->failed |= answers[i]->failed;
}
