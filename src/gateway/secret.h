/* The secret under which API keys are hashed: 32 random bytes in the state folder, made at the first use. */
#ifndef PENSTOCK_GATEWAY_SECRET_H
#define PENSTOCK_GATEWAY_SECRET_H

#include "base/bytes.h"
#include "base/error.h"

/* Appends the secret of that state folder to *out, making folder and secret where they don't exist. On error *fault holds a sentence. */
enum error secret_load(const char *state_folder, struct bytes *out, struct bytes *fault);

#endif
