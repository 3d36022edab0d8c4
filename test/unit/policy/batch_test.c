/* What goes into a step: decodes first, prompts by deadline in whole chunks, never over budget or width, and nobody left behind. */
#include "policy/batch.h"

#include "base/macros.h"
#include "base/random.h"
#include "unit.h"

#define MS 1000000

/* 5 ms and 1 ms for each token of either kind; cells cost nothing. */
static struct step_model plain_model(void)
{
	struct step_model model;
	step_model_init(&model);
	const double terms[STEP_TERMS] = { 5 * MS, 1 * MS, 1 * MS, 0 };
	for (int i = 0; i < STEP_TERMS; i++)
		model.terms[i] = terms[i];
	return model;
}

static const struct batch_limits limits = { .tokens_max = 2048, .chunk_tokens = 64, .budget_ns = 150 * MS };

START_TEST(every_decode_comes_first)
{
	const struct step_model model = plain_model();
	struct batch_sequence sequences[] = {
		{ .prefill_left = 500, .deadline_ns = 1, .arrival = 1 },
		{ .context_tokens = 100, .deadline_ns = 9, .arrival = 2 },
		{ .context_tokens = 50, .deadline_ns = 8, .arrival = 3 },
	};
	struct step_size size = batch_plan(sequences, 3, &limits, &model);
	ck_assert_uint_eq(size.decode_sequences, 2);
	ck_assert_uint_eq(sequences[1].tokens, 1);
	ck_assert_uint_eq(sequences[2].tokens, 1);
	/* 5 + 2 + 128 = 135 ms fit into 150, a third chunk does not. */
	ck_assert_uint_eq(sequences[0].tokens, 128);
	ck_assert_uint_eq(size.prefill_tokens, 128);
	ck_assert_uint_eq(size.context_cells, 150);
}
END_TEST

START_TEST(alone_a_prompt_has_the_full_width)
{
	const struct step_model model = plain_model();
	struct batch_sequence sequences[] = {
		{ .prefill_left = 1500, .deadline_ns = 5, .arrival = 1 },
		{ .prefill_left = 1500, .deadline_ns = 3, .arrival = 2 },
	};
	struct step_size size = batch_plan(sequences, 2, &limits, &model);
	ck_assert_uint_eq(size.prefill_tokens, 2048);
	ck_assert_uint_eq(sequences[1].tokens, 1500);
	ck_assert_uint_eq(sequences[0].tokens, 548);
	ck_assert_uint_eq(batch_plan(sequences, 0, &limits, &model).prefill_tokens, 0);
}
END_TEST

START_TEST(a_prompt_always_moves_by_one_chunk)
{
	const struct step_model model = plain_model();
	struct batch_sequence sequences[200] = { 0 };
	for (uint32_t i = 0; i < COUNT_OF(sequences); i++)
		sequences[i] = (struct batch_sequence){ .context_tokens = 1, .arrival = i };
	sequences[7].prefill_left = 300;
	sequences[8].prefill_left = 20;
	/* 198 decodes alone are over the budget. */
	struct step_size size = batch_plan(sequences, COUNT_OF(sequences), &limits, &model);
	ck_assert_uint_eq(size.decode_sequences, 198);
	ck_assert_uint_eq(sequences[7].tokens, 64);
	ck_assert_uint_eq(sequences[8].tokens, 0);
}
END_TEST

START_TEST(deadlines_then_arrivals_decide)
{
	const struct step_model model = plain_model();
	struct batch_sequence sequences[] = {
		{ .context_tokens = 10, .arrival = 0 },
		{ .prefill_left = 64, .deadline_ns = 7, .arrival = 3 },
		{ .prefill_left = 64, .deadline_ns = 7, .arrival = 2 },
		{ .prefill_left = 64, .deadline_ns = 6, .arrival = 9 },
	};
	batch_plan(sequences, 4, &limits, &model);
	ck_assert_uint_eq(sequences[3].tokens, 64);
	ck_assert_uint_eq(sequences[2].tokens, 64);
	ck_assert_uint_eq(sequences[1].tokens, 0);
}
END_TEST

START_TEST(a_chunk_is_not_cut_by_the_width)
{
	const struct step_model model = plain_model();
	struct batch_limits narrow = { .tokens_max = 110, .chunk_tokens = 64, .budget_ns = 1000 * MS };
	struct batch_sequence sequences[12] = { { .prefill_left = 500 }, { .prefill_left = 20, .deadline_ns = 1 } };
	for (uint32_t i = 2; i < COUNT_OF(sequences); i++)
		sequences[i].context_tokens = 5;
	struct step_size size = batch_plan(sequences, COUNT_OF(sequences), &narrow, &model);
	/* 10 decodes and 64 leave 36: no whole chunk of the first, but all of the second. */
	ck_assert_uint_eq(size.decode_sequences, 10);
	ck_assert_uint_eq(sequences[0].tokens, 64);
	ck_assert_uint_eq(sequences[1].tokens, 20);
	narrow.tokens_max = 30;
	batch_plan(sequences, COUNT_OF(sequences), &narrow, &model);
	ck_assert_uint_eq(sequences[0].tokens, 20);
	narrow.chunk_tokens = 0; /* ends, too */
	ck_assert_uint_gt(batch_plan(sequences, COUNT_OF(sequences), &narrow, &model).prefill_tokens, 0);
}
END_TEST

static void rules_hold(const struct batch_sequence *sequences, uint32_t count, const struct step_size *size,
                       const struct batch_limits *bounds, const struct step_model *model)
{
	uint32_t total = 0;
	uint32_t prompts_moved = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct batch_sequence *sequence = &sequences[i];
		total += sequence->tokens;
		if (sequence->prefill_left == 0) {
			ck_assert_uint_eq(sequence->tokens, 1);
			continue;
		}
		prompts_moved += sequence->tokens > 0;
		ck_assert_uint_le(sequence->tokens, sequence->prefill_left);
		bool is_whole = sequence->tokens % bounds->chunk_tokens == 0 || sequence->tokens == sequence->prefill_left;
		ck_assert(is_whole || size->decode_sequences == 0);
	}
	ck_assert_uint_eq(total, size->prefill_tokens + size->decode_sequences);
	ck_assert_uint_le(total, bounds->tokens_max);
	ck_assert(count == 0 || total > 0);
	/* Over the budget only where nothing decodes, or by one chunk that had to move. */
	if (size->decode_sequences && (prompts_moved > 1 || size->prefill_tokens > bounds->chunk_tokens))
		ck_assert_int_le(step_model_predict_ns(model, size), bounds->budget_ns);
}

START_TEST(rules_hold_for_random_loads)
{
	const struct step_model model = plain_model();
	struct random random;
	random_seed(&random, 11);
	for (int round = 0; round < 5000; round++) {
		struct batch_sequence sequences[40];
		uint32_t count = (uint32_t)random_below(&random, COUNT_OF(sequences) + 1);
		struct batch_limits bounds = { 128 + (uint32_t)random_below(&random, 2000), 64,
			                           (int64_t)random_below(&random, 400 * MS) };
		for (uint32_t i = 0; i < count; i++)
			sequences[i] = (struct batch_sequence){
				.prefill_left = (uint32_t)(random_below(&random, 2) * random_below(&random, 3000)),
				.context_tokens = (uint32_t)random_below(&random, 4000),
				.deadline_ns = (int64_t)random_below(&random, 5),
				.arrival = i,
			};
		struct step_size size = batch_plan(sequences, count, &bounds, &model);
		rules_hold(sequences, count, &size, &bounds, &model);
	}
}
END_TEST

/* 30 places that are refilled whenever one is done, prompts of all sizes: each must be through within a bound that only its work gives. */
START_TEST(nobody_starves_in_a_loop)
{
	const struct step_model model = plain_model();
	struct random random;
	random_seed(&random, 12);
	struct batch_sequence sequences[30] = { 0 };
	uint32_t decode_left[30] = { 0 };
	int64_t began[30] = { 0 };
	uint64_t arrivals = 0;
	int64_t longest = 0;
	for (int64_t step = 0; step < 20000; step++) {
		for (uint32_t i = 0; i < COUNT_OF(sequences); i++) {
			if (sequences[i].prefill_left || decode_left[i])
				continue;
			sequences[i] = (struct batch_sequence){ .prefill_left = 1 + (uint32_t)random_below(&random, 1000),
				                                    .deadline_ns = step + (int64_t)random_below(&random, 200),
				                                    .arrival = arrivals++ };
			decode_left[i] = 1 + (uint32_t)random_below(&random, 100);
			began[i] = step;
		}
		batch_plan(sequences, COUNT_OF(sequences), &limits, &model);
		for (uint32_t i = 0; i < COUNT_OF(sequences); i++) {
			uint32_t tokens = sequences[i].tokens;
			sequences[i].context_tokens += tokens;
			if (sequences[i].prefill_left)
				sequences[i].prefill_left -= tokens;
			else
				decode_left[i] -= tokens;
			if (sequences[i].prefill_left == 0 && decode_left[i] == 0)
				longest = max_ll(longest, step - began[i]);
		}
	}
	ck_assert_uint_gt(arrivals, 1000);
	/* 30 prompts of 1,000 in chunks of 64 are 480 steps, and 100 decodes; deadlines reach 200 steps ahead. */
	ck_assert_int_lt(longest, 800);
}
END_TEST

UNIT_MAIN("policy/batch", every_decode_comes_first, alone_a_prompt_has_the_full_width,
          a_prompt_always_moves_by_one_chunk, deadlines_then_arrivals_decide, a_chunk_is_not_cut_by_the_width,
          rules_hold_for_random_loads, nobody_starves_in_a_loop)
