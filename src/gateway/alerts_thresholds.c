/* The config's thresholds file. */
#include "base/file.h"
#include "gateway/gateway_parts.h"

#define FILE_BYTES_MAX (64 * 1024)

enum error gateway_load_thresholds(const struct config *config, struct alert_thresholds *out, struct bytes *faults)
{
	const char *path = config->alerts_thresholds;
	struct bytes text = { 0 };
	alerts_default_thresholds(out);
	if (!*path)
		return OK;
	enum error error = file_read(path, FILE_BYTES_MAX + 1, &text);
	if (!error && text.len > FILE_BYTES_MAX)
		error = ERROR_LIMIT;
	if (error)
		bytes_printf(faults, "alerts.thresholds: %s can't be read: %s\n", path, error_text(error));
	else
		error = alerts_read_thresholds(bytes_span(&text), path, out, faults);
	bytes_fini(&text);
	return error;
}
