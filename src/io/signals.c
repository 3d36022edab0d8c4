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

enum error signals_catch(struct loop *loop, int signal_number, void (*caught)(void *owner, int signal_number),
                         void *owner)
{
	struct caught_signal *signal = calloc(1, sizeof(*signal));
	if (!signal)
		return ERROR_MEMORY;
	signal->caught = caught;
	signal->owner = owner;
	MUST(uv_signal_init(&loop->uv, &signal->uv) == 0);
	return loop_error(uv_signal_start(&signal->uv, on_signal, signal_number));
}
