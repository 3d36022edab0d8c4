/* Texts for errors, the way in from errno, and the way out of a broken invariant.
 *
 * The hook is process-wide, because a broken invariant is found where no context is at hand; it is atomic, because
 * any thread may fail. */
#include "base/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macros.h"

static void (*_Atomic failure_hook)(void);

const char *error_text(enum error error)
{
	static const char *const texts[] = {
		[OK] = "ok",
#define ERROR(name, text) [ERROR_##name] = text,
#include "base/error.def"
#undef ERROR
	};
	if ((unsigned)error >= COUNT_OF(texts))
		return "unknown error";
	return texts[error];
}

enum error error_from_errno(int errno_value)
{
	static const struct {
		int from;
		enum error to;
	} rows[] = {
		{ 0, OK },
		{ ENOMEM, ERROR_MEMORY },
		{ ENOBUFS, ERROR_MEMORY },
		{ EINVAL, ERROR_SYNTAX },
		{ EILSEQ, ERROR_SYNTAX },
		{ EDOM, ERROR_RANGE },
		{ ERANGE, ERROR_RANGE },
		{ EOVERFLOW, ERROR_RANGE },
		{ EMFILE, ERROR_LIMIT },
		{ ENFILE, ERROR_LIMIT },
		{ EFBIG, ERROR_LIMIT },
		{ EMSGSIZE, ERROR_LIMIT },
		{ ENAMETOOLONG, ERROR_LIMIT },
		{ ENOENT, ERROR_NOT_FOUND },
		{ ENOTDIR, ERROR_NOT_FOUND },
		{ ENODEV, ERROR_NOT_FOUND },
		{ ESRCH, ERROR_NOT_FOUND },
		{ EEXIST, ERROR_DUPLICATE },
		{ ENOSYS, ERROR_UNSUPPORTED },
		{ EOPNOTSUPP, ERROR_UNSUPPORTED },
		{ EAFNOSUPPORT, ERROR_UNSUPPORTED },
		{ EPROTONOSUPPORT, ERROR_UNSUPPORTED },
		{ ECONNREFUSED, ERROR_REFUSED },
		{ EHOSTUNREACH, ERROR_REFUSED },
		{ ENETUNREACH, ERROR_REFUSED },
		{ ECONNRESET, ERROR_RESET },
		{ ECONNABORTED, ERROR_RESET },
		{ EPIPE, ERROR_CLOSED },
		{ ENOTCONN, ERROR_CLOSED },
		{ ESHUTDOWN, ERROR_CLOSED },
		{ EBADF, ERROR_CLOSED },
		{ ETIMEDOUT, ERROR_TIMEOUT },
		{ ECANCELED, ERROR_CANCELLED },
		{ EBUSY, ERROR_BUSY },
		{ EAGAIN, ERROR_BUSY },
		{ EACCES, ERROR_PERMISSION },
		{ EPERM, ERROR_PERMISSION },
		{ EROFS, ERROR_PERMISSION },
		{ EADDRINUSE, ERROR_ADDRESS_IN_USE },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].from == errno_value)
			return rows[i].to;
	}
	return ERROR_IO;
}

void must_failed(const char *condition, const char *file, int line)
{
	/* No stdio stream: its lock may be held by this very thread. */
	char text[512];
	const int len = snprintf(text, sizeof(text), "penstock: broken invariant: %s (%s:%d)\n", condition, file, line);
	if (len > 0) {
		const size_t shown = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
		const ssize_t written = write(STDERR_FILENO, text, shown);
		(void)written; /* nobody is left to tell */
	}
	/* Taken out first: a hook that fails itself must not run again. */
	void (*const describe)(void) = atomic_exchange(&failure_hook, NULL);
	if (describe != NULL)
		describe();
	abort();
}

void must_on_failure(void (*describe)(void))
{
	atomic_store(&failure_hook, describe);
}
