/* What one engine step costs, learned while it runs: the engine plans with it, the gateway predicts waits with it, the planner
 * simulates with it. Pure: no clock, no I/O.
 *
 *   step_ns = fixed + prefill * (prompt tokens in the step) + decode * (sequences decoding) + context * (cells those sequences attend to)
 *
 * Fitted by recursive least squares with forgetting (Ljung, System Identification, 1999, ch. 11). A step that took over four times the
 * prediction teaches nothing, so that a paused machine does not bend the model; the third such in a row is believed (as four times), and what
 * was known before then weighs nothing: the engine has become slow. */
#ifndef PENSTOCK_POLICY_STEP_MODEL_H
#define PENSTOCK_POLICY_STEP_MODEL_H

#include <stdint.h>

#define STEP_TERMS 4

struct step_size {
	uint32_t prefill_tokens;
	uint32_t decode_sequences;
	uint32_t context_cells; /* summed over the sequences in the step */
};

struct step_model {
	double terms
		[STEP_TERMS]; /* ns: fixed, per prefill token, per decoding sequence, per context cell; each >= 0 in predictions */
	double covariance[STEP_TERMS][STEP_TERMS];
	uint64_t observed; /* steps learned from */
	uint32_t outliers; /* the last ones in a row */
};

/* Starts from a guess (ns) that the first steps soon outweigh. */
void step_model_init(struct step_model *model);
/* Learns from one step; took_ns within [1, an hour], others count as the nearer end. */
void step_model_observe(struct step_model *model, const struct step_size *size, int64_t took_ns);
/* Predicted duration, ns: 1 to an hour. */
int64_t step_model_predict_ns(const struct step_model *model, const struct step_size *size);

#endif
