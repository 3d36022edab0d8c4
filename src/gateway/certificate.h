/* The certificate of the public listeners. */
#ifndef PENSTOCK_GATEWAY_CERTIFICATE_H
#define PENSTOCK_GATEWAY_CERTIFICATE_H

#include "config/config.h"
#include "io/tls.h"

/* What `tls` in the config says; *out is the caller's reference, NULL where it says nothing. On error a sentence without a line end was
 * appended to *fault. Reads files: at the start, at a reload (which is how a renewed certificate comes into use) and in `penstock check`. */
enum error certificate_load(const struct config *config, struct tls_context **out, struct bytes *fault);

#endif
