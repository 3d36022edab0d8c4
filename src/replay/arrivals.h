/* Gaps between requests, drawn: steady, Poisson, Gamma or Weibull, each with a mean of one. */
#ifndef PENSTOCK_REPLAY_ARRIVALS_H
#define PENSTOCK_REPLAY_ARRIVALS_H

#include "base/random.h"

enum arrivals_kind { ARRIVALS_CONSTANT, ARRIVALS_POISSON, ARRIVALS_GAMMA, ARRIVALS_WEIBULL };

/* A gap of mean 1. shape: of Gamma and Weibull, over 0. */
double arrivals_gap(struct random *random, enum arrivals_kind kind, double shape);
/* The shape of a Gamma distribution with this coefficient of variation. */
double arrivals_gamma_shape(double variation);

#endif
