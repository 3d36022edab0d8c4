/* A caught signal lives until its loop is freed. */
#include "io/signals.h"

#include <stdlib.h>

#include "base/macros.h"
#include "io/loop_uv.h"

struct caught_signal {
	uv_signal_t uv;
	void (*caught)(void *owner, int signal_number);
	void *owner;
};

static void on_signal(uv_signal_t *handle, int signal_number)
{
	struct caught_signal *signal = container_of(handle, struct caught_signal, uv);
	signal->caught(signal->owner, signal_number);
}

static void free_signal(uv_handle_t *handle)
{
	free(container_of(handle, struct caught_signal, uv));
}

static void close_signal(uv_handle_t *handle)
{
	uv_close(handle, free_signal);
}

static const struct loop_orphan orphan = { .close = close_signal };

enum error signals_catch(struct loop *loop, int signal_number, void (*caught)(void *owner, int signal_number),
                         void *owner)
{
	struct caught_signal *signal = calloc(1, sizeof(*signal));
	if (!signal)
		return ERROR_MEMORY;
	signal->caught = caught;
	signal->owner = owner;
	MUST(uv_signal_init(&loop->uv, &signal->uv) == 0);
	uv_handle_set_data((uv_handle_t *)&signal->uv, (void *)(uintptr_t)&orphan);
	return loop_error(uv_signal_start(&signal->uv, on_signal, signal_number));
}
