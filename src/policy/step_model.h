/* What one step of a lane costs, learned while it runs: the engine plans with it, the gateway predicts waits with it, the planner
 * simulates with it. Pure: no clock, no I/O.
 *
 *   step_ns = fixed + token * (prompt tokens, or streams that decode) + beside * (those of them computed while the other lane worked)
 *           + context * (cells attended to: for each token those before it)
 *
 * One model a lane: a prompt's token costs half of a stream's, and attention in wide chunks a quarter (measured, docs/engine.md). A chunk below 64
 * tokens takes another path through the kernels and costs more a token; `fixed` carries that within a tenth.
 *
 * Fitted by recursive least squares with forgetting (Ljung, System Identification, 1999, ch. 11). A step that took over four times the
 * prediction teaches nothing, so that a paused machine does not bend the model; the third such in a row is believed (as four times), and what
 * was known before then weighs nothing: the engine has become slow. */
#ifndef PENSTOCK_POLICY_STEP_MODEL_H
#define PENSTOCK_POLICY_STEP_MODEL_H

#include <stdint.h>

enum step_term { STEP_FIXED, STEP_TOKEN, STEP_BESIDE, STEP_CONTEXT, STEP_TERMS };

struct step_size {
	uint32_t tokens;        /* prompt tokens, or streams that decode */
	uint32_t beside;        /* of them, those computed while the other lane worked */
	uint64_t context_cells; /* summed over the tokens: those before each */
};

enum step_lane { STEP_PROMPTS, STEP_STREAMS, STEP_LANES };

struct step_model {
	enum step_lane lane;
	double terms[STEP_TERMS]; /* ns: enum step_term; as fitted, perhaps below 0: see step_model_terms */
	double usual[STEP_TERMS]; /* features of the usual step, scaled */
	double covariance[STEP_TERMS][STEP_TERMS];
	uint64_t observed; /* steps learned from */
	uint32_t outliers; /* the last ones in a row */
};

/* Cells that `tokens` tokens of a prompt attend to behind `before` others. */
static inline uint64_t step_prompt_cells(uint32_t tokens, uint32_t before)
{
	return (uint64_t)tokens * before + (uint64_t)tokens * tokens / 2;
}

/* Starts from a guess (ns) that the first steps soon outweigh. */
void step_model_init(struct step_model *model, enum step_lane lane);
/* Learns from one step; took_ns within [1, an hour], others count as the nearer end. */
void step_model_observe(struct step_model *model, const struct step_size *size, int64_t took_ns);
/* The terms as they are used, each >= 0: no step gets cheaper by doing more. Terms that always move together are fitted one too high and one too low;
 * what the latter takes off the usual step is taken off the fixed term instead, so that the prediction for that step stays. */
void step_model_terms(const struct step_model *model, double out[STEP_TERMS]);
/* Predicted duration, ns: 1 to an hour. */
int64_t step_model_predict_ns(const struct step_model *model, const struct step_size *size);

#endif
