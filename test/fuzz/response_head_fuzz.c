/* Response heads, for a request that may have a body in its answer and for one that may not: see head.h. */
#include "head.h"

static enum http_result parse(const char *data, size_t len, size_t *scanned, struct head_answer *answer)
{
	return http_parse_response(data, len, &fuzz_limits, scanned, false, &answer->head, &answer->used, &answer->fault);
}

static enum http_result parse_without_body(const char *data, size_t len, size_t *scanned, struct head_answer *answer)
{
	const enum http_result result =
		http_parse_response(data, len, &fuzz_limits, scanned, true, &answer->head, &answer->used, &answer->fault);
	MUST(result != HTTP_DONE || answer->head.body == HTTP_BODY_NONE);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_splits(parse, data, size);
	check_splits(parse_without_body, data, size);
	return 0;
}
