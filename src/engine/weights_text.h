/* A text of several kinds (prose, dialogue, instructions, numbers, code) that two sets of weights are compared on. Ours. */
#ifndef PENSTOCK_ENGINE_WEIGHTS_TEXT_H
#define PENSTOCK_ENGINE_WEIGHTS_TEXT_H

extern const char weights_text[];

#endif
