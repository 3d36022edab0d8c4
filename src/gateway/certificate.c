#include "gateway/certificate.h"

enum error certificate_load(const struct config *config, struct tls_context **out, struct bytes *fault)
{
	const struct tls_server_settings settings = { .certificate = config->tls_certificate,
		                                          .key = config->tls_key,
		                                          .handshake_ns = config->limits_head_time };
	*out = NULL;
	enum error error = *config->tls_certificate ? tls_context_new_server(&settings, out, fault) : OK;
	if (error == ERROR_MEMORY)
		bytes_append_text(fault, error_text(error));
	return error;
}
