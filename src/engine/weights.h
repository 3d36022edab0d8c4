/* Faster weights for this machine. The packaged Q4_1 has no fast matrix kernels; requantized to Q8_0 the same model computes prompts twice as fast and
 * says the same, to Q4_0 two and a half times as fast, but for a small model noticeably worse (measured, docs/engine.md). Made once, at set-up; what
 * it costs in quality is measured on a text and told, never silent. */
#ifndef PENSTOCK_ENGINE_WEIGHTS_H
#define PENSTOCK_ENGINE_WEIGHTS_H

#include "base/bytes.h"
#include "base/error.h"

/* How near the two are, over the text of weights_text.c. */
struct weights_check {
	double perplexity_from; /* exp of the mean negative log-likelihood of each token after those before it, nats */
	double perplexity_to;
	double agreement; /* share of positions where both find the same token most likely, [0, 1] */
};

enum weights_kind { WEIGHTS_Q8_0, WEIGHTS_Q4_0 };

/* Writes `to` from the GGUF model `from`, whole or not at all, when perplexity rises by at most rise_max (a share; INFINITY: whatever it costs);
 * *check is filled as far as it came. ERROR_MODEL with a sentence in *fault: `from` can't be read, or the result is too far from it. ERROR_IO and
 * the like: `to` can't be written. Takes seconds. */
enum error weights_make(const char *from, const char *to, enum weights_kind kind, double rise_max,
                        struct weights_check *check, struct bytes *fault);

#endif
