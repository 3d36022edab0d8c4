#include "policy/step_model.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define FORGETTING 0.998 /* a memory of some 500 steps */
#define OUTLIER_RATIO 4.0
#define OUTLIERS_BELIEVED 3 /* in a row: the engine has become slow */
#define OBSERVED_MIN 8      /* before that the guess is no measure of what is odd */
#define USUAL_WEIGHT 0.05
#define STEP_MAX_NS 3600e9
#define LENGTH_MIN_NS 100e3
/* The scale of each feature, so that one initial covariance suits all. */
static const double scales_of[STEP_LANES][STEP_TERMS] = { { 1, 64, 64, 65536 }, { 1, 4, 4, 4096 } };
/* A small model on one slow core; gone after a dozen steps. */
static const double guesses_of[STEP_LANES][STEP_TERMS] = { { 20e6, 2e6, 1e6, 1e3 }, { 5e6, 4e6, 2e6, 4e3 } };

static void features_of(const struct step_model *model, const struct step_size *size, double features[STEP_TERMS])
{
	const double *scales = scales_of[model->lane];
	features[STEP_FIXED] = 1;
	features[STEP_TOKEN] = size->tokens;
	features[STEP_BESIDE] = size->beside;
	features[STEP_CONTEXT] = (double)size->context_cells;
	for (int i = 0; i < STEP_TERMS; i++)
		features[i] /= scales[i];
}

void step_model_terms(const struct step_model *model, double out[STEP_TERMS])
{
	double wanted = 0;
	double left = 0;
	for (int i = 0; i < STEP_TERMS; i++) {
		out[i] = fmax(model->terms[i], 0);
		wanted += model->terms[i] * scales_of[model->lane][i] * model->usual[i];
		left += out[i] * scales_of[model->lane][i] * model->usual[i];
	}
	if (left <= wanted || left <= 0)
		return;
	/* What the negative ones took off the usual step comes off the fixed term, as far as it reaches, then off all. */
	double off = fmin(left - wanted, out[STEP_FIXED]);
	out[STEP_FIXED] -= off;
	left -= off;
	/* Nothing may be left then, where they took off more than there was. */
	for (int i = 0; i < STEP_TERMS && left > fmax(wanted, 0); i++)
		out[i] *= fmax(wanted, 0) / left;
}

static double predict(const struct step_model *model, const double features[STEP_TERMS])
{
	double terms[STEP_TERMS];
	double sum = 0;
	step_model_terms(model, terms);
	for (int i = 0; i < STEP_TERMS; i++)
		sum += terms[i] * scales_of[model->lane][i] * features[i];
	return fmin(fmax(sum, 1), STEP_MAX_NS);
}

/* As good as nothing is known: the next steps weigh more than all before. */
static void open_covariance(struct step_model *model)
{
	memset(model->covariance, 0, sizeof(model->covariance));
	for (int i = 0; i < STEP_TERMS; i++) {
		double spread = guesses_of[model->lane][i] * scales_of[model->lane][i];
		model->covariance[i][i] = spread * spread;
	}
}

void step_model_init(struct step_model *model, enum step_lane lane)
{
	memset(model, 0, sizeof(*model));
	model->lane = lane;
	memcpy(model->terms, guesses_of[lane], sizeof(model->terms));
	open_covariance(model);
}

int64_t step_model_predict_ns(const struct step_model *model, const struct step_size *size)
{
	double features[STEP_TERMS];
	features_of(model, size, features);
	return (int64_t)predict(model, features);
}

/* What a step of this length teaches: itself, four times the expected one, or nothing (false). */
static bool is_believed(struct step_model *model, double expected, double *took)
{
	if (model->observed < OBSERVED_MIN || *took <= OUTLIER_RATIO * expected) {
		model->outliers = 0;
		return true;
	}
	*took = OUTLIER_RATIO * expected;
	if (++model->outliers < OUTLIERS_BELIEVED)
		return false;
	open_covariance(model);
	return true;
}

/* Directions that the load never shows must not blow up under forgetting. The whole row and column shrink, not the variance alone:
 * the matrix stays positive definite. */
static void bound_covariance(struct step_model *model)
{
	double shrink[STEP_TERMS];
	for (int i = 0; i < STEP_TERMS; i++) {
		double spread = guesses_of[model->lane][i] * scales_of[model->lane][i];
		double variance = model->covariance[i][i];
		shrink[i] = variance > spread * spread ? spread / sqrt(variance) : 1;
	}
	for (int i = 0; i < STEP_TERMS; i++)
		for (int j = 0; j < STEP_TERMS; j++)
			model->covariance[i][j] *= shrink[i] * shrink[j];
}

void step_model_observe(struct step_model *model, const struct step_size *size, int64_t took_ns)
{
	double features[STEP_TERMS];
	double gain[STEP_TERMS];
	const double *scales = scales_of[model->lane];
	features_of(model, size, features);
	double expected = predict(model, features);
	double took = fmin(fmax((double)took_ns, 1), STEP_MAX_NS);
	if (!is_believed(model, expected, &took))
		return;
	for (int i = 0; i < STEP_TERMS; i++)
		model->usual[i] += (model->observed ? USUAL_WEIGHT : 1) * (features[i] - model->usual[i]);
	/* The noise of a step grows with its length; there is always some, or rounding would decide. */
	double length = fmax(expected, LENGTH_MIN_NS);
	double noise = 0.01 * length * length;
	double denominator = FORGETTING * noise;
	double residual = took;
	for (int i = 0; i < STEP_TERMS; i++) {
		gain[i] = 0;
		for (int j = 0; j < STEP_TERMS; j++)
			gain[i] += model->covariance[i][j] * features[j];
		denominator += gain[i] * features[i];
		residual -= model->terms[i] * scales[i] * features[i];
	}
	for (int i = 0; i < STEP_TERMS; i++)
		model->terms[i] += gain[i] / denominator * residual / scales[i];
	for (int i = 0; i < STEP_TERMS; i++)
		for (int j = 0; j <= i; j++) {
			double left = (model->covariance[i][j] - gain[i] * gain[j] / denominator) / FORGETTING;
			model->covariance[i][j] = left;
			model->covariance[j][i] = left; /* rounding must not make it lopsided */
		}
	/* Rounding under absurd sizes: what is no covariance any more is forgotten. */
	for (int i = 0; i < STEP_TERMS; i++) {
		if (!(model->covariance[i][i] > 0))
			open_covariance(model);
	}
	bound_covariance(model);
	model->observed++;
}
