#include "policy/step_model.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define FORGETTING 0.998 /* a memory of some 500 steps */
#define OUTLIER_RATIO 4.0
#define OUTLIERS_BELIEVED 3 /* in a row: the engine has become slow */
#define OBSERVED_MIN 8      /* before that the guess is no measure of what is odd */
#define STEP_MAX_NS 3600e9
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
	return fmin(fmax(sum, 1), STEP_MAX_NS);
}

/* As good as nothing is known: the next steps weigh more than all before. */
static void open_covariance(struct step_model *model)
{
	memset(model->covariance, 0, sizeof(model->covariance));
	for (int i = 0; i < STEP_TERMS; i++) {
		double spread = guesses[i] * scales[i];
		model->covariance[i][i] = spread * spread;
	}
}

void step_model_init(struct step_model *model)
{
	memset(model, 0, sizeof(*model));
	memcpy(model->terms, guesses, sizeof(guesses));
	open_covariance(model);
}

int64_t step_model_predict_ns(const struct step_model *model, const struct step_size *size)
{
	double features[STEP_TERMS];
	features_of(size, features);
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
		double spread = guesses[i] * scales[i];
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
	features_of(size, features);
	double expected = predict(model, features);
	double took = fmin(fmax((double)took_ns, 1), STEP_MAX_NS);
	if (!is_believed(model, expected, &took))
		return;
	/* The noise of a step grows with its length. */
	double noise = 0.01 * expected * expected;
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
	bound_covariance(model);
	model->observed++;
}
