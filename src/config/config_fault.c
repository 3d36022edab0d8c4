/* See config_fault.h. A text of the file may stand in a fault, so control bytes are shown as '?': a terminal obeys them. */
#include "config/config_fault.h"

void config_fault(struct config_faults *faults, struct config_place place, const char *path, const char *format, ...)
{
	faults->count++;
	if (faults->count > CONFIG_FAULTS_MAX)
		return;
	struct bytes *out = faults->out;
	bytes_printf(out, "%s:%u:%u: ", faults->file, place.line, place.column);
	const size_t start = out->len;
	if (path[0] != '\0')
		bytes_printf(out, "%s: ", path);
	va_list arguments;
	va_start(arguments, format);
	bytes_vprintf(out, format, arguments);
	va_end(arguments);
	for (size_t i = start; i < out->len; i++) {
		if ((unsigned char)out->data[i] < 0x20 || out->data[i] == 0x7f)
			out->data[i] = '?';
	}
	bytes_append_byte(out, '\n');
}

void config_faults_end(struct config_faults *faults)
{
	if (faults->count > CONFIG_FAULTS_MAX)
		bytes_printf(faults->out, "%s: %u more faults are not shown\n", faults->file,
		             faults->count - CONFIG_FAULTS_MAX);
}
