#include "policy/step_model.h"

#include <string.h>

#define FORGETTING 0.998 /* a memory of some 500 steps */
#define OUTLIER_RATIO 4.0
/* The scale of each feature, so that one initial covariance suits all. */
static const double scales[STEP_TERMS] = { 1, 64, 4, 4096 };
/* A small model on one slow core; gone after a dozen steps. */
static const double guesses[STEP_TERMS] = { 5e6, 1.5e6, 2e6, 500 };

static void features_of(const struct step_size *size, double features[STEP_TERMS])
{
	features[0] = 1;
	features[1] = size->prefill_tokens;
	features[2] = size->decode_sequences;
	features[3] = size->context_cells;
	for (int i = 0; i < STEP_TERMS; i++)
		features[i] /= scales[i];
}

static double predict(const struct step_model *model, const double features[STEP_TERMS])
{
	double sum = 0;
	for (int i = 0; i < STEP_TERMS; i++) {
		double term = model->terms[i] > 0 ? model->terms[i] : 0;
		sum += term * scales[i] * features[i];
	}
	return sum > 1 ? sum : 1;
}

void step_model_init(struct step_model *model)
{
	memset(model, 0, sizeof(*model));
	for (int i = 0; i < STEP_TERMS; i++) {
		double spread = guesses[i] * scales[i];
		model->terms[i] = guesses[i];
		model->covariance[i][i] = spread * spread;
	}
}

int64_t step_model_predict_ns(const struct step_model *model, const struct step_size *size)
{
	double features[STEP_TERMS];
	features_of(size, features);
	return (int64_t)predict(model, features);
}

void step_model_observe(struct step_model *model, const struct step_size *size, int64_t took_ns)
{
	double features[STEP_TERMS];
	double gain[STEP_TERMS];
	features_of(size, features);
	double expected = predict(model, features);
	double took = (double)took_ns;
	if (model->observed > 8 && took > OUTLIER_RATIO * expected)
		took = OUTLIER_RATIO * expected;
	/* The noise of a step grows with its length. */
	double noise = 0.01 * expected * expected;
	double denominator = FORGETTING * noise;
	for (int i = 0; i < STEP_TERMS; i++) {
		gain[i] = 0;
		for (int j = 0; j < STEP_TERMS; j++)
			gain[i] += model->covariance[i][j] * features[j];
		denominator += gain[i] * features[i];
	}
	double residual = took;
	for (int i = 0; i < STEP_TERMS; i++)
		residual -= model->terms[i] * scales[i] * features[i];
	for (int i = 0; i < STEP_TERMS; i++)
		model->terms[i] += gain[i] / denominator * residual / scales[i];
	for (int i = 0; i < STEP_TERMS; i++) {
		double spread = guesses[i] * scales[i];
		for (int j = 0; j < STEP_TERMS; j++)
			model->covariance[i][j] = (model->covariance[i][j] - gain[i] * gain[j] / denominator) / FORGETTING;
		/* Directions that the load never shows must not blow up under forgetting. */
		if (model->covariance[i][i] > spread * spread)
			model->covariance[i][i] = spread * spread;
	}
	model->observed++;
}
