/* penstock why over a log of anybody's: any lines, often enough that every cause looks at them. */
#include "why/report.h"

#include "fuzz.h"

#define TIMES 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct records records = { 0 };
	struct bytes out = { 0 };
	struct report_options options = { .as_json = size % 2 };
	bool answered;
	char *text = exact_copy(data, size);
	for (int i = 0; i < TIMES; i++)
		MUST(records_add_text(&records, (struct span){ text, size }) == OK);
	records_sort(&records, size % 3 ? 0 : 1000);
	MUST(report_write(&records, NULL, &options, &answered, &out) == OK);
	free(text);
	records_fini(&records);
	bytes_fini(&out);
	return 0;
}
