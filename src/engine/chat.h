/* A C face for llama.cpp's chat templates (Jinja), tool calls and JSON schemas, which live in its C++ library llama-common.
 *
 * chat_render is safe from any thread; a struct chat_prompt belongs to one thread at a time. No exception leaves chat.cpp. */
#ifndef PENSTOCK_ENGINE_CHAT_H
#define PENSTOCK_ENGINE_CHAT_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct llama_model;
struct llama_sampler;
struct chat_templates;
struct chat_prompt;

/* override: Jinja source; empty = the model's own template. ERROR_MODEL with a sentence in *fault. */
enum error chat_templates_open(const struct llama_model *model, struct span override, struct chat_templates **out,
                               struct bytes *fault);
void chat_templates_close(struct chat_templates **templates);

/* Renders a checked OpenAI chat body: messages, tools, tool_choice, parallel_tool_calls, response_format, reasoning_effort.
 * ERROR_SYNTAX with a sentence for the client in *fault: the template or the schema refused it. */
enum error chat_render(struct chat_templates *templates, struct span body, struct chat_prompt **out,
                       struct bytes *fault);
void chat_prompt_free(struct chat_prompt **prompt);

/* The text to tokenise (special tokens parsed). Borrowed. */
struct span chat_prompt_text(const struct chat_prompt *prompt);
/* Stop strings that the format wants beside the request's; empty span past the last. */
struct span chat_prompt_stop(const struct chat_prompt *prompt, size_t index);
/* A sampler that holds the output to the schema or the tool format: owned by the caller; *out NULL when the request needs none. The latest compiled
 * ones are kept. ERROR_SYNTAX with a sentence when the grammar can't be built. Any thread. */
enum error chat_prompt_grammar(struct chat_templates *templates, const struct chat_prompt *prompt,
                               struct llama_sampler **out, struct bytes *fault);
/* Is this special token part of the format, so that its text must be kept for chat_parse? */
bool chat_prompt_keeps_token(const struct chat_prompt *prompt, int32_t token);
/* Must the output go through chat_parse? Otherwise it is plain content. */
bool chat_prompt_needs_parse(const struct chat_prompt *prompt);

enum chat_delta_kind { CHAT_DELTA_CONTENT, CHAT_DELTA_REASONING, CHAT_DELTA_TOOL };

/* A piece of the answer that is new since the last call; spans are borrowed for the call. */
struct chat_delta {
	enum chat_delta_kind kind;
	struct span text;    /* CONTENT, REASONING: the text; TOOL: more of the arguments */
	size_t tool_index;   /* TOOL */
	struct span tool_id; /* TOOL: with the first delta of a call, else empty */
	struct span tool_name;
};

/* Takes more output text; emits what it means so far. is_final: no more comes. ERROR_SYNTAX when the output broke its format: the rest
 * is then emitted as content. */
enum error chat_parse(struct chat_prompt *prompt, struct span added, bool is_final,
                      void (*emit)(void *owner, const struct chat_delta *delta), void *owner);

#ifdef __cplusplus
}
#endif

#endif
