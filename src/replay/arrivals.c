#include "replay/arrivals.h"

#include <math.h>

/* Never 0: what takes its logarithm. */
static double open_unit(struct random *random)
{
	return 1.0 - random_unit(random);
}

static double draw_normal(struct random *random)
{
	return sqrt(-2 * log(open_unit(random))) * cos(6.283185307179586 * random_unit(random));
}

/* Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; for a shape below 1 their boost by a power of a uniform. */
static double draw_gamma(struct random *random, double shape)
{
	double boost = 1;
	if (shape < 1) {
		boost = pow(open_unit(random), 1 / shape);
		shape += 1;
	}
	const double d = shape - 1.0 / 3;
	const double c = 1 / sqrt(9 * d);
	for (;;) {
		const double x = draw_normal(random);
		const double v = (1 + c * x) * (1 + c * x) * (1 + c * x);
		if (v > 0 && log(open_unit(random)) < 0.5 * x * x + d - d * v + d * log(v))
			return d * v * boost;
	}
}

double arrivals_gap(struct random *random, enum arrivals_kind kind, double shape)
{
	switch (kind) {
	case ARRIVALS_POISSON:
		return -log(open_unit(random));
	case ARRIVALS_GAMMA:
		return draw_gamma(random, shape) / shape;
	case ARRIVALS_WEIBULL:
		return pow(-log(open_unit(random)), 1 / shape) / tgamma(1 + 1 / shape);
	case ARRIVALS_CONSTANT:
		break;
	}
	return 1;
}

double arrivals_gamma_shape(double variation)
{
	return 1 / (variation * variation);
}
