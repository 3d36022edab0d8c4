/* libuv's thread pool (four threads unless UV_THREADPOOL_SIZE says otherwise). */
#include "io/work.h"

#include <stdlib.h>

#include "base/macros.h"
#include "io/loop_uv.h"

struct work {
	uv_work_t request;
	struct loop *loop;
	void (*work)(void *argument);
	void (*done)(void *argument);
	void *argument;
};

static void on_work(uv_work_t *request)
{
	struct work *work = container_of(request, struct work, request);
	work->work(work->argument);
}

static void on_done(uv_work_t *request, int status)
{
	struct work *work = container_of(request, struct work, request);
	(void)status;
	loop_refresh_now_ns(work->loop);
	work->done(work->argument);
	free(work);
}

enum error work_start(struct loop *loop, void (*function)(void *argument), void (*done)(void *argument), void *argument)
{
	struct work *work = calloc(1, sizeof(*work));
	if (!work)
		return ERROR_MEMORY;
	*work = (struct work){ .loop = loop, .work = function, .done = done, .argument = argument };
	int status = uv_queue_work(&loop->uv, &work->request, on_work, on_done);
	if (status < 0)
		free(work);
	return loop_error(status);
}
