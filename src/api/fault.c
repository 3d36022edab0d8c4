/* Errors in OpenAI's shape. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/check.h"

const char *api_error_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 429:
		return "rate_limit_error";
	default:
		return status < 500 ? "invalid_request_error" : "server_error";
	}
}

enum error api_refuse(struct api_fault *fault, enum error error, const char *param, const char *format, ...)
{
	va_list arguments;
	fault->status = error == ERROR_MEMORY ? 503 : 400;
	fault->type = api_error_type(fault->status);
	fault->code = error == ERROR_UNSUPPORTED ? "unsupported_value"
	              : error == ERROR_MEMORY    ? "out_of_memory"
	                                         : "invalid_value";
	snprintf(fault->param, sizeof(fault->param), "%s", param);
	va_start(arguments, format);
	vsnprintf(fault->message, sizeof(fault->message), format, arguments);
	va_end(arguments);
	return error;
}

enum error api_take_string(const struct json *json, uint32_t node, struct arena *arena, struct span *out,
                           struct api_fault *fault)
{
	enum error error = node == JSON_NONE ? ERROR_SYNTAX : json_string(json, node, arena, out);
	return error == ERROR_MEMORY ? api_refuse(fault, ERROR_MEMORY, "", "Out of memory.") : error;
}

static void write_text_or_null(struct bytes *out, const char *text)
{
	if (text && *text)
		json_write_string(out, span_of(text));
	else
		bytes_append_text(out, "null");
}

void api_write_error(struct bytes *out, const struct api_fault *fault)
{
	bytes_append_text(out, "{\"error\":{\"message\":");
	json_write_string(out, span_of(fault->message));
	bytes_append_text(out, ",\"type\":");
	json_write_string(out, span_of(fault->type ? fault->type : api_error_type(fault->status)));
	bytes_append_text(out, ",\"param\":");
	write_text_or_null(out, fault->param);
	bytes_append_text(out, ",\"code\":");
	write_text_or_null(out, fault->code);
	bytes_append_text(out, "}}");
}

void api_write_error_text(struct bytes *out, const char *type, const char *code, const char *message)
{
	struct api_fault fault = { .type = type, .code = code };
	snprintf(fault.message, sizeof(fault.message), "%s", message);
	api_write_error(out, &fault);
}
