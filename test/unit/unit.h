/* What every unit test program needs around its cases: the main function, and checks that check.h lacks.
 *
 * A program is a list of START_TEST cases and, last, UNIT_MAIN("folder/module", case, case, ...). */
#ifndef PENSTOCK_TEST_UNIT_H
#define PENSTOCK_TEST_UNIT_H

#include <check.h>
#include <stdlib.h>

#include "base/bytes.h"

/* Text of the span and a NUL-terminated wanted text, with both in the message. */
#define ck_span_is(text, wanted)                                                                             \
	do {                                                                                                     \
		const struct span ck_span = (text);                                                                  \
		const char *ck_wanted = (wanted);                                                                    \
		ck_assert_msg(span_is(ck_span, ck_wanted), "%s is \"%.*s\", wanted \"%s\"", #text, (int)ck_span.len, \
		              ck_span.at == NULL ? "" : ck_span.at, ck_wanted);                                      \
	} while (0)

/* Both sides as texts of enum error. */
#define ck_error_is(outcome, wanted)                                                                        \
	do {                                                                                                    \
		const enum error ck_error = (outcome);                                                              \
		const enum error ck_wanted = (wanted);                                                              \
		ck_assert_msg(ck_error == ck_wanted, "%s is \"%s\", wanted \"%s\"", #outcome, error_text(ck_error), \
		              error_text(ck_wanted));                                                               \
	} while (0)

static inline int unit_run(const char *name, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *cases = tcase_create(name);
	/* Sanitizers and a busy machine make slow tests slower; a hang is still found. */
	tcase_set_timeout(cases, 60);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(cases, tests[i]);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define UNIT_MAIN(name, ...)                                            \
	int main(void)                                                      \
	{                                                                   \
		const TTest *const tests[] = { __VA_ARGS__ };                   \
		return unit_run(name, tests, sizeof(tests) / sizeof(tests[0])); \
	}

#endif
