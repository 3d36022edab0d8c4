/* What a gateway says at /promises, as lines for people. */
#include "replay/consequences.h"

#include <string.h>

#include "unit.h"

START_TEST(a_promise_with_its_consequences)
{
	struct bytes text = { 0 };
	struct span page = span_of(
		"{\"promises\":[{\"route\":\"assistant\",\"kind\":\"latency\",\"state\":\"broken\",\"window_s\":300,\"rung\":2,"
		"\"rung_name\":\"try-again\",\"rung_moves\":4,\"indicators\":{\"ttft\":{\"state\":\"broken\",\"attainment\":0."
		"5,"
		"\"needed\":0.95,\"requests\":40,\"target_ms\":4000.0},\"refuse\":{\"state\":\"kept\",\"attainment\":1,"
		"\"needed\":0.95,"
		"\"requests\":40}},\"requests\":40,\"output_tokens\":900,\"cost\":{\"per\":\"request\",\"units\":20,\"total\":"
		"0.02,"
		"\"unit\":0.001,\"currency\":\"EUR\"}},{\"route\":\"other\",\"kind\":\"none\"}]}");
	ck_error_is(consequences_write(page, &text), OK);
	ck_assert_str_eq(bytes_text(&text),
	                 "assistant: a promise of latency, broken over the last 300 s; rung try-again after 4 moves\n"
	                 "  ttft     50.00 % of 40 within 4000 ms; 95.0 % wanted: broken\n"
	                 "  refuse  100.00 % of 40; 95.0 % wanted: kept\n"
	                 "  cost    0.001000 EUR a request (marginal), 20 of them, 900 tokens of answers\n"
	                 "  quality not measured: the route has no checks\n");
	bytes_fini(&text);
}
END_TEST

START_TEST(something_else_is_no_answer)
{
	static const char *const pages[] = {
		"", "{", "{}", "{\"promises\":4}", "[]", "{\"promises\":[{}]}", "{\"promises\":[7]}"
	};
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		struct bytes text = { 0 };
		enum error error = consequences_write(span_of(pages[i]), &text);
		ck_assert(i < 5 ? error == ERROR_SYNTAX : error == OK);
		bytes_fini(&text);
	}
}
END_TEST

UNIT_MAIN("replay/consequences", a_promise_with_its_consequences, something_else_is_no_answer)
