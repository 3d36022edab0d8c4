/* Called by the engine (prompts.c, streams.c) and by the world of the tests in virtual time. */
#include "policy/batch.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/macros.h"

/* What part of the time until it is wanted counts. */
#define PATIENCE_MAX_NS (16 * NS_PER_S)
/* Steps after which a model is believed. */
#define KNOWN_MIN 20
#define SHRINK 0.9
#define GROW 1.05
#define SLACK 0.7

static int64_t compute_ns(const struct batch_prompt *prompt, const struct step_model *model)
{
	struct step_size size = { .tokens = prompt->left,
		                      .context_cells = step_prompt_cells(prompt->left, prompt->context_tokens) };
	return step_model_predict_ns(model, &size);
}

static int64_t key_of(const struct batch_prompt *prompt, const struct step_model *model)
{
	int64_t length_ns = compute_ns(prompt, model);
	int64_t patience_ns = min_ll(prompt->deadline_ns - prompt->arrived_ns, PATIENCE_MAX_NS);
	int64_t fair_ns = prompt->arrived_ns + BATCH_PASSED * length_ns + max_ll(patience_ns, 0) / 4;
	return min_ll(fair_ns, prompt->deadline_ns - length_ns);
}

struct step_size batch_plan(struct batch_prompt *prompts, uint32_t count, uint32_t tokens_max,
                            const struct step_model *model)
{
	struct step_size size = { 0 };
	uint32_t order = 0;
	for (uint32_t i = 0; i < count; i++)
		prompts[i].tokens = 0;
	while (size.tokens < tokens_max) {
		struct batch_prompt *next = NULL;
		int64_t next_ns = 0;
		for (uint32_t i = 0; i < count; i++) {
			struct batch_prompt *prompt = &prompts[i];
			if (prompt->tokens || prompt->left == 0)
				continue;
			int64_t key_ns = key_of(prompt, model);
			if (next && (key_ns > next_ns || (key_ns == next_ns && prompt->arrival > next->arrival)))
				continue;
			next = prompt;
			next_ns = key_ns;
		}
		if (!next)
			break;
		uint32_t room = tokens_max - size.tokens;
		/* Others end in this step: they don't wait for part of one that does not. */
		if (size.tokens && next->left > room)
			room = size.tokens < BATCH_WIDE ? (uint32_t)min_ll(room, BATCH_WIDE - size.tokens) : 0;
		if (room == 0)
			break;
		next->tokens = (uint32_t)min_ll(next->left, room);
		next->order = order++;
		size.tokens += next->tokens;
		size.context_cells += step_prompt_cells(next->tokens, next->context_tokens);
	}
	return size;
}

bool batch_is_in_time(const struct batch_prompt *prompt, int64_t now_ns, const struct step_model *model)
{
	if (model->observed < KNOWN_MIN)
		return true;
	return prompt->deadline_ns == NS_NEVER || now_ns + compute_ns(prompt, model) <= prompt->deadline_ns;
}

void batch_share_init(struct batch_share *share)
{
	share->share = 1;
}

void batch_share_observe(struct batch_share *share, int64_t gap_ns, int64_t bound_ns)
{
	if (gap_ns > bound_ns)
		share->share *= SHRINK;
	else if ((double)gap_ns < SLACK * (double)bound_ns)
		share->share *= GROW;
	if (share->share > 1)
		share->share = 1;
	if (share->share < BATCH_SHARE_MIN)
		share->share = BATCH_SHARE_MIN;
}
