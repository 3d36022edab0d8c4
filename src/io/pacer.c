/* A timerfd under uv_poll: the kernel's high-resolution timers, where epoll's own timeout counts in milliseconds. */
#include "io/pacer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "io/loop_uv.h"

struct pacer {
	uv_poll_t poll;
	struct loop *loop;
	int fd;
	int64_t armed_ns; /* NS_NEVER: off */
	void (*fire)(void *owner);
	void *owner;
};

static void on_due(uv_poll_t *poll, int status, int events)
{
	struct pacer *pacer = container_of(poll, struct pacer, poll);
	uint64_t expirations;
	(void)events;
	/* Nothing to read: it was armed anew since it went off. */
	if (status < 0 || read(pacer->fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return;
	pacer->armed_ns = NS_NEVER;
	loop_refresh_now_ns(pacer->loop);
	pacer->fire(pacer->owner);
}

enum error pacer_new(struct loop *loop, void (*fire)(void *owner), void *owner, struct pacer **out)
{
	*out = NULL;
	struct pacer *pacer = calloc(1, sizeof(*pacer));
	if (!pacer)
		return ERROR_MEMORY;
	*pacer = (struct pacer){ .loop = loop, .armed_ns = NS_NEVER, .fire = fire, .owner = owner };
	pacer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (pacer->fd < 0) {
		enum error error = error_from_errno(errno);
		free(pacer);
		return error;
	}
	MUST(uv_poll_init(&loop->uv, &pacer->poll, pacer->fd) == 0);
	MUST(uv_poll_start(&pacer->poll, UV_READABLE, on_due) == 0);
	*out = pacer;
	return OK;
}

static void on_closed(uv_handle_t *handle)
{
	struct pacer *pacer = container_of((uv_poll_t *)handle, struct pacer, poll);
	close(pacer->fd);
	free(pacer);
}

void pacer_free(struct pacer **slot)
{
	struct pacer *pacer = *slot;
	if (!pacer)
		return;
	*slot = NULL;
	uv_close((uv_handle_t *)&pacer->poll, on_closed);
}

void pacer_arm(struct pacer *pacer, int64_t due_ns)
{
	if (due_ns == pacer->armed_ns)
		return;
	pacer->armed_ns = due_ns;
	struct itimerspec when = { 0 };
	if (due_ns != NS_NEVER) {
		/* All zeros would switch it off. */
		due_ns = due_ns > 0 ? due_ns : 1;
		when.it_value = (struct timespec){ due_ns / NS_PER_S, due_ns % NS_PER_S };
	}
	MUST(timerfd_settime(pacer->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
}
