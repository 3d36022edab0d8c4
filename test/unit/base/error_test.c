/* Texts, errno mapping, and the way a broken invariant ends the program. */
#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

START_TEST(every_error_has_its_own_text)
{
	for (int i = 0; i < ERROR_COUNT; i++) {
		const char *text = error_text((enum error)i);
		ck_assert_int_gt((int)strlen(text), 1);
		ck_assert_str_ne(text, "unknown error");
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(text, error_text((enum error)j));
	}
	ck_assert_str_eq(error_text(OK), "ok");
	ck_assert_str_eq(error_text((enum error) - 1), "unknown error");
	ck_assert_str_eq(error_text(ERROR_COUNT), "unknown error");
}
END_TEST

START_TEST(errno_maps_to_the_nearest_error)
{
	ck_error_is(error_from_errno(0), OK);
	ck_error_is(error_from_errno(ENOMEM), ERROR_MEMORY);
	ck_error_is(error_from_errno(ENOENT), ERROR_NOT_FOUND);
	ck_error_is(error_from_errno(ECONNREFUSED), ERROR_REFUSED);
	ck_error_is(error_from_errno(EADDRINUSE), ERROR_ADDRESS_IN_USE);
	ck_error_is(error_from_errno(EAGAIN), ERROR_BUSY);
	ck_error_is(error_from_errno(ENOSPC), ERROR_IO);
	ck_error_is(error_from_errno(12345), ERROR_IO);
}
END_TEST

static void describe(void)
{
	static const char text[] = "working on request 7\n";
	ck_assert_int_eq((int)write(STDERR_FILENO, text, sizeof(text) - 1), (int)sizeof(text) - 1);
	must_failed("the hook itself", "x.c", 1); /* must not run the hook again */
}

/* Runs a failing MUST in a child; returns its signal, and what it printed in `text`. */
static int fail_in_child(void (*hook)(void), char *text, size_t text_size)
{
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		(void)dup2(ends[1], STDERR_FILENO);
		(void)signal(SIGABRT, SIG_DFL);
		must_on_failure(hook);
		MUST(1 + 1 == 3);
		_exit(0);
	}
	(void)close(ends[1]);
	size_t len = 0;
	ssize_t got;
	while (len < text_size - 1 && (got = read(ends[0], text + len, text_size - 1 - len)) > 0)
		len += (size_t)got;
	text[len] = '\0';
	(void)close(ends[0]);
	int status = 0;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

START_TEST(a_broken_invariant_says_where_and_aborts)
{
	char text[4096];
	ck_assert_int_eq(fail_in_child(NULL, text, sizeof(text)), SIGABRT);
	ck_assert_ptr_nonnull(strstr(text, "broken invariant: 1 + 1 == 3 ("));
	ck_assert_ptr_nonnull(strstr(text, "error_test.c:"));
}
END_TEST

START_TEST(the_hook_runs_once_even_when_it_fails_itself)
{
	char text[4096];
	ck_assert_int_eq(fail_in_child(describe, text, sizeof(text)), SIGABRT);
	char *first = strstr(text, "working on request 7");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(strstr(text, "the hook itself (x.c:1)"));
	ck_assert_ptr_null(strstr(first + 1, "working on request 7"));
}
END_TEST

START_TEST(a_kept_invariant_does_nothing)
{
	MUST(1 + 1 == 2);
}
END_TEST

UNIT_MAIN("base/error", every_error_has_its_own_text, errno_maps_to_the_nearest_error,
          a_broken_invariant_says_where_and_aborts, the_hook_runs_once_even_when_it_fails_itself,
          a_kept_invariant_does_nothing)
