/* Errors are values: every function that can fail returns one, and the compiler rejects a caller that drops it.
 * Rows live in error.def. A broken invariant is not an error: see MUST. */
#ifndef PENSTOCK_BASE_ERROR_H
#define PENSTOCK_BASE_ERROR_H

/* clang-format off */
enum [[nodiscard]] error {
	OK = 0,
#define ERROR(name, text) ERROR_##name,
#include "base/error.def"
#undef ERROR
	ERROR_COUNT
};
/* clang-format on */

/* Static text for `error`, never NULL; "ok" for OK. */
const char *error_text(enum error error);

/* Maps an errno value (positive) to the nearest row; ERROR_IO when none fits, OK for 0. */
enum error error_from_errno(int errno_value);

/* Prints where and what, runs the hook of must_on_failure if one is set, and aborts. */
void must_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

/* A hook run once before the abort, on the failing thread: prints what that thread was working on. NULL removes it. */
void must_on_failure(void (*describe)(void));

/* Broken invariants abort in every build; bad input or full memory is an enum error instead. */
#define MUST(condition) ((condition) ? (void)0 : must_failed(#condition, __FILE__, __LINE__))

#endif
