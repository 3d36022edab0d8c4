#include "policy/opaque.h"

#include <math.h>

#include "base/macros.h"

#define LIMIT_START 32.0
#define LIMIT_MIN 4.0
#define SMOOTHING 0.2
#define GRADIENT_MIN 0.5
/* A first token may take twice what it takes alone before fewer are sent. */
#define TOLERANCE 2.0
/* Up to this share of the limit counts as little in flight; and this many requests always. */
#define UNLOADED_SHARE 0.25
#define UNLOADED_MIN 2
/* No growth while fewer than this share of it is used: nothing is learned of what was not tried. */
#define USED_SHARE 0.5
#define KNOWN 8
#define REFUSED_FACTOR 0.9
#define GAP_WEIGHT 0.05
/* First guesses, of an engine that nobody has asked yet: 50 ms, and 100,000 prompt tokens a second; others in front cost nothing. */
#define BASE_NS 50e6
#define TOKEN_NS 10e3
#define GAP_NS 20e6

static void init_model(struct step_model *model)
{
	step_model_init(model, STEP_PROMPTS);
	for (int i = 0; i < STEP_TERMS; i++)
		model->terms[i] = 0;
	model->terms[STEP_FIXED] = BASE_NS;
	model->terms[STEP_TOKEN] = TOKEN_NS;
}

void opaque_init(struct opaque *opaque, uint32_t concurrency)
{
	*opaque = (struct opaque){ .limit = concurrency ? concurrency : LIMIT_START, .is_fixed = concurrency != 0 };
	init_model(&opaque->first_token);
	init_model(&opaque->unloaded);
}

static struct step_size work_of(uint32_t tokens, uint64_t ahead)
{
	return (struct step_size){ .tokens = tokens, .beside = (uint32_t)min_ll((long long)ahead, UINT32_MAX) };
}

static void adapt(struct opaque *opaque, const struct step_size *own, uint32_t in_flight, int64_t took_ns)
{
	if (opaque->is_fixed || opaque->unloaded.observed < KNOWN)
		return;
	double unloaded_ns = (double)step_model_predict_ns(&opaque->unloaded, own);
	double gradient = fmin(fmax(TOLERANCE * unloaded_ns / (double)took_ns, GRADIENT_MIN), 1);
	if (gradient >= 1 && in_flight < opaque->limit * USED_SHARE)
		return;
	/* Each request of a round of `limit` brings its part of the change. */
	double change = opaque->limit * gradient + sqrt(opaque->limit) - opaque->limit;
	double part = change > 0 ? SMOOTHING : SMOOTHING / fmax(opaque->limit / 4, 1);
	opaque->limit = fmin(fmax(opaque->limit + part * change, LIMIT_MIN), OPAQUE_LEARNED_MAX);
}

void opaque_first_token(struct opaque *opaque, uint32_t prompt_tokens, uint64_t ahead_tokens, uint32_t in_flight,
                        int64_t took_ns)
{
	const struct step_size own = work_of(prompt_tokens, 0);
	const struct step_size all = work_of(prompt_tokens, ahead_tokens);
	took_ns = max_ll(took_ns, 1);
	step_model_observe(&opaque->first_token, &all, took_ns);
	if (in_flight <= UNLOADED_MIN || in_flight <= opaque->limit * UNLOADED_SHARE)
		step_model_observe(&opaque->unloaded, &own, took_ns);
	adapt(opaque, &own, in_flight, took_ns);
}

void opaque_tokens(struct opaque *opaque, uint32_t tokens, int64_t took_ns)
{
	if (tokens == 0 || took_ns <= 0)
		return;
	double gap_ns = (double)took_ns / tokens;
	opaque->token_gap_ns += (opaque->token_gap_ns > 0 ? GAP_WEIGHT : 1) * (gap_ns - opaque->token_gap_ns);
}

void opaque_refused(struct opaque *opaque, uint32_t in_flight)
{
	if (!opaque->is_fixed)
		opaque->limit = fmax(fmin(opaque->limit, in_flight) * REFUSED_FACTOR, LIMIT_MIN);
}

uint32_t opaque_limit(const struct opaque *opaque)
{
	return (uint32_t)fmin(fmax(opaque->limit, 1), OPAQUE_LIMIT_MAX);
}

struct predict_rates opaque_rates(const struct opaque *opaque)
{
	double terms[STEP_TERMS];
	step_model_terms(&opaque->first_token, terms);
	const struct predict_rates rates = {
		.base_ns = (int64_t)fmin(terms[STEP_FIXED], 1e13),
		.prefill_ns = (int64_t)fmin(terms[STEP_TOKEN], 1e13),
		.fixed_ns = (int64_t)fmin(opaque->token_gap_ns > 0 ? opaque->token_gap_ns : GAP_NS, 1e13),
	};
	return predict_rates_bounded(&rates);
}

uint32_t opaque_ahead_permille(const struct opaque *opaque)
{
	double terms[STEP_TERMS];
	step_model_terms(&opaque->first_token, terms);
	if (terms[STEP_BESIDE] <= 0)
		return 0;
	return terms[STEP_BESIDE] >= terms[STEP_TOKEN] ? 1000 : (uint32_t)(1000 * terms[STEP_BESIDE] / terms[STEP_TOKEN]);
}

bool opaque_is_known(const struct opaque *opaque)
{
	return opaque->first_token.observed >= KNOWN;
}
