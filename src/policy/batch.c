#include "policy/batch.h"

#include <stddef.h>

static bool goes_before(const struct batch_sequence *a, const struct batch_sequence *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->arrival < b->arrival;
}

/* The next prompt in order that has no tokens yet; NULL when all have. */
static struct batch_sequence *next_prompt(struct batch_sequence *sequences, uint32_t count)
{
	struct batch_sequence *next = NULL;
	for (uint32_t i = 0; i < count; i++) {
		struct batch_sequence *sequence = &sequences[i];
		bool is_waiting = sequence->prefill_left > 0 && sequence->tokens == 0;
		if (is_waiting && (!next || goes_before(sequence, next)))
			next = sequence;
	}
	return next;
}

static struct step_size plan_decodes(struct batch_sequence *sequences, uint32_t count,
                                     const struct batch_limits *limits)
{
	struct step_size size = { 0 };
	for (uint32_t i = 0; i < count; i++) {
		sequences[i].tokens = 0;
		if (sequences[i].prefill_left || size.decode_sequences == limits->tokens_max)
			continue;
		sequences[i].tokens = 1;
		size.decode_sequences++;
		size.context_cells += sequences[i].context_tokens;
	}
	return size;
}

/* How many tokens of this prompt still fit: all that the step takes when nothing decodes, else whole chunks inside the budget. */
static uint32_t fitting_tokens(const struct step_size *size, const struct batch_sequence *sequence,
                               const struct batch_limits *limits, const struct step_model *model)
{
	uint32_t room = limits->tokens_max - size->decode_sequences - size->prefill_tokens;
	uint32_t wanted = sequence->prefill_left < room ? sequence->prefill_left : room;
	if (size->decode_sequences == 0)
		return wanted;
	uint32_t chunk = limits->chunk_tokens ? limits->chunk_tokens : 1;
	uint32_t fits = 0;
	while (fits < wanted) {
		uint32_t step = wanted - fits < chunk ? wanted - fits : chunk;
		struct step_size larger = *size;
		larger.prefill_tokens += fits + step;
		larger.context_cells += sequence->context_tokens;
		bool is_first = size->prefill_tokens + fits == 0; /* prompts always move: one chunk a step */
		bool is_cut = step < chunk && fits + step < sequence->prefill_left;
		if (!is_first && (is_cut || step_model_predict_ns(model, &larger) > limits->budget_ns))
			break;
		fits += step;
	}
	return fits;
}

struct step_size batch_plan(struct batch_sequence *sequences, uint32_t count, const struct batch_limits *limits,
                            const struct step_model *model)
{
	struct step_size size = plan_decodes(sequences, count, limits);
	for (;;) {
		struct batch_sequence *prompt = next_prompt(sequences, count);
		if (!prompt)
			return size;
		uint32_t tokens = fitting_tokens(&size, prompt, limits, model);
		if (tokens == 0)
			return size;
		prompt->tokens = tokens;
		size.prefill_tokens += tokens;
		size.context_cells += prompt->context_tokens;
	}
}
