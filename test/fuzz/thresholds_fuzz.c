/* A thresholds file: it is right, or every fault is told; what is taken is in its bounds. */
#include "observe/alerts.h"

#include <math.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct alert_thresholds thresholds;
	struct bytes faults = { 0 };
	char *text = exact_copy(data, size);
	alerts_default_thresholds(&thresholds);
	const enum error error = alerts_read_thresholds((struct span){ text, size }, "f", &thresholds, &faults);
	MUST((error == OK) == (faults.len == 0));
	for (size_t i = 0; i < ALERT_COUNT; i++)
		MUST(isfinite(thresholds.values[i]) && thresholds.values[i] >= 0);
	MUST(thresholds.error_budget > 0 && thresholds.error_budget <= 1);
	free(text);
	bytes_fini(&faults);
	return 0;
}
