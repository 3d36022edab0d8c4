/* Request heads: see head.h. */
#include "head.h"

static enum http_result parse(const char *data, size_t len, size_t *scanned, struct head_answer *answer)
{
	return http_parse_request(data, len, &fuzz_limits, scanned, &answer->head, &answer->used, &answer->fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_splits(parse, data, size);
	return 0;
}
